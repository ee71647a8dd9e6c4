"""Which tasks there are, and which pipeline does each. Light: a pipeline is imported when it is made."""

from typing import TYPE_CHECKING

from pipelines.settings import (
    VIDEO_SUFFIXES,
    AnimateSettings,
    FilmSettings,
    InpaintSettings,
    ScoreSettings,
    Settings,
    TrackSettings,
)

if TYPE_CHECKING:
    from pipelines.stages import Pipeline

_RESULT_VERSIONS = {"score": 1, "copy": 1, "inpaint": 4, "track": 2, "animate": 2}
"""Raised when a task's result changes for the same question: older results are then computed anew."""

_SUFFIXES = {
    "score": (".csv", ".json", ".png"),
    "copy": (".mp4", ".json"),
    "inpaint": (".json", ".csv", ".png"),
    "track": (".mkv", ".mp4", ".csv", ".json"),
    "animate": (".png", ".json"),
}


def result_suffixes(task: str, settings: Settings) -> tuple[str, ...]:
    """What `task`, asked with `settings`, can put where the user wants its result."""
    if isinstance(settings, FilmSettings):
        return (VIDEO_SUFFIXES[settings.codec], *_SUFFIXES[task])
    if isinstance(settings, AnimateSettings) and settings.engine != "flowwarp":
        return (*_SUFFIXES[task], ".npz", ".pkl")
    return _SUFFIXES[task]


def result_version(task: str) -> int:
    """The version of what `task` computes; part of a job's id."""
    return _RESULT_VERSIONS[task]


def pipeline_for(task: str, settings: Settings) -> "Pipeline":
    """The pipeline that does `task` with the engine that `settings` ask for."""
    if isinstance(settings, ScoreSettings) and settings.engine == "qalign":
        from pipelines.scoring.qalign.pipeline import QAlignPipeline

        return QAlignPipeline(settings)
    if task == "score":
        from pipelines.scoring.builtin.pipeline import ScorePipeline

        return ScorePipeline()
    if isinstance(settings, InpaintSettings) and settings.engine == "propainter":
        from pipelines.inpainting.propainter.pipeline import ProPainterPipeline

        return ProPainterPipeline(settings)
    if isinstance(settings, InpaintSettings):
        from pipelines.inpainting.flow.engine import FlowFill
        from pipelines.inpainting.pipeline import InpaintPipeline

        return InpaintPipeline(settings, FlowFill(settings.quality))
    if isinstance(settings, AnimateSettings) and settings.engine == "liveportrait":
        from pipelines.animation.liveportrait.pipeline import LivePortraitPipeline

        return LivePortraitPipeline(settings)
    if isinstance(settings, AnimateSettings):
        from pipelines.animation.warp.pipeline import WarpPipeline

        return WarpPipeline(settings)
    if isinstance(settings, TrackSettings):
        from pipelines.tracking.pipeline import TrackPipeline

        return TrackPipeline(settings)
    from pipelines.copying.pipeline import CopyPipeline

    return CopyPipeline()
