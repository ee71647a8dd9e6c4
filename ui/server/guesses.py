"""A line for guesses of passwords, in which wrong ones wait for themselves and nobody else.

Checking a password is slow on purpose, so whoever sends many can make others wait. Guesses are therefore checked one
after another, first those whose sender and name have failed least, and repeated failures have to pause.
"""

import hashlib
import itertools
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)

ASKING: ContextVar[str] = ContextVar("asking", default="")
"""The address from which the request comes that is being answered."""

FREE_FAILURES = 5
"""Wrong passwords of one sender for one name before a pause: what one mistypes in a morning."""
_LONGEST_PAUSE_SECONDS = 60.0
"""Reached at the 12th failure; then 1,440 guesses a day remain."""
_FORGET_SECONDS = 15 * 60.0
_MOST_FAILURES = 10_000
"""Senders and names of which failures are remembered, some 3 MB."""
_MOST_OF_ONE = 4
"""Guesses of one sender for one name that wait at a time: a browser and some programs."""
_MOST_WAITING = 256
"""Guesses that wait at a time, of all; each holds some 300 bytes."""
_MOST_NAME = 200
_MOST_SECRET = 73
"""Bytes that are kept of a password: one more than bcrypt reads, so that a longer one is seen to be too long."""


class TooManyGuesses(HTTPException):
    """A guess that is not looked at now."""

    def __init__(self, seconds: float) -> None:
        wait = max(1, math.ceil(seconds))
        unit = "second" if wait == 1 else "seconds"
        super().__init__(
            429, f"Too many wrong passwords. Try again in {wait} {unit}.", {"Retry-After": str(wait)}
        )


@dataclass(eq=False)
class _Guess:
    """A guess that waits. `number` counts arrivals."""

    address: str
    name: str
    secret: bytes
    number: int
    answer: "Future[bool]" = field(default_factory=Future)

    @property
    def pair(self) -> tuple[str, str]:
        return self.address, self.name


class Line:
    """The line. `check(name, secret)` tells whether a password is right, `is_known(name)` whether there is such a user.

    Guesses of unknown names that wait together are answered by one check, which takes as long as theirs would: random
    names cost no more than one. Thread-safe; nothing of it grows without bound.
    """

    def __init__(
        self,
        check: Callable[[str, bytes], bool],
        is_known: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._is_known = is_known
        self._failures = _Failures(clock)
        self._waiting: list[_Guess] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")

    def join(self, address: str, name: str, password: str) -> "Future[bool]":
        """Line up; returns the answer to come, which may be TooManyGuesses. Raises TooManyGuesses."""
        secret = password.encode(errors="replace")[:_MOST_SECRET]
        if len(name) > _MOST_NAME:
            name = hashlib.sha256(name.encode(errors="replace")).hexdigest()
        with self._lock:
            guess = _Guess(address, name, secret, next(self._numbers))
            self._failures.check_pause(guess.pair)
            if sum(each.pair == guess.pair for each in self._waiting) >= _MOST_OF_ONE:
                raise TooManyGuesses(1)
            self._waiting.append(guess)
            if len(self._waiting) > _MOST_WAITING:
                self._make_room()
        if not guess.answer.done():
            self._thread.submit(self._serve)
        return guess.answer

    def _make_room(self) -> None:
        """Send one away who came last of the address that has most in the line."""
        addresses = [each.address for each in self._waiting]
        crowded = max(addresses, key=addresses.count)
        last = max((each for each in self._waiting if each.address == crowded), key=lambda each: each.number)
        self._waiting.remove(last)
        last.answer.set_exception(TooManyGuesses(1))

    def _serve(self) -> None:
        """Check the guess whose turn it is, if any still waits."""
        with self._lock:
            guess = self._next()
        if guess is None:
            return
        try:
            is_right = self._check(guess.name, guess.secret)
        except BaseException as error:
            _tell(guess, error)
            raise
        with self._lock:
            alike = [] if is_right or self._is_known(guess.name) else self._take_unknown()
            for each in (guess, *alike):
                self._failures.note(each.pair, is_right=is_right)
                if self._failures.count(each.pair) == FREE_FAILURES:
                    log.warning("%d wrong passwords from %s for one name.", FREE_FAILURES, each.address)
        for each in (guess, *alike):
            _tell(each, is_right)

    def _next(self) -> _Guess | None:
        while self._waiting:
            guess = min(self._waiting, key=self._rank)
            self._waiting.remove(guess)
            try:
                self._failures.check_pause(guess.pair)
            except TooManyGuesses as error:
                _tell(guess, error)
            else:
                return guess
        return None

    def _rank(self, guess: _Guess) -> tuple[int, int, int, int]:
        count = self._failures.count
        return count(guess.pair), count((None, guess.name)), count((guess.address, None)), guess.number

    def _take_unknown(self) -> list[_Guess]:
        unknown = [each for each in self._waiting if not self._is_known(each.name)]
        self._waiting = [each for each in self._waiting if each not in unknown]
        return unknown


def _tell(guess: _Guess, answer: bool | BaseException) -> None:
    if not guess.answer.set_running_or_notify_cancel():
        return
    if isinstance(answer, BaseException):
        guess.answer.set_exception(answer)
    else:
        guess.answer.set_result(answer)


class _Failures:
    """Wrong passwords lately, by sender and name, by name alone and by sender alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: OrderedDict[tuple[str | None, str | None], tuple[int, float]] = OrderedDict()

    def count(self, key: tuple[str | None, str | None]) -> int:
        """How often `key` failed; forgotten some time after the last."""
        times, last = self._found.get(key, (0, 0.0))
        return times if self._clock() - last < _FORGET_SECONDS else 0

    def check_pause(self, pair: tuple[str, str]) -> None:
        """Raise TooManyGuesses where `pair` has to pause."""
        over = self.count(pair) - FREE_FAILURES
        if over >= 0:
            pause = min(2.0**over, _LONGEST_PAUSE_SECONDS) if over < 10 else _LONGEST_PAUSE_SECONDS
            left = self._found[pair][1] + pause - self._clock()
            if left > 0:
                raise TooManyGuesses(left)

    def note(self, pair: tuple[str, str], *, is_right: bool) -> None:
        """Note how a guess ended; a right one clears its pair."""
        address, name = pair
        if is_right:
            self._found.pop(pair, None)
            return
        for key in (pair, (None, name), (address, None)):
            self._found[key] = self.count(key) + 1, self._clock()
            self._found.move_to_end(key)
        while len(self._found) > _MOST_FAILURES:
            self._found.popitem(last=False)
