"""Flags shared by commands: how a command is run, as opposed to what it computes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

StuckAfter = Annotated[float | None, Parameter(validator=validators.Number(gt=0))]

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
    json: Annotated[bool, Parameter(negative="")] = False
    "Print events to stdout, one JSON object per line, and nothing else."
