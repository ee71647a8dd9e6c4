"""Which tasks there are, and which pipeline does each. Light: a pipeline is imported when it is made."""

from typing import TYPE_CHECKING

from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.stages import Pipeline

_RESULT_VERSIONS = {"score": 1, "copy": 1}
"""Raised when a task's result changes for the same question: older results are then computed anew."""

RESULT_SUFFIXES = {"score": (".csv", ".json", ".png"), "copy": (".mp4", ".json")}
"""What each task can put where the user wants its result."""


def result_version(task: str) -> int:
    """The version of what `task` computes; part of a job's id."""
    return _RESULT_VERSIONS[task]


def pipeline_for(task: str, settings: Settings) -> "Pipeline":
    """The pipeline that does `task` with the engine that `settings` ask for."""
    if task == "score":
        from pipelines.scoring.pipeline import ScorePipeline

        return ScorePipeline()
    from pipelines.copying import CopyPipeline

    return CopyPipeline()
