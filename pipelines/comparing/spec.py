"""The task `compare` and its one engine, as the registry knows them."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import CompareSettings
from pipelines.spec import EngineSpec, InputSpec, TaskSpec, register_engine, register_task

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: CompareSettings) -> "Pipeline":
    from pipelines.comparing.pipeline import ComparePipeline

    return ComparePipeline.of(inputs, settings)


register_task(
    TaskSpec(
        name="compare",
        title=("Compare", "对比"),
        help="Put a video and its source above each other in one video, frame by frame, the source on top.",
        settings=CompareSettings,
        inputs=(
            InputSpec("file", "The video, such as a result.", ("Video", "视频")),
            InputSpec(
                "source",
                "The video that it was made of.",
                ("Source", "来源"),
                missing=("There is no source.", "Give the video that the first one was made of."),
            ),
        ),
        result_version=2,
        suffixes=(".json",),
        served=False,
    )
)
register_engine(EngineSpec(task="compare", name="builtin", open=_open))
