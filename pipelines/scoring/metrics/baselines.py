"""Long faults: what the last good frames of a shot were like, and how long a frozen or blurred stretch lasts.

A fault that is longer than the frames around it with which it could be compared would become its own baseline.
Therefore each shot keeps a memory of its last good frames, which bad frames do not enter: a stretch lasts until a frame
is like the remembered ones again, whatever its length. All loops are over plain numbers, one or a few per frame.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

GOOD_FRAMES = 48
"""Good frames that a shot remembers."""
_LEAST_GOOD = 3
"""Good frames before anything can be a fault: a still from its shot's first frame on is none."""
FLASH_FRAMES = 3
"""A longer blank stretch ends the memory: what follows it is usually another shot."""

_STILL_SHARE, _STILL_SHIFT, _STILL_IN_MOTION = 0.35, 0.14, 0.07
"""A frozen frame's `shift` is below the first share of the remembered one, and below the larger of this many grey
levels and of the second share of it. Chosen on the clips of tests/bench/score_faults.py, seed 1:
on 25 of them 95 % of the copies are below 0.01 of the remembered shift, 99 % of the moving frames above 0.16."""
_STEADY_SHARE, _STEADY_SPREAD, _STEADY_FRAMES = 0.35, 0.8, 16
"""Or, in a shot whose motion is steady, below this share of the least of the last shifts. It is steady if this least of
so many is at least the second share of their median: a hand or a shake slows down before it stops, a frozen pan does
not."""
_STILL_CHANGE, _STILL_NOISE, _CHANGE_IN_MOTION = 1.6, 0.5, 0.15
"""Its `local_change` is below this many grey levels plus this share of the noise, or below this share of the
remembered one: heavy compression changes copies, but far less than motion does."""
_LEAST_SHIFT, _LEAST_EQUAL_SHIFT = 0.3, 0.05
"""Remembered `shift` below which a shot counts as a still, of which only noise moves (noise of 2.5 gives less
than 0.12 in 95 % of the frames); the second is for frames that equal the one before."""
_FLAT_FRAMES, _FLAT_CHANGE, _FLAT_SHARE = 8, 3.0, 0.5
"""In a picture too flat for `shift`, a frame is frozen if its `local_change` is below this share of the least of the
last ones, and this least one is twice what a still may have ..."""
_LEAST_DIFFERENCE, _DIFFERENCE_SHARE = 0.25, 0.2
"""... or if its noise stands still, too: `difference` is below this share of the least of the last ones, all of which
had this many grey levels ..."""
_NOISE_RISE, _NOISE_STILL = 0.5, 0.02
"""... or below this many grey levels with noise that rose by so many: an encoder keeps the noise of copies, and smooths
that of frames all of which differ. No frame of 41 clips of noisy stills and of flat moving pictures is like that."""
_SETTLING_SHARE, _SETTLING_FRAMES = 0.6, 3
"""The first copies may still change by this share of the remembered shift, for this many frames, as the encoder settles
(they refer to frames on both sides of the seam)."""
_CATCH_UP_FRAMES, _CATCH_UP_SHARE, _CATCH_UP_GAIN = 3, 0.5, 1.8
"""At most so many slow frames, below this share of the motion before them, are copies, too, if the next frame makes up
for them: its shift is this multiple of those of as many frames before them, and of the one after it."""
_POP_FRAMES, _POP_SHIFT, _POP_CHANGE = 2, 4.0, 10.0
"""An encoder refreshes a still picture now and then: at most this many frames in a row, and by at most this shift and
change (3.1 and 9 on the same clips), which do not end a stretch ..."""
_LEAST_BEFORE_POP, _LEAST_AFTER_POP = 6, 3
"""... that had and will have this many still frames."""

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


