"""Flags shared by commands: how a command is run, as opposed to what it computes."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from pipelines.errors import BadInput
from pipelines.scheduler.places import AtOnce, Places
from pipelines.scheduler.queue import JobQueue
from pipelines.storage.object_store import check_address
from pipelines.workers.process import WorkerProcess
from pipelines.workers.ray_access import check_access
from pipelines.workers.runner import Team

StuckAfter = Annotated[float | None, Parameter(validator=validators.Number(gt=0))]

MOST_WORKERS = 64
"""More processes than that on one machine would only wait for each other."""


def _check_workers(kind: Any, value: int | str | None) -> None:
    if isinstance(value, int) and not 1 <= value <= MOST_WORKERS:
        raise ValueError(f"must be auto, or a number from 1 to {MOST_WORKERS}")


Workers = Annotated[int | Literal["auto"], Parameter(validator=_check_workers)]

CrewName = Literal["local", "pulled", "ray"]

WaitWorkers = Annotated[
    float | None,
    Parameter(
        validator=validators.Number(gte=0),
        help="With --crew pulled or ray: a job fails after so many seconds without any worker. Default: 600 for ray, "
        "else never.",
    ),
]
RayAddress = Annotated[
    str,
    Parameter(
        help="With --crew ray: HOST:PORT of the cluster's head, or local for a cluster of this machine alone."
    ),
]
RayInsecure = Annotated[
    bool,
    Parameter(
        negative="",
        help="Connect to a Ray cluster without a token: whoever reaches it can run programs on its machines.",
    ),
]

JobsAtOnce = Annotated[AtOnce, Parameter(validator=_check_workers)]

FLAT = Parameter(name="*")
"""Makes each field of a settings model a flag of its own."""


@Parameter(name="*")
@dataclass(frozen=True)
class JobsOptions:
    """Where jobs are kept, who computes them, and the format of the output."""

    jobs_dir: Path = Path("jobs")
    "Folder in which jobs are kept."
    stuck_after: StuckAfter = None
    "Seconds without progress after which the worker is replaced. Default: 120, or ten usual gaps if that is longer."
    workers: Workers | None = None
    """How many workers compute a job together: a number, or auto for one on each GPU. The result is the same.
    Default: one, or with --crew pulled or ray all that there are."""
    crew: CrewName = "local"
    """Who they are: processes of this machine, those that `python -m pipelines work` let join the folder of jobs, or
    those of a Ray cluster."""
    store: Annotated[str, Parameter(show_default=False)] = ""
    "With --crew pulled: the object store, such as s3://bucket/prefix, that they join instead of the folder."
    mixed_devices: Annotated[bool, Parameter(negative="")] = False
    "Let workers of other builds or on other kinds of devices join, too: the result may differ from that of one."
    wait_workers: WaitWorkers = None
    ray_address: RayAddress = ""
    ray_insecure: RayInsecure = False
    jobs_at_once: JobsAtOnce = 1
    """How many jobs run side by side where the plan says that they fit: a number, or auto for one on each GPU. Results
    are the same; the limit on memory holds for all together."""
    json: Annotated[bool, Parameter(negative="")] = False
    "Print events to stdout, one JSON object per line, and nothing else."


@Parameter(name="*")
@dataclass(frozen=True)
class Options(JobsOptions):
    """How a command is run, as opposed to what it computes."""

    output: Annotated[Path | None, Parameter(parse=False)] = None
    "Where to copy the result. A flag of each command, because its help names what the task can put there."
    force: Annotated[bool, Parameter(negative="")] = False
    "Recompute what is already finished."


def open_queue(options: JobsOptions) -> JobQueue:
    """Open the queue of a command. Raises BadInput for workers that cannot be had."""
    places = Places.of(
        options.jobs_at_once, partial(WorkerProcess, options.stuck_after, flagged_team(options))
    )
    return JobQueue(options.jobs_dir, places=places)


def flagged_team(options: JobsOptions) -> Team:
    """Return who computes the jobs of a command. Raises BadInput for workers that cannot be had."""
    return team_of(
        options.workers,
        options.crew,
        mixed_devices=options.mixed_devices,
        store=options.store,
        wait_seconds=options.wait_workers,
        ray_address=options.ray_address,
        ray_insecure=options.ray_insecure,
    )


def team_of(workers: Literal["auto"] | int | None, crew: CrewName, **more: Any) -> Team:
    """Return who computes the jobs of a queue; `more` as for Team. Raises BadInput for workers that cannot be had."""
    count = 0 if workers == "auto" else workers
    if count is None:
        count = 1 if crew == "local" else 0
    team = Team(count, crew, **more)
    if team.store:
        if crew != "pulled":
            raise BadInput("--store is where pulled workers join.", "Add --crew pulled, or leave it out.")
        check_address(team.store)
    if crew == "ray":
        check_access(team.ray_address, os.environ, insecure=team.ray_insecure)
    elif team.ray_address or team.ray_insecure:
        raise BadInput("--ray-address and --ray-insecure are for Ray's workers.", "Add --crew ray.")
    return team
