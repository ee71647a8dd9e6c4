"""The task `track` and its one engine, as the registry knows them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import TrackSettings
from pipelines.spec import EngineSpec, TaskSpec, register_engine, register_task
from pipelines.tracking.inputs import MASK, VIDEO, tracker_of

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: TrackSettings) -> "Pipeline":
    from pipelines.tracking.pipeline import TrackEngine, TrackPipeline

    return TrackPipeline.open(TrackEngine, inputs, settings)


register_task(
    TaskSpec(
        name="track",
        title=("Preview mask", "预览蒙版"),
        help="""Show what `inpaint` would remove from a video, and keep it as a video of masks to correct and give back.

The mask video (`-o FILE.mkv`) is lossless, white on black, one mask a frame, before they are dilated: with the same
--start, --end and --mask-dilation `inpaint --mask FILE.mkv` removes the same. `-o FILE.mp4` is the video with the
masks laid over it.""",
        settings=TrackSettings,
        inputs=(VIDEO, replace(MASK, required=lambda settings: not settings.follows)),
        result_version=6,
        suffixes=(".mkv", ".mp4", ".csv", ".json"),
        curve=("Masked share of the picture", "被蒙版覆盖的画面比例"),
        trial="mask_preview",
        part_of="inpaint",
        done=lambda settings: "mask",
        models=tracker_of,
    )
)
register_engine(EngineSpec(task="track", name="builtin", open=_open))
