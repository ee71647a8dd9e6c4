"""A line in which wrong passwords wait for themselves."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from ui.server import guesses
from ui.server.guesses import FREE_FAILURES, Line, TooManyGuesses

USERS = {"ann": b"a", "bob": b"b", "cleo": b"c"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Checks:
    """A check that ends when it may; `asked` are those that were made, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.turns = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def __call__(self, name: str, secret: bytes) -> bool:
        self.asked.append((name, secret))
        self.begun.release()
        assert self.turns.acquire(timeout=300)
        return USERS.get(name) == secret

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self.turns.release()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def line(checks: Checks, clock: Clock) -> Any:
    yield Line(checks, USERS.__contains__, clock)
    checks.let(10_000)


def joined(line: Line, *guesses: tuple[str, str, str]) -> list["Future[bool] | None"]:
    """The answers to come; None for those that were sent away at once."""
    found: list[Future[bool] | None] = []
    for guess in guesses:
        try:
            found.append(line.join(*guess))
        except TooManyGuesses:
            found.append(None)
    return found


def right(line: Line, checks: Checks, name: str = "bob", address: str = "1.1.1.1") -> int:
    """How many checks it takes until a right password that comes now is accepted."""
    before = len(checks.asked)
    answer = line.join(address, name, USERS[name].decode())
    checks.let(100)
    assert answer.result(60)
    checks.turns = threading.Semaphore(0)
    at = checks.asked.index((name, USERS[name]), before)
    return at - before + 1


FLOODS: dict[str, Callable[[int], tuple[str, str]]] = {
    "one name": lambda i: ("1.1.1.1", "ann"),
    "one name of many addresses": lambda i: (f"9.9.9.{i}", "ann"),
    "names made up": lambda i: ("1.1.1.1", f"nobody{i}"),
    "names made up of many addresses": lambda i: (f"9.9.9.{i}", f"nobody{i}"),
    "two names": lambda i: ("1.1.1.1", ("ann", "cleo")[i % 2]),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_right_login_of_somebody_else_waits_for_few_of_sixty_wrong_ones(
    line: Line, checks: Checks, flood: str
) -> None:
    joined(line, *((*FLOODS[flood](i), "wrong") for i in range(60)))
    assert checks.begun.acquire(timeout=300), "one is being checked"
    assert right(line, checks) <= 3


def test_sixty_guesses_at_once_are_few_checks(line: Line, checks: Checks) -> None:
    answers = joined(line, *[("1.1.1.1", "ann", "wrong")] * 60)
    taken = [answer for answer in answers if answer]
    checks.let(100)
    assert not any(answer.result(60) for answer in taken)
    assert len(taken) == len(checks.asked) <= FREE_FAILURES


def test_after_some_failures_there_is_a_pause_that_doubles(line: Line, checks: Checks, clock: Clock) -> None:
    checks.let(100)
    for _ in range(FREE_FAILURES):
        assert not line.join("1.1.1.1", "ann", "wrong").result(60)
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        for wait in (0, pause - 0.5):
            clock.now += wait
            with pytest.raises(TooManyGuesses) as told:
                line.join("1.1.1.1", "ann", "a")
            clock.now -= wait
        assert told.value.status_code == 429 and told.value.headers == {"Retry-After": "1"}
        assert line.join("2.2.2.2", "ann", "a").result(60), "from elsewhere"
        assert line.join("1.1.1.1", "bob", "b").result(60), "somebody else"
        clock.now += pause
        assert not line.join("1.1.1.1", "ann", "wrong").result(60)
    clock.now += 60
    assert line.join("1.1.1.1", "ann", "a").result(60)
    for _ in range(FREE_FAILURES):
        assert not line.join("1.1.1.1", "ann", "wrong").result(60), "a right one clears what was"


def test_failures_are_forgotten(line: Line, checks: Checks, clock: Clock) -> None:
    checks.let(100)
    for _ in range(FREE_FAILURES):
        line.join("1.1.1.1", "ann", "wrong").result(60)
    clock.now += 15 * 60
    assert not line.join("1.1.1.1", "ann", "wrong").result(60)
    assert line.join("1.1.1.1", "ann", "a").result(60)


def test_a_guess_that_waits_has_to_pause_too(line: Line, checks: Checks, clock: Clock) -> None:
    checks.let(FREE_FAILURES - 1)
    for _ in range(FREE_FAILURES - 1):
        line.join("1.1.1.1", "ann", "wrong").result(60)
    first, second = joined(line, ("1.1.1.1", "ann", "wrong"), ("1.1.1.1", "ann", "a"))
    checks.let(100)
    assert first and second and not first.result(60)
    with pytest.raises(TooManyGuesses):
        second.result(60)


def test_made_up_names_pause_as_others_do(line: Line, checks: Checks) -> None:
    checks.let(100)
    for _ in range(FREE_FAILURES):
        assert not line.join("1.1.1.1", "nobody", "a").result(60)
    with pytest.raises(TooManyGuesses):
        line.join("1.1.1.1", "nobody", "a")


def test_the_line_and_what_it_remembers_are_bounded(
    line: Line, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "_MOST_WAITING", 8)
    monkeypatch.setattr(guesses, "_MOST_FAILURES", 20)
    flood = joined(line, *(("1.1.1.1", f"nobody{i}" * 1000, "x" * 10**6) for i in range(50)))
    assert len(line._waiting) <= 8
    assert sum(len(each.name) + len(each.secret) for each in line._waiting) < 8 * 200
    bob = line.join("2.2.2.2", "bob", "b")
    checks.let(100)
    assert bob.result(60), "who comes from elsewhere is not the one who is sent away"
    ends = [answer.exception(60) for answer in flood if answer]
    assert sum(isinstance(end, TooManyGuesses) for end in ends) >= 40
    assert len(line._failures._found) <= 20


def test_a_check_that_fails_is_an_error_and_the_line_goes_on(clock: Clock) -> None:
    def check(name: str, secret: bytes) -> bool:
        if name == "broken":
            raise OSError("no")
        return True

    line = Line(check, lambda _: True, clock)
    with pytest.raises(OSError, match="no"):
        line.join("1.1.1.1", "broken", "x").result(60)
    assert line.join("1.1.1.1", "ann", "x").result(60)


def test_who_no_longer_waits_is_no_harm(line: Line, checks: Checks) -> None:
    first = line.join("1.1.1.1", "ann", "a")
    gone = line.join("1.1.1.1", "bob", "b")
    assert gone.cancel()
    checks.let(100)
    assert first.result(60) and line.join("1.1.1.1", "cleo", "c").result(60)
