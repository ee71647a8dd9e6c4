"""Where the portrait holds still: stretches of frames on which nothing drives it, each with its reason."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.takes.shot_stage import Grid, Rows
from pipelines.animation.takes.takes import Take, Takes
from pipelines.errors import Sentence
from pipelines.spans import Span
from pipelines.video.clock.timeline import Timeline

Reason = Literal["no_face", "cut", "dissolve", "flash", "covered", "unlike"]

REASONS: dict[str, str] = {
    "no_face": "no face is seen",
    "cut": "the driving cuts to a shot without a face to follow",
    "dissolve": "the driving dissolves to another shot",
    "flash": "a flash or an insert",
    "covered": "the driving face is covered or out of sight",
    "unlike": "the driving face does not look as on its first frame",
}
"""Reason of a stretch in words."""

KEPT = 1000
"""Stretches and cuts that the report lists; the others are only counted."""

Seconds = Callable[[int], float]
"""Returns the time of a frame, in seconds."""

_MOST_LISTED = 4
"""Stretches and cuts that a warning lists; the others are only counted."""
_FLASH_LEVELS = 40.0
"""Mean change of the thumbnail's cells, in grey levels, that makes a stretch a flash: a hand before the face changes
less, a frame of one colour more."""


@dataclass(frozen=True)
class Rest:
    """Stretch of frames on which the portrait holds still."""

    frames: Span
    reason: Reason

    def describe(self, seconds: Seconds) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "frames": [self.frames.start, self.frames.stop],
            "seconds": [round(seconds(self.frames.start), 3), round(seconds(self.frames.stop), 3)],
            "reason": self.reason,
        }


class Rests:
    """Collects the stretches at rest of a job. Holds `KEPT` of them."""

    def __init__(self) -> None:
        self.kept: list[Rest] = []
        self.count = 0
        self.frames = 0

    def add(self, rest: Rest) -> None:
        """Add the next stretch."""
        self.count += 1
        self.frames += len(rest.frames)
        if len(self.kept) < KEPT:
            self.kept.append(rest)

    def summary(self, seconds: Seconds) -> dict[str, Any]:
        """Return the entries of a report's summary, as plain JSON values."""
        return {
            "frames_at_rest": self.frames,
            "rest_count": self.count,
            "rest": [rest.describe(seconds) for rest in self.kept],
        }

    def warning(self, seconds: Seconds) -> str | None:
        """Return a warning that lists the stretches; None where there are none."""
        if not self.count:
            return None
        listed = [_listed(rest, seconds) for rest in self.kept[:_MOST_LISTED]]
        more = f"; and {self.count - _MOST_LISTED} more times" if self.count > _MOST_LISTED else ""
        return Sentence(
            f"The portrait holds still on {'; '.join(listed)}{more}. "
            "Cut these frames out, or choose a video that shows one face throughout.",
            "rest",
            where=_where(
                [
                    (rest.frames.start, rest.frames.stop - 1, seconds(rest.frames.start))
                    for rest in self.kept[:_MOST_LISTED]
                ],
                self.count,
            ),
        )


def _where(named: Sequence[tuple[int, int, float]], count: int) -> str:
    """Write stretches without words of a language: `2.00 s (50–99), …`."""
    listed = [
        f"{seconds:.2f} s ({first if first == last else f'{first}–{last}'})" for first, last, seconds in named
    ]
    return ", ".join([*listed, *(["…"] if count > len(named) else [])])


def seconds_of(timeline: Timeline) -> Seconds:
    """Return when frames begin, from the start of the video; for the one after the last, when the video ends."""

    def seconds(frame: int) -> float:
        if frame >= timeline.frames:
            return float(timeline.seconds)
        return float(timeline.time(frame) - timeline.start)

    return seconds


def cut_warning(cuts: Sequence[int], seconds: Seconds) -> str | None:
    """Return a warning that lists the cuts at which the driving is followed anew; None without any."""
    if not cuts:
        return None
    listed = ", ".join(f"frame {cut} ({seconds(cut):.2f} s)" for cut in cuts[:_MOST_LISTED])
    more = f" and {len(cuts) - _MOST_LISTED} more times" if len(cuts) > _MOST_LISTED else ""
    return Sentence(
        f"The driving cuts at {listed}{more}: there the portrait goes back to rest and begins anew with the face of "
        "the new shot. For one continuous motion, cut the video there and animate each part.",
        "cut",
        where=_where([(cut, cut, seconds(cut)) for cut in cuts[:_MOST_LISTED]], len(cuts)),
    )


def find_rests(
    takes: Takes, presences: Iterable[NDArray[np.float32]], rows: Iterable[Rows], frames: Span
) -> Rests:
    """Find the stretches at rest by the `presences` of all `frames`, 0 where the portrait rests.

    `rows` are the measurements of the same frames; both come in blocks. Holds a block of each.
    """
    rests = Rests()
    presence, grids = _flat(presences), (row["grid"] for row in _flat(rows))
    shown: Grid | None = None
    for take, part in takes.between(frames.start, frames.stop):
        run: list[float] = []
        for index in range(part.start, part.stop + 1):
            resting = index < part.stop and next(presence) == 0
            grid = next(grids) if index < part.stop else None
            if resting and grid is not None:
                run.append(0.0 if shown is None else float(cv2.norm(grid, shown, cv2.NORM_L1)) / grid.size)
                continue
            if run:
                span = Span(index - len(run), index)
                rests.add(Rest(span, _reason(take, span, max(run), leads=span.start == frames.start)))
                run = []
            shown = shown if grid is None else grid
    return rests


def _reason(take: Take, span: Span, change: float, *, leads: bool) -> Reason:
    """Tell why the portrait rests on `span` of a take; `change` is that of the picture, in grey levels of a cell."""
    track = take.track
    if take.mixed:
        return "dissolve"
    if track is None:
        return "no_face" if leads else "cut"
    flash = change > _FLASH_LEVELS
    if any(_overlap(span, each) for each in track.breaks):
        return "flash" if flash else "cut"
    if 2 * sum(_overlap(span, each) for each in track.gone) >= len(span):
        return "no_face"
    if track.is_seen_in(span):
        return "unlike"
    return "flash" if flash else "covered"


def _overlap(span: Span, other: Span) -> int:
    return max(0, min(span.stop, other.stop) - max(span.start, other.start))


def _flat(blocks: Iterable[NDArray[Any]]) -> Iterator[Any]:
    for block in blocks:
        yield from block


def _listed(rest: Rest, seconds: Seconds) -> str:
    """Name a stretch: `frames 50 to 99 (2.00 to 4.00 s: no face is seen)`."""
    first, last = rest.frames.start, rest.frames.stop - 1
    named = f"frame {first}" if first == last else f"frames {first} to {last}"
    return f"{named} ({seconds(first):.2f} to {seconds(last + 1):.2f} s: {REASONS[rest.reason]})"
