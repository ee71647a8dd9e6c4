"""Long blurs: what the last good frames of a shot were like, and how long a blurred stretch lasts.

A fault that is longer than the frames around it with which it could be compared would become its own baseline.
Therefore each shot keeps a memory of its last good frames, which bad frames do not enter: a stretch lasts until a frame
is like the remembered ones again, whatever its length. Frozen stretches (`stills`) are followed with the same memory.
All loops are over plain numbers, one or a few per frame.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

GOOD_FRAMES = 48
"""Good frames that a shot remembers."""
LEAST_GOOD = 3
"""Good frames before anything can be a fault: a still from its shot's first frame on is none."""
FLASH_FRAMES = 3
"""A longer blank stretch ends the memory: what follows it is usually another shot."""

_LEAST_STEP, _STEP_SPREAD = 0.1, 3.0
"""A stretch lasts until it is sharp again if sharpness drops by at least this share of the remembered one, and by this
multiple of the remembered one's median deviation. A blur of 1.5 pixels at 640 x 360 takes 0.2 to 0.4 away."""
_LATEST_FRAMES, _ABRUPT_SHARE = 8, 0.8
"""At least this share of the drop is one from the last few good frames, too: a camera that turns to softer things does
so slowly."""
_STEP_FRAMES = 4
"""Frames whose median must have dropped: single ones are judged by the frames around them."""
_RETURN_FRAMES = 5
"""Frames whose median must have returned half-way before a blurred stretch ends."""
_DETAIL_GAIN, _LEAST_CHANGES = 2.0, 6
"""A stretch of less detail begins where detail drops by `_LEAST_STEP` of what it was just before, and by this multiple
of the most that it changed by over `_STEP_FRAMES` good frames before; at least so many changes must be known."""
_OPENING_FRAMES = 3
"""A blur from a shot's first frame on has begun by then: encoders show the first frames of a shot less well."""


@dataclass
class Recent:
    """Numbers of the last good frames of a shot."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=GOOD_FRAMES))

    def median(self) -> float:
        """Return their median; 0 while there are too few."""
        return median(self.values) if len(self.values) >= LEAST_GOOD else 0.0

    def deviation(self) -> float:
        """Return the median distance from the median."""
        middle = self.median()
        return median(abs(value - middle) for value in self.values) if self.values else 0.0

    def latest(self) -> float:
        """Return the median of the last few, of which those that look ahead are left out; infinity without them."""
        values = list(self.values)[-_LATEST_FRAMES - _STEP_FRAMES : -_STEP_FRAMES]
        return median(values) if values else float("inf")

    def least(self, count: int) -> float:
        """Return the least of the last `count`; 0 if they are fewer."""
        return min(list(self.values)[-count:]) if len(self.values) >= count else 0.0

    def most_change(self) -> float:
        """Return the most that one differs from the one `_STEP_FRAMES` before; infinity if too few are known."""
        values = list(self.values)[:-_STEP_FRAMES]  # the last ones look ahead
        changes = [abs(b - a) for a, b in zip(values, values[_STEP_FRAMES:], strict=False)]
        return max(changes) if len(changes) >= _LEAST_CHANGES else float("inf")

    def last(self, count: int) -> list[float]:
        """Return the last `count`, or as many as there are."""
        return list(self.values)[-count:]


class Steps:
    """Finds stretches of a shot that are much less sharp than the good frames before them."""

    def __init__(self) -> None:
        self._good = Recent()
        self._level: Recent | None = None

    @classmethod
    def within(cls, base: float, sharp: Sequence[float]) -> Self:
        """Return the memory amid a stretch whose last frames are `sharp`, with `base` as the remembered sharpness."""
        steps = cls()
        steps._good.values.extend([base] * LEAST_GOOD)
        steps._level = Recent()
        steps._level.values.extend(sharp)
        return steps

    def find(
        self, sharp: Sequence[float], poor: Sequence[bool], stop: int, may_begin: Sequence[bool] | None = None
    ) -> tuple[Flags, Floats]:
        """Flag the frames before `stop` that are in a stretch; also return the remembered sharpness there, else 0.

        `poor` frames, which are blurred by comparison with the frames around them, do not count as good. A stretch
        begins on a frame that may; None: on any.
        """
        found, remembered = np.zeros(stop, bool), np.zeros(stop)
        for at in range(stop):
            base, ahead = self._good.median(), median(sharp[at : at + _STEP_FRAMES])
            if self._level is None:
                if (may_begin is None or may_begin[at]) and max(sharp[at], ahead) < self._low():
                    self._level = Recent()
            else:
                middle = (base + median(self._level.values)) / 2
                if min(sharp[at], median(sharp[at : at + _RETURN_FRAMES])) >= middle:
                    # What follows may show something else than what was before.
                    self._level, self._good = None, Recent()
            if self._level is not None:
                self._level.values.append(sharp[at])
                found[at], remembered[at] = True, base
            elif not poor[at]:
                self._good.values.append(ahead)
        return found, remembered

    def _low(self) -> float:
        """Return what is so little that a stretch begins."""
        base = self._good.median()
        low = base - max(_LEAST_STEP * base, _STEP_SPREAD * self._good.deviation())
        return min(low, self._good.latest() - _ABRUPT_SHARE * (base - low))


class DetailSteps(Steps):
    """Finds stretches of a shot whose detail drops at once, by more than it changed before.

    Noise and soft pictures hide a blur from sharpness more than from detail.
    """

    def _low(self) -> float:
        before = min(self._good.median(), self._good.latest())
        return before - max(_LEAST_STEP * before, _DETAIL_GAIN * self._good.most_change())


def opening(
    sharp: Sequence[float],
    poor: Sequence[bool],
    may_begin: Sequence[bool] | None = None,
    kind: type[Steps] = Steps,
) -> tuple[int, float]:
    """Return how many frames at the start of a shot are much less sharp than those after, and the sharpness of these.

    Looks at the frames from the last to the first, with the `kind` of memory.
    """
    backwards = None if may_begin is None else may_begin[::-1]
    found, remembered = kind().find(sharp[::-1], poor[::-1], len(sharp), backwards)
    low, level = found[::-1], remembered[::-1]
    begun = np.flatnonzero(low[:_OPENING_FRAMES])
    if not len(begun):
        return 0, 0.0
    good = np.flatnonzero(~low[begun[0] :])
    return int(begun[0] + good[0] if len(good) else len(low)), float(level[begun[0]])
