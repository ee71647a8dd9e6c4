"""Dissolves between shots, found in small measurements of each frame.

Within a dissolve every thumbnail lies on the line from the layout before it to the one after it, farther on each frame,
and motion compensation explains none of the change. A slow motion, too, can lead along such a line; but motion
compensation explains that.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.shots import normalised

HALVES = (3, 5, 8, 12, 18, 26)
"""Half lengths, in frames, of the windows in which a dissolve may lie: up to two seconds at 25 frames per second."""
EDGE = 3
"""Frames on either side of a window that show only one of the shots."""
REACH = HALVES[-1] + 2 * EDGE
"""Frames on either side of a window's middle on which its verdict depends."""

_LEAST_CHANGE = 3.0
"""Least difference of the thumbnails before and after, RMS in grey levels."""
_LAYOUT_CHANGE = 0.25
"""Least distance of the layouts before and after, as in `vision.shots`."""
_OFF_LINE = 0.03
"""Most of the change, as a share of its energy, that may lie off the line. Measured: dissolves between two people 0.001
to 0.02, between two moments of one 0.015; camera pans 0.05 and more."""
_EVIDENCE = 0.75
"""Least share of the change that motion compensation leaves, beyond what it leaves on the frames around. Measured:
dissolves 0.8 to 1.3; heads that move slowly at most 0.5."""
_MOST_STEP, _BACK = 0.45, 0.08
"""Largest step from one frame to the next, as a share of the way: more is a cut; and how far a step may lead back."""
_AT_EDGE, _MIDDLE = 0.1, (0.25, 0.75)
"""How far from either end the frames beside a window may lie, and where its middle frame lies, as shares of the way."""
_TAIL = 0.15
"""Share of the way between a tenth and nine tenths by which a dissolve is longer on either side."""


@dataclass(frozen=True)
class Dissolve:
    """Frames `[start, stop)` that mix two shots, and how much of the change no motion explains."""

    start: int
    stop: int
    evidence: float


def find_dissolves(grids: NDArray[Any], residuals: NDArray[Any], start: int, stop: int) -> list[Dissolve]:
    """Find what may be a dissolve with its middle on one of the frames `[start, stop)`, in their order.

    `grids` `(N, rows, columns)` and `residuals` `(N,)` are those of `vision.shots` on consecutive frames. A verdict
    depends on `REACH` frames on either side, or fewer where the video begins or ends.
    """
    found: dict[int, Dissolve] = {}
    cells = grids.reshape(len(grids), -1).astype(np.float64)
    left = np.nan_to_num(residuals.astype(np.float64), nan=0.0)
    for half in HALVES:
        margin = half + EDGE
        for middle, dissolve in _of_half(cells, grids.shape[1:], left, half, start, stop, margin):
            if middle not in found or dissolve.evidence > found[middle].evidence:
                found[middle] = dissolve
    return [found[middle] for middle in sorted(found)]


def without_overlaps(candidates: list[Dissolve]) -> list[Dissolve]:
    """Choose those with the most evidence that do not overlap, in order."""
    chosen: list[Dissolve] = []
    for each in sorted(candidates, key=lambda candidate: (-candidate.evidence, candidate.start)):
        if all(each.stop <= other.start or other.stop <= each.start for other in chosen):
            chosen.append(each)
    return sorted(chosen, key=lambda dissolve: dissolve.start)


def _of_half(
    cells: NDArray[np.float64],
    shape: tuple[int, ...],
    left: NDArray[np.float64],
    half: int,
    start: int,
    stop: int,
    margin: int,
) -> list[tuple[int, Dissolve]]:
    """Find the dissolves in windows of one length, each with its middle frame."""
    middles = np.arange(max(start, margin), min(stop, len(cells) - margin))
    if not len(middles):
        return []
    before, after = (
        np.mean([cells[middles + side * (half + 1 + step)] for step in range(EDGE)], axis=0)
        for side in (-1, 1)
    )
    change = after - before
    energy = np.maximum((change**2).sum(axis=1), 1e-9)
    layouts = [normalised(each.reshape(-1, *shape)) for each in (before, after)]
    apart = ((layouts[1] - layouts[0]) ** 2).mean(axis=1) / 2
    offsets = range(-margin, margin + 1)
    way = np.empty((len(offsets), len(middles)))
    off_line = np.empty_like(way)
    for row, offset in enumerate(offsets):
        moved = cells[middles + offset] - before
        way[row] = (moved * change).sum(axis=1) / energy
        off_line[row] = ((moved - way[row][:, None] * change) ** 2).sum(axis=1) / energy
    steps = np.diff(way, axis=0)
    is_dissolve = (
        (energy / change.shape[1] > _LEAST_CHANGE**2)
        & (apart > _LAYOUT_CHANGE)
        & (off_line.max(axis=0) < _OFF_LINE)
        & (steps.max(axis=0) < _MOST_STEP)
        & (steps.min(axis=0) > -_BACK)
        & (np.abs(way[:EDGE]).max(axis=0) < _AT_EDGE)
        & (np.abs(way[-EDGE:] - 1).max(axis=0) < _AT_EDGE)
        & (way[margin] > _MIDDLE[0])
        & (way[margin] < _MIDDLE[1])
    )
    found = []
    for column in np.flatnonzero(is_dissolve):
        middle = int(middles[column])
        inside = left[middle - half : middle + half + 1]
        around = np.r_[
            left[max(0, middle - margin - EDGE) : middle - half],
            left[middle + half + 1 : middle + margin + EDGE + 1],
        ]
        unexplained = float((inside - np.median(around)).sum())
        evidence = unexplained / float(np.abs(change[column]).mean())
        if evidence > _EVIDENCE:
            found.append((middle, Dissolve(*_extent(way[:, column], middle - margin), evidence)))
    return found


def _extent(way: NDArray[np.float64], first: int) -> tuple[int, int]:
    """Return the frames that mix both shots, by the way from one to the other on frames from `first` on."""
    begin = int(np.flatnonzero(way < _AT_EDGE)[-1]) + 1
    end = int(np.flatnonzero(way > 1 - _AT_EDGE)[0])
    begin, end = min(begin, end), max(begin, end)
    tail = round(_TAIL * (end - begin)) + 1
    return first + max(0, begin - tail), first + min(len(way), end + tail)