@dataclass
class Recent:
    """Numbers of the last good frames of a shot."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=GOOD_FRAMES))

    def median(self) -> float:
        """Return their median; 0 while there are too few."""
        return median(self.values) if len(self.values) >= _LEAST_GOOD else 0.0

    def deviation(self) -> float:
        """Return the median distance from the median."""
        middle = self.median()
        return median(abs(value - middle) for value in self.values) if self.values else 0.0

    def latest(self) -> float:
        """Return the median of the last few, of which those that look ahead are left out; infinity without them."""
        values = list(self.values)[-_LATEST_FRAMES - _STEP_FRAMES : -_STEP_FRAMES]
        return median(values) if values else float("inf")

    def steady(self) -> float:
        """Return the least of the last ones if they are steady; 0 if not, or if they are too few to tell."""
        last = list(self.values)[-_STEADY_FRAMES:]
        if len(last) < _STEADY_FRAMES:
            return 0.0
        least = min(last)
        return least if least >= _STEADY_SPREAD * median(last) else 0.0

    def least(self) -> float:
        """Return the least of the last few; 0 if they are too few."""
        return min(list(self.values)[-_FLAT_FRAMES:]) if len(self.values) >= _FLAT_FRAMES else 0.0


@dataclass
class Change:
    """Changes of frames from the one before, one number per frame: see `frame_features.RECORD`."""

    shift: Sequence[float]
    change: Sequence[float]
    difference: Sequence[float]
    noise: Sequence[float]
    blank: Sequence[bool]


class Stills:
    """Finds the frames of a shot at which the picture stands still, although it moved before."""

    def __init__(self) -> None:
        self._forget()
        self._run = 0
        self._blank = 0
        self._started = False

    def _forget(self) -> None:
        self._shift, self._change = Recent(), Recent()
        self._difference, self._noise = Recent(), Recent()

    def find(self, frames: Change, stop: int) -> Flags:
        """Flag the frames before `stop`; the others only show what follows. Continues where the last call stopped."""
        found = np.zeros(stop, bool)
        at = 0
        while at < stop:
            if frames.blank[at]:
                self._pass_blank()
                at += 1
                continue
            still = self._still_until(frames, at)
            if still > at:
                found[at : min(still, stop)] = True
                self._run += min(still, stop) - at
                at = still
                continue
            if self._started and not self._blank:  # the first frame of a shot differs from another picture
                self._shift.values.append(frames.shift[at])
                self._change.values.append(frames.change[at])
                self._difference.values.append(frames.difference[at])
                self._noise.values.append(frames.noise[at])
            self._started, self._run, self._blank = True, 0, 0
            at += 1
        return found

    def _pass_blank(self) -> None:
        self._blank += 1
        self._run = 0
        if self._blank > FLASH_FRAMES:
            self._forget()

    def _still_until(self, frames: Change, at: int) -> int:
        """Return the frame after the still ones from `at` on that are certain; `at` if there are none."""
        shift = self._shift.median()
        if shift < _LEAST_SHIFT and sum(value >= _POP_SHIFT for value in self._shift.values) >= _LEAST_GOOD:
            shift = _POP_SHIFT  # most of what is remembered are repeats, between which the picture moves
        if self._blank or not self._started:
            return at
        if shift < _LEAST_SHIFT and self._is_still_though_flat(frames, at):
            return at + 1
        if shift < _LEAST_EQUAL_SHIFT:
            return at

        change, steady = self._change.median(), self._shift.steady()
        most_shift = min(_STILL_SHARE * shift, max(_STILL_SHIFT, _STILL_IN_MOTION * shift))
        most_shift = max(most_shift, _STEADY_SHARE * steady)
        most_change = max(_CHANGE_IN_MOTION * change, _STEADY_SHARE * change if steady else 0)

        def still(i: int) -> bool:
            if frames.blank[i]:
                return False
            is_equal = frames.difference[i] == 0
            if is_equal or shift < _LEAST_SHIFT:
                return is_equal
            least_change = _STILL_CHANGE + _STILL_NOISE * frames.noise[i]
            return frames.shift[i] < most_shift and frames.change[i] < max(least_change, most_change)

        if still(at):
            return at + 1
        last = len(frames.shift)
        ahead = at
        while ahead < min(last, at + _SETTLING_FRAMES) and frames.shift[ahead] < _SETTLING_SHARE * shift:
            if frames.shift[ahead] > _POP_SHIFT or frames.change[ahead] > _POP_CHANGE:
                break
            ahead += 1
            if ahead < last and still(ahead):
                return ahead
        if shift >= _LEAST_SHIFT and (ahead := self._caught_up(frames, at)) > at:
            return ahead
        if self._run < _LEAST_BEFORE_POP:
            return at
        ahead = at
        while ahead < min(last, at + _POP_FRAMES) and not frames.blank[ahead]:
            if frames.shift[ahead] > _POP_SHIFT or frames.change[ahead] > _POP_CHANGE:
                break
            ahead += 1
            after = range(ahead, ahead + _LEAST_AFTER_POP)
            if after.stop <= last and all(still(i) for i in after):
                return ahead
        return at

    def _is_still_though_flat(self, frames: Change, at: int) -> bool:
        """Return whether a frame repeats the one before it, in a picture so flat that motion gives no `shift`."""
        if frames.shift[at] >= _STILL_SHIFT:
            return False
        change, difference = self._change.least(), self._difference.least()
        if change >= _FLAT_CHANGE and frames.change[at] < _FLAT_SHARE * change:
            return True
        most = _DIFFERENCE_SHARE * difference if difference >= _LEAST_DIFFERENCE else 0.0
        if len(self._noise.values) >= _FLAT_FRAMES and frames.noise[at] >= self._noise.median() + _NOISE_RISE:
            most = max(most, _NOISE_STILL)
        return frames.difference[at] < most

    def _caught_up(self, frames: Change, at: int) -> int:
        """Return the frame after the slow ones from `at` on that makes up for them; `at` if there is none."""
        before = list(self._shift.values)[-_CATCH_UP_FRAMES:]
        ahead, last = at, min(len(frames.shift) - 1, at + _CATCH_UP_FRAMES)
        while (
            ahead < last and not frames.blank[ahead] and frames.shift[ahead] < _CATCH_UP_SHARE * min(before)
        ):
            ahead += 1
        jump = _CATCH_UP_GAIN * max(*before, frames.shift[ahead + 1] if ahead < last else 0)
        return ahead if ahead < len(frames.shift) - 1 and frames.shift[ahead] > jump else at


class Steps:
    """Finds stretches of a shot that are much less sharp than the good frames before them."""

    def __init__(self) -> None:
        self._good = Recent()
        self._level: Recent | None = None

    @classmethod
    def within(cls, base: float, sharp: Sequence[float]) -> "Steps":
        """Return the memory amid a stretch whose last frames are `sharp`, with `base` as the remembered sharpness."""
        steps = cls()
        steps._good.values.extend([base] * _LEAST_GOOD)
        steps._level = Recent()
        steps._level.values.extend(sharp)
        return steps

    def find(self, sharp: Sequence[float], poor: Sequence[bool], stop: int) -> tuple[Flags, Floats]:
        """Flag the frames before `stop` that are in a stretch; also return the remembered sharpness there, else 0.

        `poor` frames, which are blurred by comparison with the frames around them, do not count as good.
        """
        found, remembered = np.zeros(stop, bool), np.zeros(stop)
        for at in range(stop):
            base, ahead = self._good.median(), median(sharp[at : at + _STEP_FRAMES])
            if self._level is None:
                low = base - max(_LEAST_STEP * base, _STEP_SPREAD * self._good.deviation())
                abrupt = self._good.latest() - _ABRUPT_SHARE * (base - low)
                if max(sharp[at], ahead) < min(low, abrupt):
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


def opening(sharp: Sequence[float], poor: Sequence[bool]) -> tuple[int, float]:
    """Return how many frames at the start of a shot are much less sharp than those after, and the sharpness of these.

    Looks at the frames from the last to the first.
    """
    found, remembered = Steps().find(sharp[::-1], poor[::-1], len(sharp))
    low, level = found[::-1], remembered[::-1]
    begun = np.flatnonzero(low[:_SETTLING_FRAMES])
    if not len(begun):
        return 0, 0.0
    good = np.flatnonzero(~low[begun[0] :])
    return int(begun[0] + good[0] if len(good) else len(low)), float(level[begun[0]])
