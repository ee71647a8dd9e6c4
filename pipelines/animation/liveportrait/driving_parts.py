"""Parts of a driving video between its cuts: relative motion starts anew in each.

A part begins at a cut or after a dissolve. It goes on after a flash or an insert, when the same layout returns.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.animation.takes.rest import Reason, Rest, Rests
from pipelines.animation.takes.shot_stage import Shots
from pipelines.animation.takes.takes import MOST_BREAK_FRAMES, is_same_layout
from pipelines.spans import Span

_FADE_FRAMES = 10
"""Frames over which the portrait fades to rest before a cut and around a flash, as with the built-in engine."""


@dataclass(frozen=True)
class DrivingPart:
    """Frames of the driving whose motion is relative to the first of them that shows a face."""

    frames: Span
    breaks: tuple[Span, ...] = ()
    """Spans that show something else, such as a flash."""
    mixed: bool = False
    """Whether it is a dissolve, on which the portrait rests."""
    ends_in_cut: bool = False

    def presence(self, frame: int) -> float:
        """Return 1 where it drives, 0 on a dissolve and on breaks, and a fade beside these and before a cut."""
        if self.mixed:
            return 0.0
        away = [max(0, span.start - frame, frame - span.stop + 1) for span in self.breaks]
        if self.ends_in_cut:
            away.append(self.frames.stop - frame)
        return min(1.0, min(away, default=_FADE_FRAMES) / _FADE_FRAMES)


def whole(frames: Span) -> tuple[DrivingPart, ...]:
    """Return one part for all frames."""
    return (DrivingPart(frames),)


def make_parts(shots: Shots) -> tuple[DrivingPart, ...]:
    """Make the parts of a driving from its shots, in order and without gaps."""
    parts: list[DrivingPart] = []
    number = 0
    while number < len(shots.spans):
        last, breaks = number, []
        while not shots.mixed[number] and (following := _returns(shots, last)):
            breaks.append(Span(shots.spans[last].stop, shots.spans[following].start))
            last = following
        frames = Span(shots.spans[number].start, shots.spans[last].stop)
        parts.append(DrivingPart(frames, tuple(breaks), shots.mixed[number]))
        number = last + 1
    return tuple(replace(part, ends_in_cut=part is not parts[-1]) for part in parts)


def part_at(parts: Sequence[DrivingPart], frame: int) -> DrivingPart:
    """Return the part in which `frame` lies; the nearest for one outside all."""
    starts = [part.frames.start for part in parts]
    return parts[max(0, int(np.searchsorted(starts, frame, "right")) - 1)]


def by_part(parts: Sequence[DrivingPart], span: Span) -> Iterator[tuple[DrivingPart, slice]]:
    """Yield the parts in which frames of a span lie, each with its frames, counted from the span's first."""
    start = span.start
    while start < span.stop:
        part = part_at(parts, start)
        stop = span.stop if part is parts[-1] else min(span.stop, part.frames.stop)
        yield part, slice(start - span.start, stop - span.start)
        start = stop


def rests_of_parts(
    parts: Sequence[DrivingPart], presences: Iterable[NDArray[np.float32]], frames: Span
) -> Rests:
    """Find the stretches at rest by the `presences` of all `frames`, in blocks, 0 where the portrait rests.

    Holds a block.
    """
    rests, run = Rests(), 0
    edges = {edge for part in parts if part.mixed for edge in (part.frames.start, part.frames.stop)}
    index = frames.start

    def close() -> None:
        nonlocal run
        if run:
            span = Span(index - run, index)
            rests.add(Rest(span, _reason(part_at(parts, span.start), span)))
        run = 0

    for block in presences:
        for presence in block:
            if presence or index in edges:
                close()
            run += int(presence == 0)
            index += 1
    close()
    return rests


def _returns(shots: Shots, number: int) -> int | None:
    """Return the shot that shows the layout of shot `number` again, a few frames after it; None without one."""
    for later in range(number + 2, len(shots.spans)):
        between = range(number + 1, later)
        away = shots.spans[later].start - shots.spans[number].stop
        if away > MOST_BREAK_FRAMES or any(shots.mixed[each] for each in (*between, later)):
            return None
        if is_same_layout(shots.edges[number][1], shots.edges[later][0]):
            return later
    return None


def _reason(part: DrivingPart, span: Span) -> Reason:
    if part.mixed:
        return "dissolve"
    flash = any(each.start < span.stop and span.start < each.stop for each in part.breaks)
    return "flash" if flash else "no_face"
