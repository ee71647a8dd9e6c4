"""Finished is verified, not believed: whatever is damaged is computed again, and told."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import (
    DiskFailed,
    EncoderDied,
    FolderUnusable,
    LongtakeError,
    NotEnoughDisk,
    TooManyFiles,
    name_os_error,
)
from pipelines.jobs import events
from pipelines.jobs.journal import Journal
from pipelines.jobs.record import Decision
from pipelines.runtime import event_log
from pipelines.runtime import run as run_module
from pipelines.runtime.run import run_job
from pipelines.spans import Span
from pipelines.storage.pulse import beat

from ..conftest import Bench, Numbers
from .test_run import SQUARES, at, only, raising, run


def codes(heard: list) -> list[str]:
    return [event.code for event in only(heard, events.Warned)]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage", [flip, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-3])]
)
def test_a_damaged_span_is_computed_again_and_told(bench: Bench, damage) -> None:
    run(bench)
    damage(bench.job.folder / "segments/00000010-00000020.txt")
    bench.stage.computed.clear()
    heard = run(bench)
    assert bench.stage.computed == list(range(10, 20))
    assert bench.result() == SQUARES and heard[-1].type == "done"
    assert codes(heard) == ["damaged_files"]


def test_a_damaged_file_beside_a_span_costs_that_span(bench: Bench) -> None:
    beside = bench.job.folder / "state/beside"
    bench.stage.files_beside = lambda job, span: (beside / span.name,)
    beside.mkdir(parents=True)
    for start in (0, 10, 20, 30):
        (beside / Span(start, min(35, start + 10)).name).write_text("abc")
    run(bench)
    flip(beside / "00000020-00000030")
    bench.stage.computed.clear()
    assert codes(run(bench)) == ["damaged_files"]
    assert bench.stage.computed == list(range(20, 30))


def test_a_damaged_prepass_is_computed_again(bench: Bench) -> None:
    prepass = Numbers(name="look", folder="state/look")
    bench.pipeline.stages = (prepass, bench.stage)
    run(bench)
    flip(bench.job.folder / "state/look/00000000-00000010.txt")
    prepass.computed.clear()
    assert codes(run(bench)) == ["damaged_files"]
    assert prepass.computed == list(range(10)) and bench.result() == SQUARES


def test_a_span_that_was_never_told_is_not_believed(bench: Bench) -> None:
    segments = bench.job.folder / "segments"
    segments.mkdir()
    (segments / "00000000-00000010.txt").write_text("0\n" * 10)
    heard = run(bench)
    assert codes(heard) == ["unverified"]
    assert bench.result() == SQUARES


def test_what_is_damaged_while_the_job_runs_is_found_before_the_join(bench: Bench) -> None:
    first = bench.job.folder / "segments/00000000-00000010.txt"
    bench.stage.before = at(34, lambda: flip(first))
    heard = run(bench)
    assert codes(heard) == ["damaged_files"]
    assert bench.result() == SQUARES and heard[-1].type == "done"
    assert bench.stage.computed == [*range(35), *range(10)]


def test_a_disk_that_keeps_changing_files_ends_the_job_by_its_name(bench: Bench) -> None:
    ends = [bench.job.folder / f"segments/{name}.txt" for name in ("00000000-00000010", "00000030-00000035")]

    def damage_what_is_there(frame: int) -> None:
        for path in ends:
            if path.exists():
                path.write_text(f"{frame}\n")

    bench.stage.before = damage_what_is_there
    heard = run(bench)
    assert heard[-1].type == "failed" and heard[-1].code == "disk_failed" and heard[-1].exit_code == 3


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EMFILE, "too_many_files"), (errno.EACCES, "folder_unusable")]
)
@pytest.mark.parametrize("name", ["segments/00000000-00000010.txt", "job.json"])
def test_what_cannot_be_read_now_is_not_taken_for_damaged(
    bench: Bench, name: str, number: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.stage.before = at(25, raising(RuntimeError("so far")))
    run(bench)
    finished, asked = bench.job.journal.finished_files(), bench.job.record()
    open_, read = Path.open, Path.read_bytes

    def refused(real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Path, *more: Any, **options: Any) -> Any:
            if path == bench.job.folder / name:
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *more, **options)

        return opened

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused(open_))
        patch.setattr(Path, "read_bytes", refused(read))
        if name == "job.json":
            with pytest.raises(LongtakeError) as told:
                bench.job._save_request(asked)
            assert told.value.code == code
        else:
            bench.job.forget_request()
            bench.job.journal.append(events.Queued(job=bench.job.id, task="score", name="clip.mp4"))
            assert run(bench)[-1].code == code
    assert bench.job.journal.finished_files() == finished and len(finished) == 2
    assert all((bench.job.folder / own).exists() for own in finished)


def test_a_span_already_published_stays_as_it_is(bench: Bench) -> None:
    def publish() -> None:
        (bench.job.folder / "segments/00000010-00000020.txt").write_text(
            "".join(f"{i * i}\n" for i in range(10, 20))
        )

    bench.stage.before = at(15, publish)
    assert run(bench)[-1].type == "done"
    assert bench.result() == SQUARES


def test_a_killed_encoder_costs_its_span_and_not_the_job(bench: Bench) -> None:
    bench.stage.before = at(14, raising(EncoderDied("ffmpeg was killed.")), times=2)
    heard = run(bench)
    assert heard[-1].type == "done" and bench.result() == SQUARES
    assert bench.stage.computed == [*range(14), *range(10, 14), *range(10, 35)]
    assert codes(heard) == ["encoder_died"]


def test_an_encoder_that_dies_at_the_same_span_again_and_again_ends_the_job(bench: Bench) -> None:
    bench.stage.before = at(14, raising(EncoderDied("ffmpeg was killed.")), times=3)
    heard = run(bench)
    assert heard[-1].code == "encoder_died" and len(only(heard, events.Segment)) == 1


@pytest.mark.parametrize(("deaths", "ending"), [(2, "done"), (3, "failed")])
def test_an_encoder_killed_in_the_join_costs_the_join(
    bench: Bench, deaths: int, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    join, left = bench.pipeline.join, [EncoderDied("ffmpeg was killed.")] * deaths

    def joining(*given: object) -> object:
        if left:
            raise left.pop()
        return join(*given)

    monkeypatch.setattr(bench.pipeline, "join", joining)
    heard = run(bench)
    assert heard[-1].type == ending and len(bench.stage.computed) == 35
    assert {"encoder_died"} == set(codes(heard))


@pytest.mark.parametrize("picture", ["reporter.save_picture", "run.draw_memory"])
def test_a_picture_that_cannot_be_made_costs_only_itself(
    bench: Bench, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(f"pipelines.runtime.{picture}", fail)
    heard = run(bench)
    assert heard[-1].type == "done" and bench.result() == SQUARES
    assert codes(heard) == ["no_picture"]


@pytest.mark.parametrize(
    ("number", "kind", "status"),
    [
        *((n, NotEnoughDisk, 3) for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        *((n, TooManyFiles, 3) for n in (errno.EMFILE, errno.ENFILE)),
        (errno.EIO, DiskFailed, 3),
        *(
            (n, FolderUnusable, 2)
            for n in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)
        ),
    ],
)
def test_what_the_system_refuses_is_said_by_its_name(
    bench: Bench, number: int, kind: type, status: int
) -> None:
    error = OSError(number, "as the system says", "/some/file")
    bench.stage.before = at(14, raising(error))
    (ending,) = [event for event in run(bench) if isinstance(event, events.ENDINGS)]
    assert (ending.code, ending.exit_code) == (kind.code, status)
    assert "/some/file" in ending.message and "bug" not in ending.hint
    assert isinstance(name_os_error(error), kind)


def test_leftovers_of_the_dead_are_swept(bench: Bench) -> None:
    left = [bench.job.folder / folder / "part-4194305-0a-x" for folder in ("", "segments", "state/look")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run(bench)
    assert not any(path.exists() for path in left)


def test_a_job_whose_folder_is_removed_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_LOOK_SECONDS", 0)
    bench.stage.before = at(15, lambda: shutil.rmtree(bench.job.folder))
    heard: list = []
    run_job(bench.job, echo=heard.append)
    assert heard[-1].type == "failed" and (heard[-1].code, heard[-1].exit_code) == ("folder_unusable", 2)
    heard.clear()
    shutil.rmtree(bench.job.folder, ignore_errors=True)
    run_job(bench.job, echo=heard.append)
    assert [event.type for event in heard] == ["failed"] and not bench.job.folder.exists()


def test_the_end_is_heard_where_the_journal_cannot_be_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Journal, event: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    heard: list = []
    run_job(bench.job, echo=heard.append)
    assert [(event.type, event.code) for event in heard if isinstance(event, events.ENDINGS)] == [
        ("failed", "not_enough_disk")
    ]


def test_a_plan_of_another_version_is_refused_by_name(bench: Bench) -> None:
    record = bench.job.record()
    bench.job.save(record.model_copy(update={"decision": Decision(preset={}, plan={"of": "old"})}))
    heard = run(bench)
    assert heard[-1].exit_code == 2 and "another version" in heard[-1].message


def test_the_computing_thread_tells_that_it_is_alive_where_it_makes_no_frame(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(event_log._LEAST_SECONDS, "heartbeat", -1.0)
    monkeypatch.setitem(event_log._LEAST_SECONDS, "progress", 1e9)
    bench.stage.before = at(0, lambda: [beat() for _ in range(3)])
    heard = run(bench)
    first = next(i for i, event in enumerate(heard) if isinstance(event, events.Segment))
    assert len(only(heard[:first], events.Heartbeat)) > 3, "beside one before each frame"
