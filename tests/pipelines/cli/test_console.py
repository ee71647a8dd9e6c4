import io

import pytest
from rich.console import Console as Rich
from rich.progress import Progress

from memory.units import GIB
from pipelines.cli import console
from pipelines.cli.console import _Bar, crew_lines
from pipelines.jobs import events


def progress(stage: str, done: int, rate: float) -> events.Progress:
    return events.Progress(
        job="j", stage=stage, done=done, total=10, frames_per_second=rate, eta_seconds=None, frame=done - 1
    )


def test_the_bar_shows_each_stage_frames_a_second_and_memory() -> None:
    shown = io.StringIO()
    held = {"host_bytes": GIB, "host_peak_bytes": GIB, "host_available_bytes": 2**33}
    with _Bar(Rich(file=shown, force_terminal=True, width=120)) as bar:
        bar.update(progress("look", 5, 123))
        bar.update(events.Memory(job="j", **held, device_bytes=0, device_peak_bytes=0))
        bar.update(progress("copy", 10, 77))
    text = shown.getvalue()
    for word in ("look", "copy", "123 fps", "77 fps", "1.00 GiB", "50%", "100%"):
        assert word in text, word


def test_the_bar_says_how_long_there_was_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    silence, bar = console._Silence(), Progress()
    bar.add_task("fill", total=2)
    (task,) = bar.tasks
    now[0] += 9
    assert str(silence.render(task)) == ""
    now[0] += 3
    assert str(silence.render(task)) == "no progress for 12 s"
    silence.end()
    assert str(silence.render(task)) == ""
    now[0] += 60
    bar.update(task.id, completed=2)
    assert str(silence.render(task)) == "", "a stage that is done is not silent"


MEMBERS = (
    events.Member(worker=1, state="busy", device="cuda:0", stage="fill", start=0, stop=240),
    events.Member(worker=3, state="busy", stage="fill", start=240, stop=480, attempt=2),
    events.Member(worker=4, state="starting"),
    events.Member(worker=5, state="idle"),
)
LOST = events.LostMember(worker=2, how="ended with exit status 1: no driver")


def test_each_worker_has_a_line_and_a_lost_one_its_last_words() -> None:
    assert crew_lines(events.Crewed(job="j", wanted=5, members=MEMBERS, lost=(LOST,))) == [
        "4 of 5 workers",
        "  worker 1 · cuda:0 · fill · frames 0 to 239",
        "  worker 2 ended with exit status 1: no driver; what it had not finished is computed again",
        "  worker 3 · cpu · fill · frames 240 to 479 · attempt 2",
        "  worker 4 · cpu · starting",
        "  worker 5 · cpu · idle",
    ]
    assert crew_lines(events.Crewed(job="j", wanted=5, members=())) == [], "they have ended"


@pytest.mark.parametrize("end", [events.Crewed(job="j", wanted=5, members=()), events.Paused(job="j")])
def test_the_bar_has_the_lines_of_the_workers_until_they_end(end: events.Event) -> None:
    shown = io.StringIO()
    with _Bar(Rich(file=shown, force_terminal=True, width=120)) as bar:
        bar.update(progress("fill", 5, 123))
        bar.update(events.Crewed(job="j", wanted=5, members=MEMBERS))
        assert "worker 5 · cpu · idle" in shown.getvalue()
        shown.truncate(0)
        bar.update(end)
    assert "worker 5" not in shown.getvalue() and "fill" in shown.getvalue()


def test_a_job_that_waits_for_room_says_so_once_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    shown = console.Console(json=False)
    for waits_for in ("turn", "room", "room", "turn", "room"):
        queued = events.Queued(job="j", task="score", name="clip", waits_for=waits_for)
        shown._print_event(queued, console._NoBar())
    assert capsys.readouterr().err.count("There is no room beside the jobs that run") == 2
