"""The last tab that closes says so, and one that is loaded anew does not."""

import threading

import pytest

from ui.server.sessions import Presence

PATIENCE_SECONDS = 180


class Told:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.one = threading.Event()

    def __call__(self, name: str) -> None:
        self.names.append(name)
        self.one.set()


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_last_session_that_ends_is_told(told: Told) -> None:
    presence = Presence(told, grace_seconds=0)
    for session in ("1", "2"):
        presence.arrive(session, "ann")
    presence.arrive("3", "bob")
    presence.leave("1")
    assert presence.is_there("ann") and not told.names
    presence.leave("2")
    assert told.one.wait(PATIENCE_SECONDS) and told.names == ["ann"]
    assert not presence.is_there("ann") and presence.is_there("bob")


def test_one_who_comes_back_in_time_never_left(told: Told) -> None:
    presence = Presence(told, grace_seconds=3600)
    presence.arrive("1", "ann")
    presence.leave("1")
    (timer,) = (t for t in threading.enumerate() if isinstance(t, threading.Timer))
    assert presence.is_there("ann")
    presence.arrive("2", "ann")
    timer.join(PATIENCE_SECONDS)
    assert not timer.is_alive() and not told.names and presence.is_there("ann")


def test_a_session_that_never_began_ends_unheard(told: Told) -> None:
    presence = Presence(told, grace_seconds=0)
    presence.leave("unknown")
    assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer)]


def test_a_server_that_closes_tells_nobody(told: Told) -> None:
    presence = Presence(told, grace_seconds=3600)
    presence.arrive("1", "ann")
    presence.leave("1")
    presence.close()
    assert not presence.is_there("ann") and not told.names
