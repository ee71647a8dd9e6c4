"""Long blurs of a shot, found piece by piece by what it remembers of the sharpness and detail of its good frames."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.metrics.baselines import FLASH_FRAMES, DetailSteps, Steps, opening

_MOST_LAYOUT_CHANGE = 0.13
"""Change of layout, in shares of the contrast, from which detail may differ because something else is shown. A blur
leaves the layout as it was: at 48 of 52 onsets that only detail shows (tests/bench/score_faults.py, seeds 1 to 3, 7, 8
and 11, and real footage) it is below 0.1. Where a fast camera shows softer things it is 0.13 to 0.7."""
_REPEATED = 0.1
"""Change in grey levels below which a frame repeats the one before it: its detail is that of the encoder's choice."""

_LEAST_LEFT = 1e-3
"""Least share of the detail that is told: a picture of one grey level has none."""

Memory = TypeVar("Memory", bound=Steps)


class LongBlurs:
    """Finds blurs of any length, and remembers the good frames of a shot between its pieces."""

    def __init__(self) -> None:
        self._sharpness, self._detail = Steps(), DetailSteps()

    def find(self, rows: NDArray[np.void], stop: int, is_start: bool) -> None:
        """Flag the long blurs of a piece in its `rows`, and their baselines.

        Those from frame `stop` on only show what follows. A blank stretch longer than a flash starts anew.
        """
        shown = np.flatnonzero(~rows["blank"])
        breaks = np.flatnonzero(np.diff(shown) > FLASH_FRAMES + 1) + 1
        for i, frames in enumerate(np.split(shown, breaks)):
            judged = int(np.searchsorted(frames, stop))
            if i or (len(frames) and frames[0] > FLASH_FRAMES):
                self._sharpness, self._detail, is_start = Steps(), DetailSteps(), True
            shot = rows[frames]
            self._sharpness, found, base = _follow(
                self._sharpness, shot["sharpness"], shot["blurred"], None, judged, is_start
            )
            rows["baseline"][frames[:judged][found]] = base[found]
            shot["blurred"][:judged] |= found
            repeated = np.nan_to_num(shot["difference"], nan=255) < _REPEATED
            may_begin = (shot["layout_change"] < _MOST_LAYOUT_CHANGE) & ~repeated
            self._detail, found, base = _follow(
                self._detail, shot["detail"], shot["blurred"] | repeated, may_begin, judged, is_start
            )
            # What is left of the detail, told as sharpness.
            left = shot["detail"][:judged] / np.where(found, base, np.inf)
            told = found & ~shot["blurred"][:judged]
            rows["baseline"][frames[:judged][told]] = shot["sharpness"][:judged][told] / left[told].clip(
                _LEAST_LEFT
            )
            shot["blurred"][:judged] |= found
            rows["blurred"][frames] = shot["blurred"]


def _follow(
    memory: Memory,
    values: NDArray[np.float64],
    poor: NDArray[np.bool_],
    may_begin: NDArray[np.bool_] | None,
    judged: int,
    is_start: bool,
) -> tuple[Memory, NDArray[np.bool_], NDArray[np.float64]]:
    """Flag the blurred ones of the first `judged` frames; return the memory, the flags and what was remembered."""
    sharp, bad, may = values.tolist(), poor.tolist(), None if may_begin is None else may_begin.tolist()
    kind = type(memory)
    first, level = opening(sharp, bad, may, kind) if is_start else (0, 0.0)
    first = min(first, judged)
    found, base = np.full(judged, True), np.full(judged, level)
    if first and first == judged:
        memory = kind.within(level, sharp[:judged])
    found[first:], base[first:] = memory.find(sharp[first:], bad[first:], judged - first, may and may[first:])
    return memory, found, base
