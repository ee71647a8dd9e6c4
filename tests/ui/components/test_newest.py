from types import SimpleNamespace
from typing import Any

from ui.components.newest import Newest


def visit(name: str) -> Any:
    return SimpleNamespace(session_hash=name)


def test_a_later_run_ends_the_right_of_the_earlier() -> None:
    newest = Newest()
    with newest.run(visit("a")) as first:
        assert first()
        with newest.run(visit("a")) as second:
            assert second()
            assert not first()
        assert not first()


def test_visits_do_not_disturb_one_another() -> None:
    newest = Newest()
    with newest.run(visit("a")) as first, newest.run(visit("b")) as other:
        newest.end(visit("b"))
        assert first()
        assert not other()


def test_ended_runs_are_forgotten() -> None:
    newest = Newest()
    with newest.run(visit("a")):
        pass
    assert not newest._runs


def test_a_run_that_was_sent_earlier_and_came_later_is_not_the_newest() -> None:
    newest = Newest()
    with newest.run(visit("a"), "7") as sent_later:
        with newest.run(visit("a"), "6") as late, newest.run(visit("b"), "1") as other:
            assert sent_later() and not late() and other()
        assert sent_later()
    with newest.run(visit("a"), "6") as late, newest.run(visit("a"), "8") as next_one:
        assert next_one() and not late()


def test_visits_are_not_remembered_for_ever() -> None:
    newest = Newest()
    for number in range(1_100):
        with newest.run(visit(str(number)), "1"):
            pass
    assert len(newest._numbers) == 1_000
