"""Verdicts of each frame, derived from records: blurred, frozen, cut, window score.

A single pass that holds a fixed number of records. A verdict depends on `REACH` frames before and after (or the score
window, if that is longer), never across a cut, and so not on how the records are split into arrays.

- Cut: as `pipelines.vision.shots` finds them.
- Frozen: nothing changes but noise while the frames around do change; or the frame equals the one before. Where most
  frames are still (a slideshow, a still life) that is no fault, and only equal frames count.
- Blurred: clearly less sharp than the better frames of the same shot nearby; or so soft that no edge is left.

The thresholds were chosen on clips with synthetic blur, copied frames and cuts; test_verdicts.py checks the accuracy.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.scoring.metrics.frame_features import RECORD
from pipelines.vision.shots import CONTEXT, find_cuts

REACH = 20
"""Frames before and after with which a frame is compared."""

SOFT = 0.16
"""Sharpness below which a frame is blurred, whatever the frames around it are like."""
LEAST_DROP, MOST_DROP = 0.06, 0.12
"""Relative drop below the better frames nearby that makes a frame blurred; it grows as sharpness fluctuates."""

VERDICT = np.dtype(
    [
        ("sharpness", np.float64),
        ("baseline", np.float64),  # sharpness of the better frames nearby, within the shot
        ("blurred", np.bool_),
        ("frozen", np.bool_),
        ("cut", np.bool_),
        ("motion", np.float64),  # in pixels of a 1000-pixel-wide frame; NaN at the first frame of a shot
        ("jerk", np.float64),  # second difference of the motion; NaN if one of the three frames is missing
        ("window_score", np.float64),
        ("difference", np.float64),  # mean change, grey levels; NaN at the first frame
        ("under", np.float64),
        ("over", np.float64),
    ]
)

Records = NDArray[np.void]
Verdicts = NDArray[np.void]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_BLOCK = 1024
"""Least number of verdicts in a block, except the last: judging fewer at a time repeats more of the context."""
_BETTER, _BEST = 0.7, 0.9
"""Quantiles of the sharpness nearby: the baseline, and a higher one whose distance shows how sharpness fluctuates.

Ranking frames by their distance from the baseline, not by sharpness itself, raised the AUC from 0.96 to 0.99.
"""
_FLUCTUATION_GAIN = 3.0
"""Multiple of that distance which is added to the least drop."""
_STILL_SHARE = 0.5
"""A frozen frame changes by less than this share of the median change nearby ..."""
_STILL_FLOOR, _STILL_NOISE = 0.7, 0.5
"""... and by less than this many grey levels plus this share of the noise ..."""
_STILL_IN_MOTION = 0.065
"""... or, where the camera moves fast, less than this share of the median change nearby."""


def verdicts(chunks: Iterable[Records], window: int) -> Iterator[Verdicts]:
    """Yield the verdicts of all frames, in order, in blocks.

    Args:
        chunks: records of all frames, in order, in arrays of any length.
        window: frames that one window score covers.
    """
    context = max(REACH + CONTEXT, window)
    held, base, done = np.zeros(0, RECORD), 0, 0
    for chunk in chunks:
        held = np.concatenate((held, chunk))
        ready = base + len(held) - context
        if ready - done >= _BLOCK:
            yield _judge(held, window, base, None)[done - base : ready - base]
            done, keep = ready, max(base, ready - context)
            held, base = held[keep - base :].copy(), keep
    if base + len(held) > done:
        yield _judge(held, window, base, base + len(held))[done - base :]


def _judge(records: Records, window: int, base: int, total: int | None) -> Verdicts:
    """Judge `records`, the first of which is frame `base`; verdicts without their full context are not valid."""
    found = np.zeros(len(records), VERDICT)
    for name in ("sharpness", "difference", "under", "over"):
        found[name] = records[name]
    found["cut"] = find_cuts(records["grid"], records["residual"])
    shot = np.cumsum(found["cut"])
    found["frozen"] = _frozen(records, shot) & ~found["cut"]
    sharp = found["sharpness"]
    better, best = _around(sharp, shot, _BETTER, _BEST)
    drop = LEAST_DROP * better + _FLUCTUATION_GAIN * (best - better)
    found["baseline"] = better
    found["blurred"] = (sharp < better - np.minimum(drop, MOST_DROP * better)) | (sharp < SOFT)
    found["motion"], found["jerk"] = _motion(records, found["cut"])
    found["window_score"] = _window_means(sharp, window, base, total)
    return found


def _around(values: Floats, shot: NDArray[np.int64], *quantiles: float) -> list[Floats]:
    """Compute linear quantiles of `values` over `REACH` frames on either side, within the shot."""
    near = np.where(_windows(shot, -1) == shot[:, None], _windows(values, np.inf), np.inf)
    near.sort(axis=1)
    last = np.isfinite(near).sum(axis=1).clip(1) - 1
    row = np.arange(len(values))
    found = []
    for quantile in quantiles:
        below = np.floor(quantile * last).astype(np.int64)
        low, high = near[row, below], near[row, np.minimum(below + 1, last)]
        found.append(low + (high - low) * (quantile * last - below))
    return found


def _windows(values: NDArray[Any], outside: float) -> NDArray[Any]:
    near: NDArray[Any] = sliding_window_view(np.pad(values, REACH, constant_values=outside), 2 * REACH + 1)
    return near


def _frozen(records: Records, shot: NDArray[np.int64]) -> Flags:
    change = records["local_change"].astype(np.float64)
    change[np.isnan(change)] = 255  # the first frame counts as changed
    (typical,) = _around(change, shot, 0.5)
    # A heavily compressed copy of a frame changes by more than noise, but far less than frames of a fast camera do.
    floor = np.maximum(_STILL_FLOOR + _STILL_NOISE * records["noise"], _STILL_IN_MOTION * typical)
    still: Flags = (change < floor) & (change < _STILL_SHARE * typical)
    equal: Flags = records["difference"] == 0
    return still | equal


def _motion(records: Records, cut: Flags) -> tuple[Floats, Floats]:
    vector = np.stack((records["motion_x"], records["motion_y"]), axis=1).astype(np.float64)
    vector[cut | np.isnan(records["difference"])] = np.nan
    jerk = np.full(len(records), np.nan)
    if len(records) > 2:
        jerk[1:-1] = np.hypot(*(vector[2:] - 2 * vector[1:-1] + vector[:-2]).T)
    return np.hypot(vector[:, 0], vector[:, 1]), jerk


def _window_means(values: Floats, width: int, base: int, total: int | None) -> Floats:
    """Compute the mean of each frame's window, with the edge rule of `smoothness.windows`.

    `total` is the number of frames of the video; None while more are to come.
    """
    stop = base + len(values) if total is None else total
    frame = np.arange(base, base + len(values))
    first = frame - (width - 1) // 2
    missing = np.maximum(0, frame + width // 2 + 1 - stop)
    sums = np.zeros(len(values))
    for k in range(width):
        index = np.where(first > 0, first + np.maximum(0, k - missing), np.minimum(k, stop - 1))
        index = np.where(first < 0, 0, index)
        sums += values[np.clip(index - base, 0, len(values) - 1)]
    return sums / width
