"""The jobs that wait for a runner, in the order in which they start; each knows its position by its journal."""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipelines.errors import BadInput
from pipelines.jobs.job import Job
from pipelines.scheduler.ticket import Ticket


@dataclass(eq=False)
class _Slot:
    """A place in the line, with the round in which its visitor's turn is, and whoever has the place now."""

    ticket: Ticket
    round: int


class WaitingLine:
    """Tickets of waiting jobs, next one first: the visitors in turn, each one's in the order in which they came.

    A visitor's tickets are of one round after another, from the one that is under way when the first of them comes on;
    within a round those that came first are first. So who brings many keeps nobody waiting for more than one of them.
    Where several jobs run at once (`at_once`), whoever has the fewest running is next, whatever the round.

    Not thread-safe: the queue that owns it holds its lock meanwhile. Holds one number for each visitor who waits, runs
    or is ahead of the round.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._slots: list[_Slot] = []
        self._put_back: _Slot | None = None
        self._round = 0
        self._next_round: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._order: list[_Slot] | None = None

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Ticket]:
        return (slot.ticket for slot in self._ordered())

    def __contains__(self, job: Job) -> bool:
        return any(slot.ticket.job == job for slot in self._slots)

    @property
    def jobs(self) -> list[Job]:
        """The jobs, next one first."""
        return [ticket.job for ticket in self]

    @property
    def first(self) -> Ticket | None:
        """The next one; None where nobody waits."""
        return next(iter(self), None)

    @property
    def waits_for_room(self) -> bool:
        """Whether the next one has been put back."""
        return self._put_back is not None

    def ahead_of(self, job: Job) -> Sequence[Ticket] | None:
        """Return those that start before `job`; None where it does not wait."""
        jobs = self.jobs
        return list(self)[: jobs.index(job)] if job in jobs else None

    def append(self, ticket: Ticket) -> int:
        """Add a ticket as its visitor's last one; return how many are ahead of it."""
        own = max(self._round, self._next_round.get(ticket.visitor, 0))
        self._next_round[ticket.visitor] = own + 1
        self._slots.append(slot := _Slot(ticket, own))
        self._order = None
        return self._ordered().index(slot)

    def take(self) -> Ticket:
        """Remove and return the next one, which runs until `leave`. Raises IndexError where nobody waits."""
        slot = self._ordered()[0]
        self._slots.remove(slot)
        self._put_back = None
        self._round = max(self._round, slot.round)
        self._running[slot.ticket.visitor] += 1
        self._forget()
        return slot.ticket

    def leave(self, ticket: Ticket) -> None:
        """Count `ticket` as running no more."""
        self._running[ticket.visitor] -= 1
        self._running += Counter()  # drops those without any
        self._order = None

    def put_back(self, ticket: Ticket) -> None:
        """Let a ticket that was taken be the next one again, whoever comes."""
        self.leave(ticket)
        self._put_back = _Slot(ticket, self._round)
        self._slots.insert(0, self._put_back)

    def remove(self, job: Job) -> bool:
        """Remove `job`; return whether it waited. Its visitor's later ones each move up to the round before."""
        slot = next((each for each in self._slots if each.ticket.job == job), None)
        if slot is None:
            return False
        round_ = slot.round
        for later in self._slots[self._slots.index(slot) + 1 :]:
            if later.ticket.visitor == slot.ticket.visitor:
                later.round, round_ = round_, later.round
        self._next_round[slot.ticket.visitor] = round_
        self._slots.remove(slot)
        if slot is self._put_back:
            self._put_back = None
        self._forget()
        return True

    def move(self, job: Job, places: int, among: Collection[Job]) -> None:
        """Move `job` by so many places among those of `among`; below 0, it starts earlier.

        Those exchange their places; all others keep theirs. Raises BadInput where `job` does not wait.
        """
        numbered = [(n, slot) for n, slot in enumerate(self._ordered()) if slot.ticket.job in among]
        tickets = [slot.ticket for _, slot in numbered]
        moved = next((ticket for ticket in tickets if ticket.job == job), None)
        if moved is None:
            raise BadInput(
                "The job is not waiting any more.", "Only waiting jobs can be moved.", "job.not_waiting"
            )
        place = tickets.index(moved) + places
        tickets.remove(moved)
        tickets.insert(max(0, place), moved)
        for (number, slot), ticket in zip(numbered, tickets, strict=True):
            changed = slot.ticket is not ticket
            slot.ticket = ticket
            if changed:
                self._record(slot, number)

    def record_positions(self, behind: int = 0) -> None:
        """Record in the journal of each job, but the first `behind`, how many are ahead of it."""
        for position, slot in enumerate(self._ordered()):
            if position >= behind:
                self._record(slot, position)

    def _record(self, slot: _Slot, position: int) -> None:
        # A job whose folder was removed by hand fails when its turn comes.
        with suppress(OSError):
            slot.ticket.record(position, "room" if slot is self._put_back else "turn")

    def _forget(self) -> None:
        """Forget the order, and visitors who are not ahead of the round."""
        self._order = None
        self._next_round = {who: next_ for who, next_ in self._next_round.items() if next_ > self._round}

    def _ordered(self) -> list[_Slot]:
        if self._order is None:
            others = [slot for slot in self._slots if slot is not self._put_back]
            others.sort(key=lambda slot: slot.round)
            first = [self._put_back] if self._put_back else []
            self._order = first + (others if self._at_once == 1 else self._in_turn(others))
        return self._order

    def _in_turn(self, slots: Sequence[_Slot]) -> list[_Slot]:
        """The slots, sorted by rounds, as those take them who have the fewest running, if nothing that runs ends."""
        running, left = Counter(self._running), deque(slots)
        if self._put_back:
            running[self._put_back.ticket.visitor] += 1
        found: list[_Slot] = []
        while left:
            fewest = min(left, key=lambda slot: running[slot.ticket.visitor])
            left.remove(fewest)
            running[fewest.ticket.visitor] += 1
            found.append(fewest)
        return found
