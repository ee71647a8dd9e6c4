"""Job folders that an earlier version left unfinished: they go on, and what has no hash is computed again, and told."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job
from pipelines.scheduler.queue import JobQueue
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


def test_a_scoring_job_of_an_earlier_version_is_resumed_to_the_same_scores(jobs_dir: Path) -> None:
    job = resumed(jobs_dir, SCORE)
    assert (job.folder / "scores.csv").read_bytes() == (KEPT / "scores.csv").read_bytes()


def test_a_removal_of_an_earlier_version_is_resumed_to_its_end(jobs_dir: Path) -> None:
    job = resumed(jobs_dir, INPAINT)
    report = json.loads((job.folder / "report.json").read_text())
    assert report["summary"]["frames"] == 300
    assert (job.folder / "result.mp4").stat().st_size


def test_a_finished_job_of_an_earlier_version_is_not_run_again(jobs_dir: Path) -> None:
    job = resumed(jobs_dir, SCORE)
    length = len((job.folder / "events.jsonl").read_bytes())
    run_job(job)
    assert len((job.folder / "events.jsonl").read_bytes()) == length
