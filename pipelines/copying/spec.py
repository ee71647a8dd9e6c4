"""The task `copy` and its one engine, as the registry knows them."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import CopySettings
from pipelines.spec import EngineSpec, InputSpec, TaskSpec, register_engine, register_task

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: CopySettings) -> "Pipeline":
    from pipelines.copying.pipeline import CopyEngine, CopyPipeline

    return CopyPipeline.open(CopyEngine, inputs, settings)


register_task(
    TaskSpec(
        name="copy",
        title=("Copy", "复制"),
        help="Decode and encode a video again, its sound and times kept: try the machinery on a file.",
        settings=CopySettings,
        inputs=(InputSpec("file", "The video.", ("Video", "视频")),),
        result_version=8,
        suffixes=(".json",),
        served=False,
    )
)
register_engine(EngineSpec(task="copy", name="builtin", open=_open))
