"""Flags shared by commands: how a command is run, as opposed to what it computes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

FLAT = Parameter(name="*")
"""Makes each field of a settings model a flag of its own."""


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """How a command is run, as opposed to what it computes."""

    jobs_dir: Path = Path("jobs")
    "Folder in which jobs are kept."
    output: Annotated[Path | None, Parameter(parse=False)] = None
    "Where else to put the result. A flag of each command, since its help names what the task can put there."
    force: Annotated[bool, Parameter(negative="")] = False
    "Recompute what is already finished."
    json: Annotated[bool, Parameter(negative="")] = False
    "Print events to stdout, one JSON object per line, and nothing else."


@Parameter(name="*")
@dataclass(frozen=True)
class JobsOptions:
    """Where jobs are kept, and the format of the output."""

    jobs_dir: Path = Path("jobs")
    "Folder in which jobs are kept."
    json: Annotated[bool, Parameter(negative="")] = False
    "Print events to stdout, one JSON object per line, and nothing else."
