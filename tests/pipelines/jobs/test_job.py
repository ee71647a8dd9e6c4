import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import BadInput, InputChanged, NoSuchJob, NotAVideo
from pipelines.jobs import events
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.job import Job
from pipelines.settings import ScoreSettings
from pipelines.spans import Span, split
from pipelines.storage.kept_files import describe


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.bin"
    path.write_bytes(bytes(range(256)) * 20_000)  # 5 MB: longer than two ends of a MiB
    return path


def make(tmp_path: Path, clip: Path, settings: ScoreSettings | None = None, version: int = 1) -> Job:
    return Job.create(tmp_path / "jobs", "score", (clip,), settings or ScoreSettings(), version)


def test_the_same_question_finds_the_same_job_wherever_the_file_lies(tmp_path: Path, clip: Path) -> None:
    first = make(tmp_path, clip)
    moved = clip.rename(tmp_path / "elsewhere.bin")
    again = make(tmp_path, moved, ScoreSettings(ram_limit_gb=4))
    assert again == first
    assert again.record().inputs[0].path == moved
    assert again.record().settings.ram_limit_gb == 4


def test_another_content_setting_or_version_is_another_job(tmp_path: Path, clip: Path) -> None:
    ids = {
        make(tmp_path, clip).id,
        make(tmp_path, clip, ScoreSettings(window=5)).id,
        make(tmp_path, clip, version=2).id,
    }
    data = bytearray(clip.read_bytes())
    for place in (0, len(data) // 2, -1):
        changed = tmp_path / f"changed{place}"
        data[place] ^= 1
        changed.write_bytes(data)
        ids.add(make(tmp_path, changed).id)
    assert len(ids) == 6


def test_an_id_is_too_long_for_two_requests_with_the_same(tmp_path: Path, clip: Path) -> None:
    assert re.fullmatch("[0-9a-f]{32}", make(tmp_path, clip).id)


def test_a_folder_of_images_is_known_by_names_sizes_and_all_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 20_000)
    found = {InputFile.of(folder).fingerprint}
    (folder / "b").rename(folder / "bb")
    found.add(InputFile.of(folder).fingerprint)
    with (folder / "bb").open("r+b") as file:
        file.seek(10_000)
        file.write(b"?")
    found.add(InputFile.of(folder).fingerprint)
    assert len(found) == 3


def test_an_input_says_what_its_fingerprint_is_of(tmp_path: Path, clip: Path) -> None:
    stored = json.loads((make(tmp_path, clip).folder / "job.json").read_text())["inputs"][0]
    assert stored["fingerprint_kind"] == "sha256"
    assert stored["content"] == hashlib.sha256(clip.read_bytes()).hexdigest()
    del stored["fingerprint_kind"]
    assert InputFile.model_validate(stored).fingerprint_kind == "ends-v1", "as earlier versions wrote it"


