import io

import pytest
from rich.console import Console as Rich
from rich.progress import Progress

from memory.units import GIB
from pipelines.cli import console
from pipelines.cli.console import _Bar
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
