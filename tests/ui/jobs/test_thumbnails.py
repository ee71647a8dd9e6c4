"""A job's thumbnail: drawn once, in the job's folder, and gone with it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from memory.units import GIB
from pipelines.jobs import trash
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from ui.jobs import thumbnails
from ui.jobs.thumbnails import WIDTH_PX, Thumbnails, length_of

Make = Callable[..., Thumbnails]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    (tmp_path / "jobs").mkdir()
    return lambda **limits: Thumbnails(tmp_path / "jobs", most_bytes=2 * GIB, **limits)


def job_on(clip: Path, **asked: float) -> Job:
    return Job.create(clip.parent / "jobs", "score", (clip,), ScoreSettings(**asked), 1)


def length(job: Job) -> float | None:
    return length_of(job, job.record().asked)


def test_it_is_a_small_picture_that_is_drawn_once_and_deleted_with_its_job(
    make: Make, clip: Path, make_queue: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Path] = []
    ask = thumbnails.ask_process

    async def count(question: Any, most_bytes: int | None = None) -> Event:
        drawn.append(question.picture)
        return await ask(question, most_bytes)

    monkeypatch.setattr(thumbnails, "ask_process", count)
    job, mine = job_on(clip, start=0.4), make()
    assert (mine.find(job), length(job)) == (None, None)
    before = trash.disk_bytes([clip.parent / "jobs"])
    asyncio.run(mine.draw_missing([job]))
    asyncio.run(mine.draw_missing([job]))
    assert len(drawn) == 1
    picture = mine.find(job)
    assert picture is not None
    assert picture.parent == job.folder, "it counts with the job"
    assert trash.disk_bytes([clip.parent / "jobs"]) > before
    with Image.open(picture) as image:
        assert image.width <= WIDTH_PX
    assert length(job) == pytest.approx(1.2)
    assert length(job_on(clip, end=0.5)) is None, "each job has its own"
    make_queue(lambda _: iter(())).delete(job)
    assert not picture.exists()
    assert not [path for path in (clip.parent / "jobs" / "cache").rglob("*") if path.is_file()]


def test_a_job_that_is_deleted_meanwhile_does_not_come_back(
    make: Make, clip: Path, make_queue: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, queue = job_on(clip), make_queue(lambda _: iter(()))

    async def draw(question: Any, most_bytes: int | None = None) -> None:
        question.picture.parent.mkdir(parents=True, exist_ok=True)
        for path in (question.picture, question.picture.with_suffix(".json")):
            path.write_bytes(b"{}")
        queue.delete(job)

    monkeypatch.setattr(thumbnails, "ask_process", draw)
    asyncio.run(make().draw_missing([job]))
    assert not job.folder.exists()
    assert not [path for path in (clip.parent / "jobs" / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize(("limits", "content"), [({"most_pixels": 10}, None), ({}, b"no video")])
def test_what_cannot_be_drawn_is_tried_once(
    make: Make, clip: Path, limits: dict[str, int], content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content:
        clip.write_bytes(content)
    job, mine = job_on(clip), make(**limits)
    asyncio.run(mine.draw_missing([job]))
    assert mine.find(job) is None

    async def never(*_: Any) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(thumbnails, "ask_process", never)
    asyncio.run(mine.draw_missing([job]))
    assert length(job) is None
