"""A crew of workers that have joined a folder or a store, on whichever machines: no port, no service of ours.

A run takes free workers one by one, each for itself alone, and lets go of them at its end.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from pydantic import BaseModel

from pipelines.errors import LongtakeError
from pipelines.jobs import events
from pipelines.runtime.crew import CrewRequest, Lost, Order, Ready, Said
from pipelines.storage.names import shortened
from pipelines.workers.builds import difference
from pipelines.workers.exchange import ANSWERS, RUN, Answer, Card, Exchange, Gone, Leave, Post

_LOOK_SECONDS = 0.5
"""How often is looked for workers that have joined."""
_STOP_SECONDS = 10.0
"""How long all members together may take to stop at their next frame, before nobody waits for them."""
_STOP_POLL_SECONDS = 0.05


@dataclass
class _Member:
    """A worker that this run has taken."""

    post: Post
    card: Card
    is_ready: bool = False


class PulledCrew:
    """Members that have joined `exchange` by `python -m pipelines work`.

    Those of other builds, or on another kind of device, are not taken unless `mixed`; a warning says why.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: CrewRequest,
        builds: dict[str, str],
        device: str,
        *,
        mixed: bool = False,
        wait: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`builds` and `device` are those of the run.

        Raises OSError where nothing can be written there, BadInput where the job cannot be sent there.
        """
        self._exchange, self._warn = exchange, request.warn
        self._here, self._mixed = Card(host="", device=device, builds=builds), mixed
        self._wait, self._now = wait, now
        self._name = f"{RUN}{secrets.token_hex(8)}"
        self._side = exchange.run_side(self._name, request)
        self._pulse = exchange.pulse(self._name)
        self._pulse.__enter__()
        self._members: dict[int, _Member] = {}
        self._devices: dict[int, str] = {}
        self._refused: set[str] = set()
        self._next_look = now()
        exchange.forget_the_gone(self._pulse)

    def hire(self) -> int | None:
        """Take one more of the workers that have joined; None where none is free now. Raises OSError."""
        if self._now() < self._next_look:
            return None
        self._pulse.renew()  # in case somebody has removed all
        for post in self._exchange.posts():
            if post.name in self._refused or not (card := self._free(post)):
                continue
            if post.take(self._name):
                number = len(self._devices) + 1
                self._refused.add(post.name)  # a post serves once
                self._members[number] = _Member(post, card)
                self._devices[number] = f"{card.device} ({shortened(card.host)})"
                return number
        self._next_look = self._now() + _LOOK_SECONDS
        return None

    def device(self, member: int) -> str:
        """Return the name of the device that `member` computes on, and of its machine."""
        return self._devices[member]

    def tell(self, member: int, order: Order) -> None:
        """Give `member` an order; one that is gone is said to be `Lost` later."""
        if each := self._members.get(member):
            for message in self._side.orders(each.post.name, order):
                _put(each, message)

    def poll(self, timeout_seconds: float) -> Iterator[tuple[int, Said]]:
        """Wait until a member says something, at most so long, and yield all that was said, in its order."""
        if not (news := self._news()):
            self._wait(timeout_seconds)
            news = self._news()
        yield from news

    def kill(self, member: int) -> None:
        """Let `member` go; it ends what it computes at once."""
        if each := self._members.pop(member, None):
            _put(each, Leave(at_once=True))

    def close(self, *, at_once: bool = False) -> None:
        """Let all members go, and wait until those that live have stopped at their next frame, unless `at_once`."""
        members, self._members = list(self._members.values()), {}
        self._exchange.hurry()
        for member in members:
            _put(member, Leave(at_once=at_once))
        until = self._now() + (0 if at_once else _STOP_SECONDS)
        with suppress(OSError):
            while self._now() < until and any(
                self._pulse.age(each.post.name) < self._exchange.gone_seconds for each in members
            ):
                self._wait(_STOP_POLL_SECONDS)
        self._side.close()
        self._pulse.close(remove=True)

    # -- who is there ----------------------------------------------------------------------------------------

    def _free(self, post: Post) -> Card | None:
        """Who the worker is, where it lives, is free, and is one that this run can use."""
        is_gone = self._pulse.age(post.name) >= self._exchange.gone_seconds
        if is_gone or post.taken_by() or not (card := post.card()):
            return None
        if self._mixed or not (differs := difference(self._here, card)):
            return card
        self._refused.add(post.name)
        self._warn("workers", differs)
        return None

    # -- what they say ---------------------------------------------------------------------------------------

    def _news(self) -> list[tuple[int, Said]]:
        return [(number, said) for number in list(self._members) for said in self._heard(number)]

    def _heard(self, number: int) -> Iterator[Said]:
        member = self._members[number]
        try:
            answers = member.post.answers.take(ANSWERS)
        except OSError:
            yield self._lose(number, "has removed its folder", counts=True)
            return
        for answer in answers:
            yield (said := self._said(number, member, answer))
            if isinstance(said, Lost):
                return
        gone_seconds = self._exchange.gone_seconds
        if not answers and self._pulse.age(member.post.name) >= gone_seconds:
            _put(member, Leave(at_once=True))  # for when it wakes up
            yield self._lose(number, f"gave no sign of life for {gone_seconds:.0f} s", counts=True)

    def _said(self, number: int, member: _Member, answer: Answer) -> Said:
        match answer:
            case Gone(how=how, by_itself=by_itself):
                member.post.remove()
                return self._lose(number, how, counts=not by_itself)
            case events.Failed() if not member.is_ready:
                # A worker that sees other files than this run is no fault of the job.
                _put(member, Leave())
                where = f"on {shortened(member.card.host)} cannot open the job"
                return self._lose(number, f"{where}: {answer.message}", counts=False)
            case Ready():
                member.is_ready = True
            case events.Segment() | events.Preview():
                try:
                    return self._side.received(answer)
                except LongtakeError as error:
                    _put(member, Leave(at_once=True))
                    return self._lose(number, f"has sent what cannot be used: {error.message}", counts=True)
        return answer

    def _lose(self, number: int, how: str, *, counts: bool) -> Lost:
        self._members.pop(number, None)
        return Lost(how, counts)


def _put(member: _Member, message: BaseModel) -> None:
    try:
        member.post.orders.put(message)
    except OSError:  # it is gone, which is noticed when its answers are read
        return
