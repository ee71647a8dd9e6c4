"""The jobs that wait for a runner, in the order in which they start; each knows its position by its journal."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from pipelines.errors import BadInput
from pipelines.jobs.job import Job
from pipelines.scheduler.ticket import Ticket


class WaitingLine:
    """Tickets of waiting jobs, next one first. Not thread-safe: the queue that owns it holds its lock meanwhile."""

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._tickets)

    @property
    def jobs(self) -> list[Job]:
        """The jobs, next one first."""
        return [ticket.job for ticket in self._tickets]

    def ahead_of(self, job: Job) -> Sequence[Ticket] | None:
        """Return those that start before `job`; None where it does not wait."""
        jobs = self.jobs
        return list(self._tickets)[: jobs.index(job)] if job in jobs else None

    def append(self, ticket: Ticket) -> None:
        """Add a ticket, whose position has been recorded, as the last one."""
        self._tickets.append(ticket)

    def take(self) -> Ticket:
        """Remove and return the next one. Raises IndexError where nobody waits."""
        return self._tickets.popleft()

    def remove(self, job: Job) -> bool:
        """Remove `job`; return whether it waited."""
        ticket = next((each for each in self._tickets if each.job == job), None)
        if ticket is None:
            return False
        self._tickets.remove(ticket)
        return True

    def move(self, job: Job, places: int, among: Collection[Job]) -> None:
        """Move `job` by so many places among those of `among`; below 0, it starts earlier.

        Those exchange their places; all others keep theirs. Raises BadInput where `job` does not wait.
        """
        slots = [slot for slot, ticket in enumerate(self._tickets) if ticket.job in among]
        tickets = [self._tickets[slot] for slot in slots]
        moved = next((ticket for ticket in tickets if ticket.job == job), None)
        if moved is None:
            raise BadInput(
                "The job is not waiting any more.", "Only waiting jobs can be moved.", "job.not_waiting"
            )
        place = tickets.index(moved) + places
        tickets.remove(moved)
        tickets.insert(max(0, place), moved)
        for slot, ticket in zip(slots, tickets, strict=True):
            changed = self._tickets[slot] is not ticket
            self._tickets[slot] = ticket
            if changed:
                _record_position(ticket, slot)

    def record_positions(self) -> None:
        """Record in the journal of each job how many are ahead of it."""
        for position, ticket in enumerate(self._tickets):
            _record_position(ticket, position)


def _record_position(ticket: Ticket, position: int) -> None:
    # A job whose folder was removed by hand fails when its turn comes.
    with suppress(OSError):
        ticket.record(position)
