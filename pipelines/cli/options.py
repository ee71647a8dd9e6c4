"""Flags shared by commands: how a command is run, as opposed to what it computes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from pipelines.scheduler.queue import JobQueue

StuckAfter = Annotated[float | None, Parameter(validator=validators.Number(gt=0))]

MOST_WORKERS = 64
"""More processes than that on one machine would only wait for each other."""


def _check_workers(kind: Any, value: int | str | None) -> None:
    if isinstance(value, int) and not 1 <= value <= MOST_WORKERS:
        raise ValueError(f"must be auto, or a number from 1 to {MOST_WORKERS}")


Workers = Annotated[int | Literal["auto"], Parameter(validator=_check_workers)]

FLAT = Parameter(name="*")
"""Makes each field of a settings model a flag of its own."""


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """How a command is run, as opposed to what it computes."""

    jobs_dir: Path = Path("jobs")
    "Folder in which jobs are kept."
    output: Annotated[Path | None, Parameter(parse=False)] = None
    "Where to copy the result. A flag of each command, because its help names what the task can put there."
    force: Annotated[bool, Parameter(negative="")] = False
    "Recompute what is already finished."
    stuck_after: StuckAfter = None
    "Seconds without progress after which the worker is replaced. Default: 120, or ten usual gaps if that is longer."
    workers: Workers = 1
    "How many processes compute a job together: a number, or auto for one on each GPU. The result is the same."
    json: Annotated[bool, Parameter(negative="")] = False
    "Print events to stdout, one JSON object per line, and nothing else."


@Parameter(name="*")
@dataclass(frozen=True)
class JobsOptions:
    """Where jobs are kept, and the format of the output."""

    jobs_dir: Path = Path("jobs")
    "Folder in which jobs are kept."
    stuck_after: StuckAfter = None
    "Seconds without progress after which the worker is replaced. Default: 120, or ten usual gaps if that is longer."
    workers: Workers = 1
    "How many processes compute a job together: a number, or auto for one on each GPU. The result is the same."
    json: Annotated[bool, Parameter(negative="")] = False
    "Print events to stdout, one JSON object per line, and nothing else."


def open_queue(options: Options | JobsOptions) -> JobQueue:
    """Open the queue of a command."""
    stuck, workers = options.stuck_after, count_of(options.workers)
    return JobQueue(options.jobs_dir, stuck_seconds=stuck, workers=workers)


def count_of(workers: Literal["auto"] | int) -> int:
    """Return how many workers a queue is to have; 0 is one for each GPU."""
    return 0 if workers == "auto" else workers
