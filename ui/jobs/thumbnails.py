"""Thumbnails of jobs: a small picture of each job's input, and the length of the part of it that was asked for.

A thumbnail is drawn once, by a process in which a hostile file can do no harm, and lies in the job's folder: so it
counts with the job and is deleted with it.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs.job import Job
from pipelines.workers.inspect import ThumbnailQuestion
from ui.jobs.uploads import ask_process

log = logging.getLogger(__name__)

WIDTH_PX = 192
"""The list shows 96 pixels, of which sharp displays have two a side; about 10 KB as a JPEG."""
_NAME, _FACTS = "thumbnail.jpg", "thumbnail.json"
_DRAWN = "thumbnails"
"""Folder of the page's cache in which they are drawn: a job's folder may be deleted meanwhile."""


class Thumbnails:
    """The thumbnails of the jobs in one folder. One for a server; `draw_missing` belongs to its event loop."""

    def __init__(self, jobs_dir: Path, *, most_bytes: int, most_pixels: int | None = None) -> None:
        self._drawn = jobs_dir.absolute() / "cache" / _DRAWN
        self._most_bytes = most_bytes
        self._most_pixels = most_pixels
        self._drawing = False

    @staticmethod
    def find(job: Job) -> Path | None:
        """Return the thumbnail of `job`, if it has been drawn."""
        picture = job.folder / _NAME
        return picture if picture.is_file() else None

    async def draw_missing(self, jobs: Iterable[Job]) -> None:
        """Draw the thumbnails that `jobs` lack, one after another; does nothing while an earlier call is drawing.

        One that cannot be drawn is not tried again.
        """
        if self._drawing:
            return
        self._drawing = True
        try:
            for job in jobs:
                if not (job.folder / _FACTS).exists():
                    await self._draw(job)
        finally:
            self._drawing = False

    async def _draw(self, job: Job) -> None:
        picture = self._drawn / f"{job.id}.jpg"
        try:
            record = await asyncio.to_thread(job.record)
            question = ThumbnailQuestion(
                inputs=tuple(known.path for known in record.inputs),
                start=_number(record.asked.get("start")) or 0.0,
                picture=picture,
                most_width_px=WIDTH_PX,
                most_pixels=self._most_pixels,
            )
            await ask_process(question, self._most_bytes)
        except BadInput as error:
            log.debug("the job %s has no thumbnail: %s", job.id, error)
            self._keep(job, None)
        except (LongtakeError, OSError) as error:
            log.warning("the thumbnail of the job %s could not be drawn: %s", job.id, error)
            self._keep(job, None)
        else:
            self._keep(job, picture)

    def _keep(self, job: Job, picture: Path | None) -> None:
        """Move what was drawn into the folder of `job`, unless that has been deleted."""
        facts = self._drawn / f"{job.id}.json"
        if picture is None:
            facts.parent.mkdir(parents=True, exist_ok=True)
            facts.write_text('{"seconds": null}')
        with suppress(FileNotFoundError):
            if picture:
                picture.replace(job.folder / _NAME)
            facts.replace(job.folder / _FACTS)
        for left in (facts, facts.with_suffix(".jpg")):
            left.unlink(missing_ok=True)


def length_of(job: Job, asked: Mapping[str, Any]) -> float | None:
    """Return the seconds of video that `job`, with the settings `asked`, is for; None while that is unknown."""
    start, end = _number(asked.get("start")) or 0.0, _number(asked.get("end"))
    whole = _whole_seconds(job)
    if whole is None:
        return None
    return max(0.0, min(whole, whole if end is None else end) - start)


def _whole_seconds(job: Job) -> float | None:
    try:
        facts = json.loads((job.folder / _FACTS).read_bytes())
        return _number(facts["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