@pytest.mark.parametrize("kind", ["ends-v1", "sha256"])
def test_what_was_known_by_its_ends_is_recognised_by_them(tmp_path: Path, clip: Path, kind: str) -> None:
    known = InputFile.of(clip, kind)
    data = bytearray(clip.read_bytes())
    assert known.is_same(clip)
    data[len(data) // 2] ^= 1
    clip.write_bytes(data)
    assert known.is_same(clip) == (kind == "ends-v1")
    data[-1] ^= 1
    clip.write_bytes(data)
    assert not known.is_same(clip)


def test_a_missing_input_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(NotAVideo, match="cannot be read"):
        make(tmp_path, tmp_path / "missing.mp4")


def test_a_changed_input_is_noticed(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    job.check_inputs()
    data, times = bytearray(clip.read_bytes()), clip.stat()
    data[len(data) // 2] ^= 1
    clip.write_bytes(data)
    os.utime(clip, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputChanged, match=r"clip\.bin has changed"):
        job.check_inputs()


def test_looking_whether_an_input_changed_can_be_stopped(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.check_inputs(stop)


@pytest.mark.parametrize(
    "id",
    [
        "",
        ".",
        "..",
        "nothere",
        "../x",
        "../jobs",
        "/etc",
        "a/b",
        "a\\b",
        "\u0661\u0662",
        "a\n",
        "a\0",
        "a" * 5000,
    ],
)
def test_an_id_is_a_name_and_never_a_path(tmp_path: Path, clip: Path, id: str) -> None:
    job = make(tmp_path, clip)
    assert Job.find(tmp_path / "jobs", job.id) == job
    for folder in (tmp_path, tmp_path / "jobs" / "\u0661\u0662"):
        folder.mkdir(exist_ok=True)
        (folder / "job.json").touch()
    with pytest.raises(NoSuchJob, match="no job"):
        Job.find(tmp_path / "jobs", id)


def test_a_job_has_one_runner_at_a_time(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    with job.runner() as first:
        assert first and job.is_running()
        with Job(job.folder).runner() as second:
            assert not second
    assert not job.is_running()


def test_a_running_job_keeps_its_record(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    with job.runner():
        make(tmp_path, clip, ScoreSettings(ram_limit_gb=9))
    assert job.record().settings.ram_limit_gb is None


def warn(job: Job, text: str) -> events.Warned:
    return events.Warned(job=job.id, code="x", message=text)


def test_events_survive_a_line_that_a_killed_writer_left_half(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    job.journal.append(warn(job, "one"))
    with (job.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"type":"warning","jo')
    job.journal.append(warn(job, "two"))
    assert [e.message for e, _ in job.journal.read() if isinstance(e, events.Warned)] == ["one", "two"]


def test_an_unfinished_line_is_not_read_yet(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    job.journal.append(warn(job, "one"))
    with (job.folder / "events.jsonl").open("ab") as file:
        file.write(warn(job, "two").model_dump_json().encode())
    assert len(list(job.journal.read())) == 1


def test_a_late_listener_reads_from_the_start_and_then_live(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    job.journal.append(warn(job, "early"))
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.extend(e.type for e in job.journal.follow()))
    thread.start()
    job.journal.append(warn(job, "late"))
    job.journal.append(events.CancelledEvent(job=job.id))
    thread.join(100)
    assert heard == ["warning", "warning", "cancelled"]


def test_a_listener_may_give_up_and_the_job_does_not_notice(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    assert list(job.journal.follow(given_up=lambda: True)) == []


def test_a_new_start_is_told_apart_from_the_one_before(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    queued = events.Queued(job=job.id, task="score", name="clip")
    for event in (queued, events.Paused(job=job.id), queued, queued, warn(job, "second")):
        job.journal.append(event)
    assert [e.type for e, _ in job.journal.read(job.journal.last_start())] == ["queued", "queued", "warning"]


def test_state_follows_the_events_and_the_runner(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    job.journal.append(events.Queued(job=job.id, task="score", name="clip"))
    assert job.state() == "queued"
    with job.runner():
        job.journal.append(events.Started(job=job.id, worker_pid=1))
        assert job.state() == "running"
    assert job.state() == "interrupted"
    job.journal.append(events.Paused(job=job.id))
    assert job.state() == "paused"


def test_a_job_waits_as_long_as_the_process_whose_queue_it_is_in(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        waits = events.Queued(job=job.id, task="score", name="clip", queue_pid=other.pid)
        job.journal.append(waits)
        assert job.state() == "queued"
        assert job.state(held=False) == "queued", "in another process"
        job.journal.append(waits.model_copy(update={"time": waits.time - 3600}))
        assert job.state() == "interrupted", "another process had that number"
        job.journal.append(waits)
    assert job.state() == "interrupted"


@pytest.mark.parametrize("pid", [None, os.getpid()], ids=["nobody", "here"])
def test_whether_a_job_waits_here_is_known_here(tmp_path: Path, clip: Path, pid: int | None) -> None:
    job = make(tmp_path, clip)
    job.journal.append(events.Queued(job=job.id, task="score", name="clip", queue_pid=pid))
    assert job.state(held=True) == job.state() == "queued"
    assert job.state(held=False) == "interrupted"
    job.journal.append(events.Started(job=job.id, worker_pid=1))
    assert job.state(held=True) == "running", "between two workers"


def test_a_question_that_somebody_else_asks_just_now_is_waited_for(tmp_path: Path, clip: Path) -> None:
    known = make(tmp_path, clip)
    record = known.record()
    (known.folder / "job.json").unlink()
    with known.runner():
        asked: list[Job] = []
        thread = threading.Thread(target=lambda: asked.append(make(tmp_path, clip)))
        thread.start()
        known.save(record)
        thread.join(100)
        assert asked == [known] and known.record() == record


def test_nothing_of_a_deleted_job_comes_back_by_looking_or_stopping(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    shutil.rmtree(job.folder)
    assert not job.is_running() and not job.exists() and job.requested() is None
    job.request("cancel")
    assert job.state() == "interrupted"
    assert not job.folder.exists()


def test_only_whole_spans_of_the_grid_are_kept(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    folder = job.folder / "segments"
    folder.mkdir(parents=True)
    for name in (
        "00000000-00000010.npy",
        "part-00000010-00000020.npy",
        "00000000-00000007.npy",
        "00000010-00000020.mp4",
    ):
        (folder / name).touch()
    grid = split(Span(0, 20), 10)
    assert job.finished("segments", ".npy", grid) == {Span(0, 10)}
    assert [p.name for p in folder.iterdir()] == ["00000000-00000010.npy"]


def test_the_part_files_of_living_processes_are_kept(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    folder = job.folder / "segments"
    folder.mkdir(parents=True)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as living:
        dead = subprocess.Popen(["true"])
        dead.wait()
        kept = {f"part-{pid}-1-00000010-00000020.npy" for pid in (living.pid, os.getpid())}
        killed = f"part-{dead.pid}-1-00000010-00000020.npy"
        # Its writer is gone, and another process has its number.
        reused = f"part-{living.pid}-2-00000010-00000020.npy"
        for name in (*kept, killed, reused):
            (folder / name).touch()
        os.utime(folder / reused, (0, 0))
        assert job.finished("segments", ".npy", split(Span(0, 20), 10)) == set()
        assert {p.name for p in folder.iterdir()} == kept


def test_a_result_whose_files_are_gone_is_none(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    report = job.folder / "report.json"
    report.write_text("{}")
    job.journal.append(job.done_with(events.Outputs(report=report)))
    assert job.has_result()
    report.unlink()
    assert not job.has_result()


def test_a_result_that_has_been_damaged_is_none(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    report = job.folder / "report.json"
    report.write_text("{}")
    job.journal.append(job.done_with(events.Outputs(report=report)))
    report.write_text("[]")
    assert not job.has_result()


@pytest.mark.parametrize("damage", [lambda path: path.write_text("x"), Path.unlink])
def test_a_result_whose_spans_have_been_damaged_is_none(
    damage: Callable[[Path], object], tmp_path: Path, clip: Path
) -> None:
    job = make(tmp_path, clip)
    report, span = job.folder / "report.json", job.folder / "segments/00000000-00000010.npy"
    span.parent.mkdir()
    exported = tmp_path / "frames/000001.png"
    exported.parent.mkdir()
    for path in (report, span, exported):
        path.write_text("{}")
    told = events.Segment(
        job=job.id, start=0, stop=10, path=span, files=describe(job.folder, [span, exported])
    )
    job.journal.append(told)
    job.journal.append(job.done_with(events.Outputs(report=report)))
    assert job.has_result()
    damage(span)
    assert job.check_result() == "segments/00000000-00000010.npy"


def test_a_result_that_cannot_be_verified_is_none(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    report = job.folder / "report.json"
    report.write_text("{}")
    job.journal.append(events.Done(job=job.id, outputs=events.Outputs(report=report)))
    assert not job.has_result()


def test_a_damaged_record_is_no_record_and_the_same_request_begins_anew(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    record = job.folder / "job.json"
    damaged = record.read_text().replace('"task": "score"', '"task": "scorf"')
    assert damaged != record.read_text()
    record.write_text(damaged)
    job.journal.append(events.Paused(job=job.id))
    with pytest.raises(BadInput, match="no readable job"):
        job.record()
    assert make(tmp_path, clip) == job
    assert job.record().task == "score" and job.journal.last_state() is None


def test_forget_work_leaves_the_question_alone(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    (job.folder / "segments").mkdir()
    (job.folder / "report.json").touch()
    job.journal.append(warn(job, "x"))
    (job.folder / "visitors").touch()
    (job.folder / "state").symlink_to(clip.parent)
    job.forget_work()
    assert {p.name for p in job.folder.iterdir()} == {"job.json", "lock", "lock-gate", "visitors"}
    assert clip.exists()


def test_jobs_are_listed_oldest_first_without_what_cannot_be_read(tmp_path: Path, clip: Path) -> None:
    first, second = make(tmp_path, clip), make(tmp_path, clip, ScoreSettings(window=5))
    broken = make(tmp_path, clip, ScoreSettings(window=7))
    (broken.folder / "job.json").write_text("{")
    assert Job.all(tmp_path / "jobs") == [first, second]
    assert Job.all(tmp_path / "none") == []


def test_a_folder_that_is_no_job_is_refused(tmp_path: Path, clip: Path) -> None:
    job = make(tmp_path, clip)
    (job.folder / "job.json").write_text("{")
    with pytest.raises(BadInput, match="holds no readable job"):
        job.record()
