"""Short freezes in slow motion, over whose copies the encoder spread the motion.

None of their frames stands still in the file, but the motion falters: it drops at once to a part of what it was, and
returns at once. All functions are over plain numbers, one per frame, and look a few frames ahead.
"""

from collections.abc import Sequence
from statistics import fmean, median

FRAMES_BEFORE, _FRAMES_AFTER = 16, 8
"""Frames before and after of which the motion is compared."""

_STUTTER_FRAMES = 8
"""Most frames of a stutter."""
_LEAST_STEADY, _MOST_STEADY, _OUTLIERS = 0.6, 1.4, 16
"""Motion stutters only if it is steady: all but one in so many of the remembered shifts are between these multiples of
their median, and all of the last ones are above the first. A hand or a shake is not as steady."""
_DROP, _SLOW, _RETURN = 0.5, 0.7, 0.7
"""A stutter begins at once below the first multiple of that median, lasts while shifts are below the second, and all of
those after it are above the third."""
_LEAST_LOST = 1.2
"""Frames' worth of motion that a stutter lacks: what bounces off a wall lacks at most one."""
_LEAST_SHIFT, _MOST_SHIFT, _MOST_LAST = 0.6, 3.0, 1.5
"""Motion between these medians is slow enough to be spread, and fast enough to be told from what encoding changes. The
last shift is at most the third multiple of the median: an encoder that has just begun anew is slow, too.

With stutters and lulls all of the 581 freezes of seeds 1 to 3 of tests/bench/score_faults.py are found, without them
578, and none of the false ones is due to them."""

_LULL_FRAMES = 24
"""Most frames of a lull."""
_MEAN_FRAMES = 4
"""Frames over which motion is averaged: of slow motion at high rates an encoder moves every fourth frame most."""
_LULL_SHARE, _LULL_SPREAD = 0.6, 0.5
"""In a lull this mean is below the first share of the least one before it, and this least one is at least the second
share of the median of those before it ..."""
_JUMP_GAIN, _LEAST_JUMP = 2.5, 0.5
"""... until a jump of the first multiple of the largest shifts around, which makes up for the second share of the lull:
a file that repeats frames goes on from where it would be without them."""
_LEAST_LULL_SHIFT = 0.15
"""Median shift below which only noise moves."""

FRAMES_AHEAD = _LULL_FRAMES + 1 + _FRAMES_AFTER
"""Frames after a frame by which it may be judged."""


def stutter_until(shift: Sequence[float], at: int, before: Sequence[float]) -> int:
    """Return the frame after the slow ones from `at` on amid steady motion; `at` if there are none.

    `before` are the shifts of the last moving frames, `FRAMES_BEFORE` or more.
    """
    usual = median(before)
    if not _LEAST_SHIFT < usual < _MOST_SHIFT or shift[at] >= _DROP * usual or not _is_steady(before, usual):
        return at
    stop = at
    while stop < len(shift) and shift[stop] < _SLOW * usual:
        stop += 1
        if stop - at > _STUTTER_FRAMES:
            return at
    after = shift[stop : stop + _FRAMES_AFTER]
    if len(after) < _FRAMES_AFTER or min(after) < _RETURN * usual or median(after) >= usual / _RETURN:
        return at
    lost = stop - at - sum(shift[at:stop]) / usual
    return stop if lost >= _LEAST_LOST else at


def lull_until(shift: Sequence[float], at: int, before: Sequence[float]) -> int:
    """Return the frame of the jump that makes up for a lull from `at` on; `at` if there is none.

    `before` are the shifts of the last moving frames, `FRAMES_BEFORE` or more.
    """
    before = before[-FRAMES_BEFORE:]
    usual = median(before)
    means = [fmean(before[i : i + _MEAN_FRAMES]) for i in range(len(before) - _MEAN_FRAMES + 1)]
    if usual < _LEAST_LULL_SHIFT or min(means) < _LULL_SPREAD * median(means):
        return at
    if shift[at] >= _SLOW * usual or fmean(shift[at : at + _MEAN_FRAMES]) >= _LULL_SHARE * min(means):
        return at
    most = _JUMP_GAIN * max(before)
    for ahead in range(at + 1, min(len(shift) - _FRAMES_AFTER, at + _LULL_FRAMES + 1)):
        if shift[ahead] > most:
            makes_up = shift[ahead] >= _LEAST_JUMP * (ahead - at) * usual
            after = shift[ahead + 1 : ahead + 1 + _FRAMES_AFTER]
            return ahead if makes_up and shift[ahead] > _JUMP_GAIN * max(after) else at
    return at


def _is_steady(before: Sequence[float], usual: float) -> bool:
    ranked, few = sorted(before), len(before) // _OUTLIERS
    is_even = ranked[few] >= _LEAST_STEADY * usual and ranked[-1 - few] <= _MOST_STEADY * usual
    is_regular = min(before[-FRAMES_BEFORE:]) >= _LEAST_STEADY * usual
    return is_even and is_regular and _SLOW * usual <= before[-1] <= _MOST_LAST * usual
