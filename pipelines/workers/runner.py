"""The interface between the job queue and whatever runs its jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from memory.slot import Slot
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.neighbours import Neighbour


@dataclass(frozen=True)
class WorkerState:
    """Snapshot of a worker: `engine` of its last plan, `jobs_run` since it started.

    `since` is its start in seconds since the epoch, 0 while there is no worker.
    """

    state: Literal["none", "warm", "busy"] = "none"
    pid: int | None = None
    engine: str = ""
    jobs_run: int = 0
    since: float = 0.0


@dataclass(frozen=True)
class Team:
    """Who computes a job together: processes of this machine, workers that have joined the jobs folder, or Ray's.

    At most `workers`; 0: one for each GPU, or all that join. Those that are `pulled` have joined the jobs folder or a
    store; `lent` ones are calls of the page on a GPU that is lent to it. With `mixed_devices` those of other builds or
    kinds of devices may join, whose results may differ. A job waits for a first one for `wait_seconds`; None: for ever.
    """

    workers: int = 1
    crew: Literal["local", "pulled", "lent", "ray"] = "local"
    mixed_devices: bool = False
    store: str = ""
    """The address of an object store in which they have joined instead."""
    wait_seconds: float | None = None
    ray_address: str = ""
    """HOST:PORT of the cluster, or `LOCAL`."""
    ray_insecure: bool = False


ALONE = Team()


class Runner(Protocol):
    """Runs jobs, one at a time."""

    @property
    def worker(self) -> WorkerState:
        """The worker's current state; callable from any thread."""
        ...

    def run(self, job: Job, on_event: Callable[[Event], None]) -> str | None:
        """Run `job` until it ends, passing its events to `on_event`.

        Returns None, or how the runner died before the job ended.
        """
        ...

    def let_go(self) -> None:
        """Stop the running job at its next frame and free what is kept warm; callable from any thread."""
        ...


@runtime_checkable
class SharingRunner(Runner, Protocol):
    """A runner that others run beside.

    Where a job does not fit beside what they have planned, `run` passes on a `Queued` event and returns None.
    """

    def move_to(self, slot: "Slot") -> None:
        """Run the next job at `slot`; called while none runs. A worker that sees other devices is stopped."""
        ...

    def meet(self, neighbours: Sequence[Neighbour]) -> None:
        """Take in who runs beside it from now on; callable from any thread."""
        ...
