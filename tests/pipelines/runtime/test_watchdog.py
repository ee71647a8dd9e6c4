"""What counts as silence, and when it is too long."""

from pathlib import Path

import pytest

from pipelines.jobs import events
from pipelines.runtime.watchdog import LIFE, Watchdog


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pass_time(dog: Watchdog, clock: Clock, seconds: float) -> None:
    for _ in range(round(2 * seconds)):
        clock.now += 0.5
        dog.tick()


SEGMENT = events.Segment(job="x", start=0, stop=1, path=Path("x"))
MEMORY = events.Memory(
    job="x", host_bytes=1, host_peak_bytes=1, host_available_bytes=1, device_bytes=0, device_peak_bytes=0
)


def test_silence_ends_with_a_sign_of_life_and_with_nothing_else() -> None:
    clock = Clock()
    dog = Watchdog(now=clock)
    pass_time(dog, clock, 12)
    dog.hear(MEMORY)
    dog.hear(events.Warned(job="x", code="x", message="x"))
    assert dog.silent_seconds == 12
    dog.hear(SEGMENT)
    assert dog.silent_seconds == 0
    assert events.Memory not in LIFE and events.Heartbeat in LIFE


def test_two_minutes_are_too_long_where_frames_come_quickly() -> None:
    clock = Clock()
    dog = Watchdog(now=clock)
    for _ in range(20):
        pass_time(dog, clock, 1)
        dog.hear(SEGMENT)
    pass_time(dog, clock, 119)
    assert not dog.is_stuck
    pass_time(dog, clock, 1)
    assert dog.is_stuck


def test_where_frames_take_long_silence_may_be_longer() -> None:
    clock = Clock()
    dog = Watchdog(now=clock)
    for _ in range(20):
        pass_time(dog, clock, 60)
        dog.hear(SEGMENT)
    pass_time(dog, clock, 599)
    assert not dog.is_stuck
    pass_time(dog, clock, 1)
    assert dog.is_stuck


@pytest.mark.parametrize("asleep", [3.0, 600.0, 1e6])
def test_a_machine_that_slept_was_not_silent(asleep: float) -> None:
    clock = Clock()
    dog = Watchdog(now=clock)
    clock.now += asleep
    dog.tick()
    assert dog.silent_seconds == 1.0 and not dog.is_stuck


def test_the_limit_that_is_asked_for_holds() -> None:
    clock = Clock()
    dog = Watchdog(5, now=clock)
    pass_time(dog, clock, 4.5)
    assert not dog.is_stuck
    pass_time(dog, clock, 0.5)
    assert dog.is_stuck
