"""Stages of one job, computed by a crew: gives out spans, hears what members say, replaces those that are lost.

The run stays the only writer of the journal. Members publish their spans themselves, each once.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from memory.ladder import LimitPassed
from pipelines.errors import NoWorker, Sentence, WorkerDied
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.crew import PATIENT, Compute, Crew, Idle, Less, Lost, Open, Ready, Said, Until, Waiting
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.progress import Throughput
from pipelines.runtime.reporter import Reporter
from pipelines.runtime.stretches import MOST_LOSSES, Stretches
from pipelines.runtime.watchdog import LIFE, Watchdog
from pipelines.spans import Span
from pipelines.stages import Stage

_POLL_SECONDS = 0.1
"""How long a look for news of the members waits at most: a request to stop is heard that late."""
_NO_ORDER = 0
_MOST_LOST = 8
"""So many lost members are told of while nobody has come for them."""


class Stopped(Exception):
    """Raised where a run is to stop; `ending` is the event that it ends with."""

    def __init__(self, ending: Event) -> None:
        super().__init__()
        self.ending = ending


@dataclass
class _Member:
    """What a run knows of a member: its state, the number of its order, its last sign of life, whom it replaces."""

    dog: Watchdog
    state: events.MemberState = "starting"
    order: int = _NO_ORDER
    stage: str = ""
    spans: tuple[Span, ...] = ()
    attempt: int = 1
    frame: int = -1
    replaces: events.LostMember | None = None


class CrewRun:
    """Computes stages with at most `wanted` members, which are hired when there is work for them."""

    def __init__(
        self,
        job: Job,
        crew: Crew,
        wanted: int,
        opening: Open,
        report: Reporter,
        event_log: EventLog,
        *,
        look: Callable[[], None],
        check_inputs: Callable[[], None],
        stuck_seconds: float | None = None,
        joins: bool = False,
        waiting: Waiting = PATIENT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`look` raises where the job is to stop, MemoryError where it is to use less memory.

        `check_inputs` is called before a span is recorded. A member that makes no progress for `stuck_seconds` is
        replaced (None: see Watchdog). With `joins` members come and go by themselves, and have memory of their own;
        `wanted` may be 0 then: all that join. `waiting` says for how long nobody has to be there.
        """
        self._job, self._crew, self._wanted, self._opening = job, crew, wanted, opening
        self._joins = joins
        self._report, self._log = report, event_log
        self._look, self._check_inputs = look, check_inputs
        self._waiting, self._now, self._alone_since = waiting, now, now()
        self._new_dog = partial(Watchdog, stuck_seconds, now=now)
        self._members: dict[int, _Member] = {}
        self._orders = _NO_ORDER
        self._lost_at_start = 0
        self._waits = False
        self._open_spans = 0
        self._lost: deque[events.LostMember] = deque(maxlen=_MOST_LOST)
        """Those for whom nobody has been hired yet."""
        self._told: events.Crewed | None = None

    def run_stage(self, stage: Stage, spans: list[Span], finished: set[Span], halo: int = 0) -> None:
        """Compute those of the job's `spans` that are not `finished`, and add them there. Holds a member's messages.

        A stretch costs `halo` frames' work beside its own.

        Raises the error that a member reports, Stopped where it cannot go on for now, WorkerDied where three members
        were lost at the same span, and what `look` and `check_inputs` raise.
        """
        missing = [span for span in spans if span not in finished]
        self._open_spans = len(missing)
        self._lost.clear()
        self._alone_since = self._now()
        self._hire(1 if stage.in_order else len(missing))
        parts = len(self._members) if self._joins else self._wanted
        stretches = Stretches(missing, max(1, parts), halo, in_order=stage.in_order)
        now = _Pass(stage, stretches, sum(map(len, spans)), finished, halo)
        while not now.stretches.is_done:
            self._hire(1 if stage.in_order else now.stretches.open_spans)
            self._give(now)
            self._tell_crew()
            for number, said in self._crew.poll(_POLL_SECONDS):
                self._hear(number, said, now)
            self._watch(now)
            try:
                self._look()
            except MemoryError as error:
                self._use_less(now, error)
        for number, member in self._members.items():
            if member.state == "busy":  # with what another has finished by now
                self._crew.tell(number, Until(number=member.order, frame=0))

    def end(self) -> None:
        """End the members once all is computed, and tell so."""
        self.close()
        self._lost.clear()
        self._tell_crew()

    def close(self, *, at_once: bool = False) -> None:
        """End the members; those that are at work at their next frame, unless all are to end at once."""
        for number, member in list(self._members.items()):
            if member.state != "busy":
                self._crew.kill(number)
        self._crew.close(at_once=at_once)
        self._members.clear()

    # -- work ------------------------------------------------------------------------------------------------

    def _hire(self, most: int) -> None:
        """Hire members up to as many as are wanted, and as many as there can be work for."""
        if any(member.state != "starting" for member in self._members.values()):
            self._alone_since = self._now()
        while len(self._members) < min(self._wanted or most, most):
            if (number := self._crew.hire()) is None:
                break
            replaces = self._lost.popleft() if self._lost else None
            self._members[number] = _Member(self._new_dog(), replaces=replaces)
            self._crew.tell(number, self._opening)
        if most and not self._members:
            self._report.beat()
            if not self._waits:
                self._tell_crew()
                self._report.warn("workers", self._waiting.words)
            self._check_patience()
        self._waits = not self._members

    def _check_patience(self) -> None:
        """Raise NoWorker where nobody has been there for longer than the job may wait."""
        most = self._waiting.most_seconds
        if most is not None and self._now() - self._alone_since >= most:
            raise NoWorker(
                f"No worker was free for {most:.0f} s.",
                "Finished spans are kept. `python -m pipelines doctor --crew` with the same flags says who is there; "
                "then resume.",
                "worker.none",
                waited_seconds=most,
            )

    def _give(self, now: "_Pass") -> None:
        silent = [n for n, member in self._members.items() if member.state == "busy" and member.dog.is_silent]
        for number, member in self._members.items():
            if member.state != "idle" or (given := now.stretches.give(number, silent)) is None:
                continue
            if given.taken_from in self._members:
                victim = self._members[given.taken_from]
                stop = given.spans[0].start
                victim.spans = tuple(span for span in victim.spans if span.start < stop)
                self._crew.tell(given.taken_from, Until(number=victim.order, frame=stop))
            self._orders += 1
            work = now.stretches.work_of(number)
            member.state, member.order, member.stage = "busy", self._orders, now.stage.name
            member.spans, member.attempt, member.frame = given.spans, work[1] if work else 1, -1
            member.dog = self._new_dog()
            pairs = tuple((span.start, span.stop) for span in given.spans)
            stage = now.stage.name
            self._crew.tell(number, Compute(number=self._orders, stage=stage, spans=pairs, halo=now.halo))

    def _hear(self, number: int, said: Said, now: "_Pass") -> None:
        if (member := self._members.get(number)) is None:  # it was sent away
            return
        if isinstance(said, LIFE):
            member.dog.hear(said)
        match said:
            case Ready():
                member.state, member.replaces, self._lost_at_start = "idle", None, 0
            case Idle(number=order):
                if order == member.order:
                    now.stretches.end(number)
                    member.state, member.spans = "idle", ()
            case Lost():
                self._replace(number, member, said, now)
            case events.Failed():
                raise said.to_error()
            case events.Paused():
                raise Stopped(said)
            case _:
                self._record(number, member, said, now)

    def _record(self, number: int, member: _Member, event: Event, now: "_Pass") -> None:
        """Record what a member tells of its work, in the run's own figures."""
        match event:
            case events.Segment():
                span = Span(event.start, event.stop)
                if member.stage == now.stage.name and now.stretches.publish(number, span):
                    self._check_inputs()
                    self._report.emit(event.model_copy(update={"worker": number}))
                    now.finished.add(span)
                    self._open_spans = now.stretches.open_spans
                    now.done += len(span)
                    member.frame = -1
            case events.Progress():
                member.frame = event.frame
                if self._log.is_due("progress"):
                    self._report.emit(self._progress(event, now))
            case events.Preview() | events.Heartbeat():
                if self._log.is_due(event.type):
                    self._report.emit(event)
            case events.Degraded():
                self._report.emit(event.model_copy(update={"worker": number}))
            case events.Warned():
                self._report.warn(event.code, Sentence(event.message, event.key, **event.values))
            case _:
                pass

    def _progress(self, event: events.Progress, now: "_Pass") -> events.Progress:
        """Return the progress of all members."""
        begun = sum(
            member.frame + 1 - span.start
            for member in self._members.values()
            for span in member.spans
            if span.start <= member.frame < span.stop and span not in now.finished
        )
        done = min(now.throughput.total, now.done + begun)
        rate, left = now.throughput.at(done)
        figures = {
            "done": done,
            "total": now.throughput.total,
            "frames_per_second": rate,
            "eta_seconds": left,
        }
        return event.model_copy(update=figures)

    # -- what goes wrong -------------------------------------------------------------------------------------

    def _replace(self, number: int, member: _Member, lost: Lost, now: "_Pass") -> None:
        """Take back the work of a lost member; another is hired for it."""
        del self._members[number]
        if lost.counts:
            now.stretches.lose(number)
            self._lost_at_start += member.state == "starting"
        else:
            now.stretches.take_back(number)
        losses = max(now.stretches.losses, self._lost_at_start)
        if losses >= MOST_LOSSES:
            raise WorkerDied(
                f"The last of {losses} workers that were lost at the same place {lost.how}.",
                "Finished spans are kept. Try a lower --quality or --ram-limit-gb, or fewer --workers, then resume.",
                "worker.died",
                tries=losses,
            )
        words = Sentence(
            f"Worker {number} {lost.how}; what it had not finished is computed again.",
            "member_lost",
            worker=number,
        )
        self._report.warn("worker_died", words)
        self._lost.append(events.LostMember.of(number, lost.how))
        self._tell_crew()

    def _watch(self, now: "_Pass") -> None:
        """Replace members that make no progress for too long."""
        for number, member in list(self._members.items()):
            if member.state == "idle":
                continue
            member.dog.tick()
            if member.dog.is_stuck:
                seconds = round(member.dog.silent_seconds)
                words = f"made no progress for {seconds} s and was replaced"
                self._crew.kill(number)
                self._replace(number, member, Lost(Sentence(words, "lost_silent", seconds=seconds)), now)

    def _use_less(self, now: "_Pass", error: MemoryError) -> None:
        """Go on with one member less; the last one steps down its own ladder."""
        if self._joins:  # it is not their memory that is short
            return
        if len(self._members) < 2:
            for number in self._members:
                self._crew.tell(number, Less())
            if not self._members:
                raise error
            return
        number = min(self._members, key=lambda each: sum(map(len, self._members[each].spans)))
        member = self._members.pop(number)
        self._crew.kill(number)
        now.stretches.take_back(number)
        self._lost.clear()  # nobody is hired for them any more
        self._wanted = len(self._members)
        why = "passed its limit for a moment" if isinstance(error, LimitPassed) else "is short of memory"
        self._report.emit(
            events.Degraded(
                job=self._job.id,
                frame=max(member.frame, 0),
                rung="workers",
                change="exact",
                message=f"The job {why}: it goes on with {self._wanted} of its workers.",
                worker=number,
            )
        )
        self._tell_crew()

    def _tell_crew(self) -> None:
        """Tell who is at work on what, and who was lost, where that has changed."""
        members = tuple(
            events.Member(
                worker=number,
                state=member.state,
                stage=member.stage if member.spans else "",
                start=member.spans[0].start if member.spans else 0,
                stop=member.spans[-1].stop if member.spans else 0,
                attempt=member.attempt,
                device=self._crew.device(number),
            )
            for number, member in self._members.items()
        )
        starting = [member.replaces for member in self._members.values() if member.replaces]
        wanted = self._wanted or max(1, len(members))
        told = events.Crewed(
            job=self._job.id,
            wanted=wanted,
            members=members,
            lost=(*starting, *self._lost),
            open_spans=self._open_spans,
        )
        before = self._told
        same = {"time": before.time, "open_spans": before.open_spans} if before else {}
        if before is None or told.model_copy(update=same) != before:
            self._told = told
            self._report.emit(told)


class _Pass:
    """One stage while it is computed: who has which spans, which are finished, and how fast it goes."""

    def __init__(
        self, stage: Stage, stretches: Stretches, frames: int, finished: set[Span], halo: int
    ) -> None:
        self.stage, self.stretches, self.finished, self.halo = stage, stretches, finished, halo
        self.done = sum(map(len, finished))
        self.throughput = Throughput(total=frames, done=self.done)
