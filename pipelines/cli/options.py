"""Flags that commands share: how a command is run, as opposed to what it computes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

FLAT = Parameter(name="*")
"""For a settings model: each of its fields is a flag of its own."""


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """How a command is run, as opposed to what it computes."""

    jobs_dir: Path = Path("jobs")
    "Where jobs are kept."
    output: Annotated[Path | None, Parameter(parse=False)] = None
    "Where else to put the result. A flag of each command, since its help names what the task can put there."
    force: Annotated[bool, Parameter(negative="")] = False
    "Compute anew what is already finished."
    json: Annotated[bool, Parameter(negative="")] = False
    "Events on stdout, one JSON object a line, and nothing else."


@Parameter(name="*")
@dataclass(frozen=True)
class JobsOptions:
    """Where jobs are, and how to speak."""

    jobs_dir: Path = Path("jobs")
    "Where jobs are kept."
    json: Annotated[bool, Parameter(negative="")] = False
    "Events on stdout, one JSON object a line, and nothing else."
