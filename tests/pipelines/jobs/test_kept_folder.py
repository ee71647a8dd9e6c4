"""Job folders that an earlier version left: they go on where their results are today's, else they are refused."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.errors import InputChanged
from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job
from pipelines.scheduler.queue import JobQueue
from pipelines.spec import task_spec
from pipelines.workers.in_process import InProcess

KEPT = Path(__file__).with_name("kept")
"""A scoring job that was killed after its first span, and a removal that was paused after its first; and their clip."""
SCORE, INPAINT = "8a47733016b700ec", "a60e33f98248721c"


@pytest.fixture
def jobs_dir(tmp_path: Path) -> Path:
    """The folders where this test's user keeps them, and the clip where the jobs look for it."""
    shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True)
    jobs = tmp_path / "jobs"
    for id in (SCORE, INPAINT):
        (jobs / id).parent.mkdir(exist_ok=True)
        (tmp_path / id).rename(jobs / id)
        record = jobs / id / "job.json"
        record.write_text(record.read_text().replace("/home/somebody", tmp_path.as_posix()))
    return jobs


def finished(job: Job) -> dict[str, bytes]:
    folders = (job.folder / "segments", *(job.folder / "state").glob("*/"))
    return {p.as_posix(): p.read_bytes() for folder in folders for p in folder.glob("*") if p.is_file()}


def resumed(jobs_dir: Path, id: str) -> Job:
    job = Job.find(jobs_dir, id)
    assert finished(job)
    with_runner = JobQueue(jobs_dir, runner=InProcess())
    try:
        assert job.state() in ("interrupted", "paused")
        with_runner.start(job)
        heard = list(with_runner.listen(job))
    finally:
        with_runner.close()
    assert heard[-1].type == "done", heard[-1]
    assert "unverified" in [event.code for event in heard if event.type == "warning"]
    return job


def of_version(jobs_dir: Path, id: str, version: int) -> Job:
    """The job as if a program of that result version had left it; the kept ones are older than today's."""
    job = Job.find(jobs_dir, id)
    job.save(job.record().model_copy(update={"result_version": version}))
    return job


def as_of_today(jobs_dir: Path, id: str) -> Job:
    return of_version(jobs_dir, id, task_spec(Job.find(jobs_dir, id).record().task).result_version)


def test_a_job_that_knows_its_clip_by_its_ends_is_resumed_to_the_same_scores(jobs_dir: Path) -> None:
    as_of_today(jobs_dir, SCORE)
    job = resumed(jobs_dir, SCORE)
    assert job.record().inputs[0].fingerprint_kind == "ends-v1"
    assert (job.folder / "scores.csv").read_bytes() == (KEPT / "scores.csv").read_bytes()


def test_a_removal_that_knows_its_clip_by_its_ends_is_resumed_to_its_end(jobs_dir: Path) -> None:
    as_of_today(jobs_dir, INPAINT)
    job = resumed(jobs_dir, INPAINT)
    report = json.loads((job.folder / "report.json").read_text())
    assert report["summary"]["frames"] == 300
    assert (job.folder / "result.mp4").stat().st_size


def test_a_job_that_knows_its_clip_by_its_ends_sees_another_end(jobs_dir: Path) -> None:
    job = as_of_today(jobs_dir, SCORE)
    clip = job.record().inputs[0].path
    clip.write_bytes(clip.read_bytes()[:-1] + b"?")
    with pytest.raises(InputChanged, match=r"clip\.mp4 has changed"):
        job.check_inputs()


@pytest.mark.parametrize("id", [SCORE, INPAINT])
def test_an_unfinished_job_of_an_earlier_result_version_is_refused_by_name(
    jobs_dir: Path, id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = finished(Job.find(jobs_dir, id))
    assert main(["resume", id, "--jobs-dir", str(jobs_dir)]) == 2
    said = capsys.readouterr().err
    assert f"{id} (clip.mp4)" in said and "result version" in said and f"resume {id} --force" in said
    assert finished(Job.find(jobs_dir, id)) == before, "what it has computed is kept"


def test_refused_jobs_do_not_keep_others_from_being_resumed(
    jobs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = as_of_today(jobs_dir, SCORE)
    assert main(["resume", "--jobs-dir", str(jobs_dir)]) == 2
    said = capsys.readouterr().err
    assert INPAINT in said and "1 of 2 jobs were not finished" in said
    assert job.state() == "done"


def test_a_job_whose_clip_is_gone_does_not_keep_others_from_being_resumed(
    jobs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, other = as_of_today(jobs_dir, INPAINT), as_of_today(jobs_dir, SCORE)
    record = gone.record()
    missing = record.inputs[0].model_copy(update={"path": tmp_path / "gone.mp4"})
    gone.save(record.model_copy(update={"inputs": (missing,), "created": 0.0}))
    assert main(["resume", "--jobs-dir", str(jobs_dir)]) == 2
    assert "gone.mp4" in capsys.readouterr().err
    assert (gone.state(), other.state()) == ("failed", "done")


def test_force_computes_an_earlier_job_anew_and_knows_its_clip_by_all_bytes(jobs_dir: Path) -> None:
    job = Job.find(jobs_dir, SCORE)
    (job.folder / "segments" / "00000000-00000240.npy").write_bytes(b"of the earlier version")
    assert main(["resume", SCORE, "--force", "--jobs-dir", str(jobs_dir)]) == 0
    record = job.record()
    assert record.result_version == task_spec("score").result_version
    data = record.inputs[0].path.read_bytes()
    known = record.inputs[0].fingerprint_kind, record.inputs[0].fingerprint
    assert known == ("sha256", hashlib.sha256(data).hexdigest())
    assert (job.folder / "scores.csv").read_bytes() == (KEPT / "scores.csv").read_bytes()


def test_force_on_another_clip_removes_nothing(jobs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = Job.find(jobs_dir, SCORE)
    before = finished(job)
    job.record().inputs[0].path.write_bytes(b"another")
    assert main(["resume", SCORE, "--force", "--jobs-dir", str(jobs_dir)]) == 2
    assert "clip.mp4 has changed" in capsys.readouterr().err
    assert finished(job) == before


def test_a_finished_job_of_an_earlier_version_is_not_run_again_and_opens(jobs_dir: Path) -> None:
    as_of_today(jobs_dir, SCORE)
    resumed(jobs_dir, SCORE)
    job = of_version(jobs_dir, SCORE, 1)
    length = len((job.folder / "events.jsonl").read_bytes())
    run_job(job)
    with JobQueue(jobs_dir, runner=InProcess()) as queue:
        assert queue.start(job).has_result() and not queue.holds(job)
        assert [event.type for event in queue.listen(job)][-1] == "done"
    assert len((job.folder / "events.jsonl").read_bytes()) == length


def test_the_request_of_an_earlier_finished_job_is_a_job_of_its_own(jobs_dir: Path) -> None:
    """Its fingerprint does not say whether the middle is the same, so its result is not taken for the answer."""
    job = as_of_today(jobs_dir, SCORE)
    record = job.record()
    again = Job.create(jobs_dir, "score", (record.inputs[0].path,), record.settings, record.result_version)
    assert again != job and not again.journal.has_ended()
