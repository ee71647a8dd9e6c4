"""Where jobs run at once: a place for each, its device, and what the job there has planned to hold. Starts nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from memory.compute import is_on_host
from memory.probe import Hardware, probe_hardware
from memory.slot import Slot
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.neighbours import Neighbour
from pipelines.scheduler.ticket import Ticket
from pipelines.settings.devices import torch_name
from pipelines.workers.runner import Runner, SharingRunner, WorkerState

AtOnce = int | Literal["auto"]
"""How many jobs may run at once; `auto`: one on each GPU, and one where there is none."""


@dataclass(eq=False)
class JobPlace:
    """A place for one job at a time; what its worker holds on a device outlasts the job."""

    runner: Runner
    ticket: Ticket | None = None
    slot: Slot | None = None
    """Where its worker computes; None: wherever the job asks."""
    pid: int | None = None
    """The process of the worker, once it has taken the job."""
    planned: events.Planned | None = None
    device_held_bytes: int = 0
    is_given_back: bool = False
    """Whether the job has turned out not to fit beside the others."""

    @property
    def is_busy(self) -> bool:
        """Whether a job is there."""
        return self.ticket is not None

    def neighbour(self, *, same_device: bool) -> Neighbour | None:
        """Return what others are told of it; None where it holds nothing."""
        pid = (self.pid if self.is_busy else None) or self.runner.worker.pid
        if pid is None:
            return None
        planned = self.planned if self.is_busy else None
        return Neighbour(
            pid=pid,
            host_bytes=planned.predicted_host_bytes if planned else 0,
            device_bytes=planned.predicted_device_bytes if planned and same_device else 0,
            device_held_bytes=self.device_held_bytes if same_device else 0,
            disk_bytes=planned.disk_bytes if planned else 0,
            ram_limit_gb=self.ticket.ram_limit_gb if self.ticket else None,
        )


class Places:
    """The places of a queue. Not thread-safe: the queue holds its lock meanwhile.

    Of several, one at a time has a job whose plan is not known yet, so that each plan counts what all others have
    planned. With several `gpus` a job that names none has the one with the fewest jobs, and sees no other.
    """

    def __init__(self, runners: Sequence[Runner], gpus: Sequence[Slot] = ()) -> None:
        self._places = [JobPlace(runner) for runner in runners]
        self._gpus = tuple(gpus)
        self._must_wait = False

    @classmethod
    def of(cls, at_once: AtOnce, make: Callable[[], SharingRunner], hardware: Hardware | None = None) -> Self:
        """Make so many places, each with a runner of its own. Probes the hardware where that matters."""
        if at_once == 1:
            return cls([make()])
        gpus = equal_gpus(hardware or probe_hardware())
        count = max(1, len(gpus)) if at_once == "auto" else at_once
        return cls([make() for _ in range(count)], gpus if len(gpus) > 1 else ())

    def __len__(self) -> int:
        return len(self._places)

    @property
    def all(self) -> Sequence[JobPlace]:
        """All places."""
        return self._places

    @property
    def busy(self) -> list[JobPlace]:
        """Those with a job."""
        return [place for place in self._places if place.is_busy]

    @property
    def tickets(self) -> list[Ticket]:
        """What runs."""
        return [place.ticket for place in self._places if place.ticket]

    @property
    def warm(self) -> list[JobPlace]:
        """Those without a job whose worker still holds memory."""
        return [place for place in self._places if not place.is_busy and place.runner.worker.pid]

    @property
    def workers(self) -> list[WorkerState]:
        """The workers of all places."""
        return [place.runner.worker for place in self._places]

    def runs(self, job: Job) -> bool:
        """Whether `job` is at one of them."""
        return any(ticket.job == job for ticket in self.tickets)

    # -- who runs where ---------------------------------------------------------------------------------------

    def place_for(self, ticket: Ticket) -> JobPlace | None:
        """Return where `ticket` is to run now; None where it has to wait."""
        free = [place for place in self._places if not place.is_busy]
        if not free or self._must_wait or self.runs(ticket.job) or any(not p.planned for p in self.busy):
            return None
        slot = self._slot_for(ticket)
        # A worker that is warm, and at home there, starts at once.
        return min(free, key=lambda place: (place.slot != slot, not place.runner.worker.pid))

    def begin(self, place: JobPlace, ticket: Ticket) -> None:
        """Put a job at a place that is free."""
        slot = self._slot_for(ticket)
        if slot != place.slot:
            place.device_held_bytes = 0
        place.slot, place.ticket, place.pid, place.planned, place.is_given_back = (
            slot,
            ticket,
            None,
            None,
            False,
        )

    def end(self, place: JobPlace) -> None:
        """Take the job away from a place: what did not fit before may fit now."""
        place.ticket, place.planned = None, None
        self._must_wait = False

    def wait_for_room(self) -> None:
        """Let nobody begin until a job has ended; where none runs, nobody need wait."""
        self._must_wait = bool(self.busy)

    def hear(self, place: JobPlace, event: Event) -> bool:
        """Take in an event of the job at `place`; return whether that is news to its neighbours."""
        match event:
            case events.Started():
                place.pid, place.planned = event.worker_pid, None
            case events.Planned() if event.risk != "cannot":  # else it is about to fail
                place.planned = event
            case events.Memory():
                place.device_held_bytes = event.device_bytes
                return False
            case events.Queued():
                place.is_given_back = True
                return False
            case _:
                return False
        return True

    # -- who is beside whom -----------------------------------------------------------------------------------

    def introduce(self) -> None:
        """Tell each place with a job of those beside it."""
        if len(self._places) > 1:
            for place in self.busy:
                if isinstance(place.runner, SharingRunner):
                    place.runner.meet(self.beside(place))

    def beside(self, place: JobPlace) -> list[Neighbour]:
        """Return who is beside `place`."""
        found = (
            other.neighbour(same_device=_device(other) == _device(place))
            for other in self._places
            if other is not place
        )
        return [each for each in found if each]

    def _slot_for(self, ticket: Ticket) -> Slot | None:
        if not self._gpus or is_on_host(ticket.device):
            return None
        if ":" in ticket.device:
            return Slot(ticket.device)
        taken = [place.slot.device for place in self.busy if place.slot and place.ticket is not ticket]
        return min(self._gpus, key=lambda slot: taken.count(slot.device))


def equal_gpus(hardware: Hardware) -> tuple[Slot, ...]:
    """Return the GPUs that are of the kind that a job alone would have: on another one its result may differ."""
    first = hardware.device()
    return tuple(
        Slot(torch_name(device), device.alone)
        for device in hardware.devices
        if first and device.alone and device.name == first.name
    )


def _device(place: JobPlace) -> str:
    """The device of a place by name; all have the same one where there are not several."""
    return place.slot.device if place.slot else ""
