"""Whose turn it is: the line alone, without a queue."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.scheduler.line import WaitingLine
from pipelines.scheduler.ticket import Ticket


def ticket(name: str) -> Ticket:
    """A ticket of the visitor whom the first letter names."""
    return Ticket(Job(Path("/nowhere") / name), "score", f"{name}.mp4", 1, visitor=name[0])


def line_of(*names: str, at_once: int = 1) -> WaitingLine:
    line = WaitingLine(at_once)
    for name in names:
        line.append(ticket(name))
    return line


def order(line: WaitingLine) -> str:
    return " ".join(job.id for job in line.jobs)


def take(line: WaitingLine) -> str:
    """Take the next one, and let it end."""
    taken = line.take()
    line.leave(taken)
    return taken.job.id


def test_one_visitor_is_served_as_they_come() -> None:
    assert order(line_of("a1", "a2", "a3")) == "a1 a2 a3"


def test_who_brings_twenty_keeps_another_waiting_for_one() -> None:
    line = line_of(*(f"a{number}" for number in range(20)))
    running = line.take()
    assert line.append(ticket("b1")) == 0 and line.append(ticket("b2")) == 2
    assert order(line).startswith("b1 a1 b2 a2 a3")
    line.leave(running)
    assert [take(line) for _ in range(4)] == ["b1", "a1", "b2", "a2"]


def test_who_comes_again_and_again_starves_nobody() -> None:
    line = line_of("a1", "a2", "b1", "c1")
    served = []
    for number in range(2, 6):
        served.append(take(line))
        if served[-1][0] in "bc":  # each comes again as soon as they have been served
            line.append(ticket(f"{served[-1][0]}{number}"))
    assert served == ["a1", "b1", "c1", "a2"]


def test_who_has_the_fewest_running_is_next_where_several_run() -> None:
    line = line_of("a1", "a2", "a3", "a4", at_once=3)
    ran = [line.take() for _ in range(3)]
    line.append(ticket("b1")), line.append(ticket("b2"))
    assert order(line) == "b1 b2 a4", "a has three running"
    line.leave(ran[0])
    assert line.take().job.id == "b1"
    line.leave(ran[1])
    assert order(line) == "a4 b2", "each has one, and a came first"


def test_one_that_is_put_back_is_next_whoever_comes() -> None:
    line = line_of("a1", "a2", at_once=2)
    first, second = line.take(), line.take()
    line.append(ticket("b1"))
    line.put_back(second)
    assert line.waits_for_room and order(line) == "a2 b1"
    line.leave(first)
    assert line.take() is second and not line.waits_for_room


def test_who_takes_one_back_has_an_earlier_turn_for_the_others() -> None:
    line = line_of("a1", "a2", "a3", "b1", "b2")
    assert line.remove(ticket("a1").job) and not line.remove(ticket("a1").job)
    assert order(line) == "a2 b1 a3 b2"
    line.append(ticket("a4"))
    assert order(line) == "a2 b1 a3 b2 a4"


@given(st.lists(st.sampled_from("abcd-"), max_size=60), st.integers(1, 3))
def test_what_is_told_comes_true_and_turns_are_shared(moments: list[str], at_once: int) -> None:
    """Letters bring a job of that visitor, a dash ends the one that runs longest; all is served in the end."""
    line, running, number = WaitingLine(at_once), [], 0

    def go_on() -> None:
        while len(line) and len(running) < at_once:
            told, counts = line.jobs[0], Counter(ticket.visitor for ticket in running)
            running.append(line.take())
            assert running[-1].job == told
            if at_once > 1:
                waiting = {each.visitor for each in line} | {running[-1].visitor}
                assert counts[running[-1].visitor] == min(counts[who] for who in waiting)

    for moment in moments:
        if moment != "-":
            number += 1
            position = line.append(ticket(f"{moment}{number}"))
            assert line.ahead_of(Job(Path(f"/nowhere/{moment}{number}"))) == list(line)[:position]
        elif running:
            line.leave(running.pop(0))
        go_on()
    while running:
        line.leave(running.pop(0))
        go_on()
    assert not len(line) and not line._running and not line._put_back


@pytest.mark.parametrize("put_back", [True, False])
def test_the_journal_says_what_is_waited_for(tmp_path: Path, put_back: bool) -> None:
    (tmp_path / "a1").mkdir()
    one = Ticket(Job(tmp_path / "a1"), "score", "a.mp4", 1)
    line = WaitingLine(2)
    line.append(one)
    if put_back:
        line.put_back(line.take())
    line.record_positions()
    told = one.job.journal.last_state()
    assert isinstance(told, events.Queued)
    assert (told.position, told.waits_for) == (0, "room" if put_back else "turn")
