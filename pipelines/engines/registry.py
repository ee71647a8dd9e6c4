"""Opening a job with the engine that its settings name."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import VIDEO_SUFFIXES, FilmSettings, Settings
from pipelines.spec import engine_spec, engines_of, settings_model, task_spec

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def open_pipeline(task: str, inputs: tuple[Path, ...], settings: Settings) -> "Pipeline":
    """Open a job of `task` for its inputs, with the engine that `settings` name.

    Raises BadInput if the task has no such engine; the errors of `probe` and of the engine for unsuitable inputs.
    """
    opened: Pipeline = engine_spec(task, settings.engine).open(inputs, settings)
    return opened


def possible_suffixes(task: str) -> tuple[str, ...]:
    """The suffixes of what `task` can put where the user wants its result, with any settings. Raises BadInput."""
    model = settings_model(task)
    videos = [{"codec": codec} for codec in VIDEO_SUFFIXES] if issubclass(model, FilmSettings) else [{}]
    found = [
        result_suffixes(task, model.model_validate({"engine": engine, **codec}))
        for engine in engines_of(task)
        for codec in videos
    ]
    # A dictionary: each once, in the order in which they are named.
    return tuple(dict.fromkeys(suffix for suffixes in found for suffix in suffixes))


def result_suffixes(task: str, settings: Settings) -> tuple[str, ...]:
    """Return the file suffixes that `-o` accepts for `task` with `settings`. Raises BadInput."""
    video = (VIDEO_SUFFIXES[settings.codec],) if isinstance(settings, FilmSettings) else ()
    return (*video, *task_spec(task).suffixes, *engine_spec(task, settings.engine).suffixes)
