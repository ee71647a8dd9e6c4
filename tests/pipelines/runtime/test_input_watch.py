"""Nothing that was computed from another film than the job's is kept, and the reason is given."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.jobs import events
from pipelines.runtime.run import run_job

from ..conftest import Bench

FILM, OTHER = b"not looked at", b"another film!"


def run(bench: Bench) -> events.Event:
    bench.job.journal.append(events.Queued(job=bench.job.id, task="score", name="clip"))
    run_job(bench.job)
    return [event for event, _ in bench.job.journal.read()][-1]


def kept(bench: Bench) -> list[str]:
    return sorted(path.name for path in (bench.job.folder / "segments").iterdir())


def at_frame(bench: Bench, number: int, act: Callable[[], object]) -> None:
    def before(frame: int) -> None:
        if frame == number:
            act()

    bench.stage.before = before


def rewrite(path: Path, data: bytes) -> None:
    """As an editor would that keeps the times."""
    times = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))


def test_a_span_of_a_film_that_was_changed_meanwhile_is_not_kept(bench: Bench) -> None:
    at_frame(bench, 14, lambda: rewrite(bench.clip, OTHER))
    failed = run(bench)
    assert failed.code == "input_changed" and failed.exit_code == 2
    assert [name[:17] for name in kept(bench)] == ["00000000-00000010"]
    rewrite(bench.clip, FILM)
    bench.stage.before = lambda frame: None
    assert run(bench).type == "done"
    assert bench.result() == [frame * frame for frame in range(35)]


def test_a_film_that_was_written_again_as_it_was_is_the_same(bench: Bench) -> None:
    at_frame(bench, 14, lambda: rewrite(bench.clip, FILM))
    assert run(bench).type == "done"


def test_a_film_that_is_gone_is_named(bench: Bench) -> None:
    at_frame(bench, 14, bench.clip.unlink)
    failed = run(bench)
    assert failed.code == "not_a_video" and "clip.mp4 cannot be read" in failed.message


def test_an_error_that_a_change_may_have_caused_is_told_as_the_change(bench: Bench) -> None:
    def swap() -> None:
        rewrite(bench.clip, OTHER)
        raise ValueError("it ends after 14 of 35 frames")

    at_frame(bench, 14, swap)
    assert run(bench).code == "input_changed"


def test_other_errors_stay_what_they_are(bench: Bench) -> None:
    def fail() -> None:
        raise ValueError("something else")

    at_frame(bench, 14, fail)
    failed = run(bench)
    assert failed.code == "internal" and "something else" in failed.message


def test_a_change_while_the_result_is_joined_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    join = bench.pipeline.join

    def joining(*given: object) -> object:
        rewrite(bench.clip, OTHER)
        return join(*given)

    monkeypatch.setattr(bench.pipeline, "join", joining)
    assert run(bench).code == "input_changed"
