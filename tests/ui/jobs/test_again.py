"""A job's question is asked again: by whoever asked it, with what they uploaded, and by nobody else."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.errors import Forbidden
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import InpaintSettings
from ui.jobs import again
from ui.jobs.service import JobService
from ui.jobs.uploads import keep
from ui.server.policy import Policy
from ui.server.visitors import Visitor, add_owner

ANN, BOB = Visitor("ann", "ann"), Visitor("bob", "bob")
STROKES = "8:10,10,20,20@3 !4:1,1@3 8:5,5@12"


@pytest.fixture
def queue(make_queue: Callable[..., JobQueue], good_run: Callable[[Job], Iterator[Event]]) -> JobQueue:
    return make_queue(good_run)


@pytest.fixture
def service(queue: JobQueue) -> JobService:
    return JobService(queue, Policy(local=False), grace_seconds=0)


@pytest.fixture
def job(queue: JobQueue, clip: Path, tmp_path: Path) -> Job:
    """Ann's removal, of which two seconds were tried; its mask was painted."""
    mask = tmp_path / "mask.zip"
    mask.write_bytes(b"mask")
    kept = [keep(path, queue.jobs_dir) for path in (clip, mask)]
    asked = InpaintSettings(point=("5,6@9",), start=0.4, end=2.4, track=True)
    made = Job.create(queue.jobs_dir, "inpaint", tuple(kept), asked, 1)
    add_owner(made, ANN)
    again.save_marks(made, again.Paint(STROKES))
    return made


def test_the_owner_gets_files_marks_and_settings_back(
    service: JobService, job: Job, clip: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "jobs" / "cache"
    found = asyncio.run(again.again(service, ANN, job, cache))
    assert found.names == ("clip.mp4",), "the mask is made of the marks again"
    (file,) = found.files
    assert file and Path(file).is_relative_to(cache) and Path(file).read_bytes() == clip.read_bytes()
    assert found.painted == again.Paint(STROKES) and found.painted.frames == [3, 12]
    assert found.asked["point"] == ["5,6@9"] and found.asked["start"] == 0.4
    assert found.asked["end"] is None, "the buttons say how much is tried"
    assert Path(file) in service.room.ledger.files("ann")
    assert asyncio.run(again.again(service, ANN, job, cache)) == found


def test_a_key_is_not_enough_for_the_files(service: JobService, job: Job, tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match="Only whoever started the job"):
        asyncio.run(again.again(service, BOB, job, tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_no_path_of_a_record_is_opened(service: JobService, job: Job, tmp_path: Path) -> None:
    """Whatever a record says, an input is one of the uploads that are kept, and has its contents."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    record = job.record()
    first = record.inputs[0]
    for path in (secret, tmp_path / "jobs" / "uploads" / ".." / ".." / "secret.txt"):
        job.save(record.model_copy(update={"inputs": (first.model_copy(update={"path": path}),)}))
        assert asyncio.run(again.again(service, ANN, job, tmp_path / "cache")).files == (None,)
        assert again.kept_upload(job, job.record().inputs[0]) is None
        assert asyncio.run(again.thumbnail(service, ANN, job, 0, tmp_path / "cache")) is None
    job.save(record)
    first.path.unlink()
    first.path.write_bytes(b"something else")
    assert asyncio.run(again.again(service, ANN, job, tmp_path / "cache")).files == (None,)
    shutil.rmtree(first.path.parent)
    found = asyncio.run(again.again(service, ANN, job, tmp_path / "cache"))
    assert found.files == (None,) and found.names == ("clip.mp4",) and found.painted.strokes == STROKES


@pytest.mark.parametrize(
    "note", ["", "{}", "[1]", "\xff", '{"strokes": 3}', '{"strokes": "../x", "follow": 1}']
)
def test_a_note_of_marks_that_is_none_marks_nothing(job: Job, note: str) -> None:
    (job.folder / "marks").write_bytes(note.encode("latin-1"))
    assert again.read_marks(job).frames == []


def test_marks_are_forgotten_with_the_mask_that_was_given_instead(job: Job) -> None:
    again.save_marks(job, again.Paint(""))
    assert again.read_marks(job) == again.Paint()
    again.save_marks(job, again.Paint(STROKES, follow=False))
    with job.runner():
        job.forget_work()
    assert again.read_marks(job) == again.Paint(STROKES, follow=False), "they are part of the question"


def test_the_frame_that_is_shown_says_what_was_asked(job: Job, plan: object) -> None:
    facts = plan.facts  # type: ignore[attr-defined]
    record, nothing = job.record(), again.Paint()
    assert again.shown_frame(record, again.Paint(STROKES), facts) == 3
    assert again.shown_frame(record, nothing, facts) == 9
    unmarked = record.model_copy(update={"asked": {**record.asked, "point": []}})
    assert again.shown_frame(unmarked, nothing, facts) == 10
    assert again.shown_frame(unmarked, nothing, None) == 0
