"""The command `estimate`: what a run would do and hold, for each task with the settings of that task."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from pipelines.cli.console import Console
from pipelines.cli.options import FLAT, JobsOptions
from pipelines.errors import BadInput
from pipelines.settings import MODELS, Settings

_PLACE = JobsOptions()
_OF_ONE_INPUT = ("score", "copy")
_Other = Annotated[Path, Parameter(help="What the task reads besides: the driving of animate, a mask.")]

estimating = App(
    name="estimate",
    help="Say what a run would do and hold, without running it: facts, engine, preset, memory, time, disk, risk.",
)


def _estimator(task: str, model: type[Settings]) -> Callable[..., None]:
    def estimate(path: Path, /, *others: _Other, settings: Any, options: JobsOptions = _PLACE) -> None:
        from pipelines.runtime.planning import estimate as estimated  # here: it loads the decoders

        if others and task in _OF_ONE_INPUT:
            raise BadInput(f"`{task}` reads nothing but {path}.", f"Leave {others[0]} away.")
        Console(json=options.json).show(estimated(task, (path, *others), settings, options.jobs_dir))

    estimate.__doc__ = f"What `{task}` would do and hold. {model.__doc__}"
    # Only now is it known whose settings they are; the flags and their sentences are made from this.
    estimate.__annotations__["settings"] = Annotated[model, FLAT]
    estimate.__kwdefaults__ = {"settings": model(), "options": _PLACE}
    return estimate


for _task, _model in MODELS.items():
    estimating.command(_estimator(_task, _model), name=_task)
