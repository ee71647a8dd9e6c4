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
