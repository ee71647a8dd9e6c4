"""Frozen stretches: frames at which the picture stands still, although the shot moved before.

A frame is compared with what the shot remembers of its last moving frames (`baselines.Recent`), which still frames do
not enter, so a stretch may last for any length. All loops are over plain numbers, a few per frame. What follows a frame
is looked at over at most `LOOKED_AHEAD` frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.metrics.baselines import FLASH_FRAMES, LEAST_GOOD, Recent
from pipelines.scoring.metrics.stutters import FRAMES_AHEAD, FRAMES_BEFORE, lull_until, stutter_until

Flags = NDArray[np.bool_]

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
_LEAST_SHIFT, _LEAST_EQUAL_SHIFT = 0.25, 0.05
"""Remembered `shift` below which a shot counts as a still, of which only noise moves (noise of 2.5 gives less
than 0.12 in 95 % of the frames); the second is for frames that equal the one before."""
_SLOW_SHARE, _SLOW_SPREAD, _SLOW_FRAMES = 0.6, 0.5, 8
"""Frames beside a frozen one are copies, too, while both shift and difference are below this share of the least of the
last ones, which are at least the second share of their median; at most so many before it. Encoders spread motion over
the copies. With it 2 more of the 581 freezes of seeds 1 to 3 are found, and 2 more of the false ones."""
_HOLD_FRAMES, _HOLD_SHARE, _SIDE_FRAMES, _AFTER_HOLD, _BEFORE_HOLD = 24, 0.4, 2, 3, 7
"""A stretch of at most so many frames is a hand that holds still, not a freeze, if the last moving frames before it and
the first ones after it all shift by less than this share of what is remembered: a freeze starts and ends at once.
Equal frames are copies, and so are those less than the last number of frames after others: a rhythm. It takes away 2
of the 55 false freezes of seeds 1 to 3."""

FLAT_CONTRAST = 3.5
"""Contrast below which a picture is so flat that motion gives little `shift`, and that sharpness is that of its noise:
the flat pictures of the same script have 1.7 to 2.8 in their first frames, the others 18 and more."""
_FLAT_FRAMES, _FLAT_CHANGE, _FLAT_SHARE = 8, 3.0, 0.5
"""Without `shift` a frame is frozen if its `local_change` is below this share of the least of the last ones, and this
least one is twice what a still may have ..."""
_LEAST_DIFFERENCE, _DIFFERENCE_SHARE = 0.25, 0.2
"""... or if its noise stands still, too: `difference` is below this share of the least of the last ones, all of which
had this many grey levels ..."""
_NOISE_RISE, _NOISE_STILL = 0.5, 0.02
"""... or below this many grey levels with noise that rose by so many: an encoder keeps the noise of copies, and smooths
that of frames all of which differ. No frame of 41 clips of noisy stills and of flat moving pictures is like that."""
_FLAT_RUN, _WEAK_SHIFT, _RARE = 5, 0.05, 2
"""In a flat picture so many frames in a row are frozen whose shift is below `_STILL_SHARE` of the remembered one, if
this one is at least so many grey levels, and if at most so many of the last frames were as slow ..."""
_LEVEL_SHARE, _NOISE_KEPT = 0.75, 0.85
"""... or whose difference is below the first share of the least of the last ones, which are steady, although their
noise is not below the second share of its own: of two sorts of noise, that from before the copy stands still."""

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

LOOKED_AHEAD = _HOLD_FRAMES + max(_SLOW_FRAMES + _AFTER_HOLD, FRAMES_AHEAD)
"""Frames after a frame by which it may be judged."""


@dataclass
class Change:
    """Changes of frames from the one before, one number per frame: see `frame_features.RECORD`."""

    shift: Sequence[float]
    change: Sequence[float]
    difference: Sequence[float]
    noise: Sequence[float]
    contrast: Sequence[float]
    blank: Sequence[bool]
    blurred: Sequence[bool]


def _steady(values: Recent, spread: float = _STEADY_SPREAD, least_frames: int = _STEADY_FRAMES) -> float:
    """Return the least of the last values if they are steady; 0 if not, or if they are too few to tell."""
    last = values.last(_STEADY_FRAMES)
    if len(last) < least_frames:
        return 0.0
    least = min(last)
    return least if least >= spread * median(last) else 0.0


def _rarely_below(values: Recent, least: float, share: float) -> float:
    """Return this share of the median of the last values if hardly any is below it; 0 if not, or below `least`."""
    last = values.last(_STEADY_FRAMES)
    if len(last) < _FLAT_FRAMES or (middle := median(last)) < least:
        return 0.0
    return share * middle if sum(value < share * middle for value in last) <= _RARE else 0.0


class Stills:
    """Finds the frames of a shot at which the picture stands still, although it moved before."""

    def __init__(self) -> None:
        self._forget()
        self._run = 0
        self._sure = 0
        self._hold = 0
        self._moving = 0
        self._blank = 0
        self._started = False

    def _forget(self) -> None:
        self._shift, self._change = Recent(), Recent()
        self._difference, self._noise = Recent(), Recent()
        self._clear = 0

    def find(self, frames: Change, stop: int) -> Flags:
        """Flag the frames before `stop`; the others only show what follows. Continues where the last call stopped."""
        found = np.zeros(stop, bool)
        at = 0
        while at < stop:
            if self._sure:
                self._sure -= 1
                self._run += 1
                found[at] = True
                at += 1
                continue
            if self._hold:
                self._hold -= 1
                at += 1
                continue
            if frames.blank[at]:
                self._pass_blank()
                at += 1
                continue
            still = self._still_until(frames, at)
            if still > at and not self._run and self._moving >= _BEFORE_HOLD:
                self._hold = self._hold_from(frames, at)
                if self._hold:
                    continue
            if still > at:
                self._sure = still - at
                self._moving = 0
                continue
            if self._started and not self._blank:  # the first frame of a shot differs from another picture
                self._shift.values.append(frames.shift[at])
                self._change.values.append(frames.change[at])
                self._difference.values.append(frames.difference[at])
                self._noise.values.append(frames.noise[at])
                self._clear = 0 if frames.blurred[at] else self._clear + 1
            self._started, self._run, self._blank = True, 0, 0
            self._moving += 1
            at += 1
        return found

    def _pass_blank(self) -> None:
        self._blank += 1
        self._run = 0
        if self._blank > FLASH_FRAMES:
            self._forget()

    def _hold_from(self, frames: Change, at: int) -> int:
        """Return how many frames from `at` on a hand holds still; 0 if it is a freeze, or longer than a hold."""
        slow = _HOLD_SHARE * self._shift.median()
        if max(self._shift.last(_SIDE_FRAMES), default=slow) >= slow:
            return 0
        end, still = at, self._still_until(frames, at)
        while end < still and still - at <= _HOLD_FRAMES:
            self._run, end = self._run + still - end, still
            if end < len(frames.shift) and not frames.blank[end]:
                still = self._still_until(frames, end)
        self._run = 0
        after = frames.shift[end : end + _AFTER_HOLD]
        is_hold = still == end and len(after) and max(after) < slow and all(frames.difference[at:end])
        return end - at if is_hold else 0

    def _still_until(self, frames: Change, at: int) -> int:
        """Return the frame after the still ones from `at` on that are certain; `at` if there are none."""
        certain = self._certain_until(frames, at)
        if self._blank or frames.blank[at] or self._clear < FRAMES_BEFORE:
            return certain
        before = list(self._shift.values)
        still = lull_until(frames.shift, at, before)
        if certain == at:
            still = max(still, stutter_until(frames.shift, at, before))
        # A blur makes motion weak, and begins and ends with a jump.
        return certain if any(frames.blurred[at : still + 1]) else max(certain, still)

    def _certain_until(self, frames: Change, at: int) -> int:
        """Return the same where frames themselves tell, not only the motion around them."""
        shift = self._shift.median()
        if shift < _LEAST_SHIFT and sum(value >= _POP_SHIFT for value in self._shift.values) >= LEAST_GOOD:
            shift = _POP_SHIFT  # most of what is remembered are repeats, between which the picture moves
        if self._blank or not self._started:
            return at
        if shift < _LEAST_SHIFT and self._is_still_though_flat(frames, at):
            return at + 1
        if shift < _LEAST_EQUAL_SHIFT:
            return at

        change, steady = self._change.median(), _steady(self._shift)
        most_shift = min(_STILL_SHARE * shift, max(_STILL_SHIFT, _STILL_IN_MOTION * shift))
        most_shift = max(most_shift, _STEADY_SHARE * steady)
        most_change = max(_CHANGE_IN_MOTION * change, _STEADY_SHARE * change if steady else 0)

        def is_still(i: int) -> bool:
            if frames.blank[i]:
                return False
            is_equal = frames.difference[i] == 0
            if is_equal or shift < _LEAST_SHIFT:
                return is_equal
            least_change = _STILL_CHANGE + _STILL_NOISE * frames.noise[i]
            return frames.shift[i] < most_shift and frames.change[i] < max(least_change, most_change)

        if is_still(at):
            return at + 1
        slow = self._slow_until(frames, at, is_still)
        if slow > at:
            return slow
        settled = self._settled(frames, at, _SETTLING_SHARE * shift, is_still)
        if settled > at:
            return settled
        caught_up = self._caught_up(frames, at) if shift >= _LEAST_SHIFT else at
        return caught_up if caught_up > at else self._popped(frames, at, is_still)

    def _slow_until(self, frames: Change, at: int, is_still: Callable[[int], bool]) -> int:
        """Return the frame after the slow ones from `at` on that belong to still ones; `at` if there are none."""
        most_shift = _SLOW_SHARE * _steady(self._shift, _SLOW_SPREAD)
        most_difference = _SLOW_SHARE * _steady(self._difference, _SLOW_SPREAD)

        def is_slow(i: int) -> bool:
            is_below = frames.shift[i] < most_shift and frames.difference[i] < most_difference
            return is_below and not frames.blank[i]

        if self._run and is_slow(at):
            return at + 1
        for ahead in range(at, min(len(frames.shift) - 1, at + _SLOW_FRAMES)):
            if not is_slow(ahead):
                return at
            if is_still(ahead + 1):
                return ahead + 1
        return at

    def _settled(self, frames: Change, at: int, most: float, is_still: Callable[[int], bool]) -> int:
        """Return the first still frame after those at `at` that are below `most`; `at` if there is none."""
        for ahead in range(at, min(len(frames.shift) - 1, at + _SETTLING_FRAMES)):
            shift, change = frames.shift[ahead], frames.change[ahead]
            if shift >= most or shift > _POP_SHIFT or change > _POP_CHANGE:
                return at
            if is_still(ahead + 1):
                return ahead + 1
        return at

    def _caught_up(self, frames: Change, at: int) -> int:
        """Return the frame after the slow ones from `at` on that makes up for them; `at` if there is none."""
        before = self._shift.last(_CATCH_UP_FRAMES)
        # Where motion is steady, the last frame before the copies may be slow, too.
        usual = median(before) if _steady(self._shift, _SLOW_SPREAD) else min(before)
        ahead, last = at, min(len(frames.shift) - 1, at + _CATCH_UP_FRAMES)
        while ahead < last and not frames.blank[ahead] and frames.shift[ahead] < _CATCH_UP_SHARE * usual:
            ahead += 1
        jump = _CATCH_UP_GAIN * max(*before, frames.shift[ahead + 1] if ahead < last else 0)
        return ahead if ahead < len(frames.shift) - 1 and frames.shift[ahead] > jump else at

    def _popped(self, frames: Change, at: int, is_still: Callable[[int], bool]) -> int:
        """Return the frame after those from `at` on at which the encoder refreshes a still; `at` if there are none."""
        if self._run < _LEAST_BEFORE_POP:
            return at
        for ahead in range(at, min(len(frames.shift), at + _POP_FRAMES)):
            is_large = frames.shift[ahead] > _POP_SHIFT or frames.change[ahead] > _POP_CHANGE
            if frames.blank[ahead] or is_large:
                return at
            after = range(ahead + 1, ahead + 1 + _LEAST_AFTER_POP)
            if after.stop <= len(frames.shift) and all(is_still(i) for i in after):
                return ahead + 1
        return at

    def _is_still_though_flat(self, frames: Change, at: int) -> bool:
        """Return whether a frame repeats the one before it, in a picture so flat that motion gives no `shift`."""
        if frames.shift[at] >= _STILL_SHIFT:
            return False
        change, difference = self._change.least(_FLAT_FRAMES), self._difference.least(_FLAT_FRAMES)
        if change >= _FLAT_CHANGE and frames.change[at] < _FLAT_SHARE * change:
            return True
        most = _DIFFERENCE_SHARE * difference if difference >= _LEAST_DIFFERENCE else 0.0
        if len(self._noise.values) >= _FLAT_FRAMES and frames.noise[at] >= self._noise.median() + _NOISE_RISE:
            most = max(most, _NOISE_STILL)
        if frames.difference[at] < most:
            return True
        return frames.contrast[at] < FLAT_CONTRAST and self._is_weaker(frames, at)

    def _is_weaker(self, frames: Change, at: int) -> bool:
        """Return whether weak motion, or a part of the noise, stops in a flat picture."""
        ahead = range(at, min(at + (1 if self._run else _FLAT_RUN), len(frames.shift)))
        shift = _rarely_below(self._shift, _WEAK_SHIFT, _STILL_SHARE)
        if all(frames.shift[i] < shift for i in ahead):
            return True
        difference = _LEVEL_SHARE * _steady(self._difference, least_frames=_FLAT_FRAMES)
        if difference < _LEAST_DIFFERENCE:
            return False
        noise = _NOISE_KEPT * self._noise.median()
        return all(frames.difference[i] < difference and frames.noise[i] > noise for i in ahead)
