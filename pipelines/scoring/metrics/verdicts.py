"""From records to verdicts, frame by frame: blurred, frozen, cut, window score.

Goes over the records once and holds a fixed number of them: a verdict looks `REACH` frames back and ahead (and as
far as the window that was asked for), never across a cut, so it does not depend on how the records come in.

- Cut: the frame cannot be moved onto the one before, unlike its neighbours, and its layout differs from all of those
  around the seam; so a flash (the layout comes back) and a fast pan (its neighbours are as hard to explain) are none.
  Dissolves are not found.
- Frozen: nothing changes but noise, while frames around it do change; or the frame is equal to the one before. Where
  most frames stand still (a slideshow, a still life), standing still is no fault: only equal frames count.
- Blurred: clearly less sharp than the better frames of the same shot nearby; or so soft that no edge is left.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.scoring.metrics.frame_features import RECORD

REACH = 20
"""Frames before and after that a frame is compared with."""

SOFT = 0.16
"""Below this sharpness a frame is blurred whatever is around it."""
LEAST_DROP, MOST_DROP = 0.06, 0.12
"""Relative drop below the better frames nearby that makes a frame blurred: the more sharpness wavers, the more."""

VERDICT = np.dtype(
    [
        ("sharpness", np.float64),
        ("baseline", np.float64),  # what the better frames around have, within the shot
        ("blurred", np.bool_),
        ("frozen", np.bool_),
        ("cut", np.bool_),
        ("motion", np.float64),  # pixels of a 1000-pixel-wide frame; NaN at the first frame of a shot
        ("jerk", np.float64),  # second difference of the motion; NaN where a frame of three is missing
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
_SEAM = 4  # frames on either side that a cut is told from
_BETTER, _BEST, _WAVERING = 0.7, 0.9, 3.0
_LAYOUT_CHANGE = 0.3
_RESIDUAL_TIMES, _RESIDUAL_MORE = 2.5, 3.0
_STILL_SHARE = 0.5
_STILL_IN_MOTION = 0.065
_STILL_FLOOR, _STILL_NOISE = 0.7, 0.5


def verdicts(chunks: Iterable[Records], window: int) -> Iterator[Verdicts]:
    """Verdicts of all frames, in order, in blocks.

    Args:
        chunks: records of all frames, in order, in arrays of any length.
        window: frames of a window score.
    """
    context = max(REACH + 2 * _SEAM, window)
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
    """Verdicts of `records`, of which the first is frame `base`; right where the context is there."""
    found = np.zeros(len(records), VERDICT)
    for name in ("sharpness", "difference", "under", "over"):
        found[name] = records[name]
    found["cut"] = _cuts(records)
    shot = np.cumsum(found["cut"])
    found["frozen"] = _frozen(records, shot) & ~found["cut"]
    sharp = found["sharpness"]
    better, best = _around(sharp, shot, _BETTER, _BEST)
    drop = LEAST_DROP * better + _WAVERING * (best - better)
    found["baseline"] = better
    found["blurred"] = (sharp < better - np.minimum(drop, MOST_DROP * better)) | (sharp < SOFT)
    found["motion"], found["jerk"] = _motion(records, found["cut"])
    found["window_score"] = _window_means(sharp, window, base, total)
    return found


def _around(values: Floats, shot: NDArray[np.int64], *quantiles: float) -> list[Floats]:
    """Quantiles (linear) of `values` over `REACH` frames on either side, within the shot."""
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
    change[np.isnan(change)] = 255  # the first frame: nothing changes more
    (usual,) = _around(change, shot, 0.5)
    # A strongly compressed copy of a fast camera's frame changes by more than noise, and still by far less than usual.
    floor = np.maximum(_STILL_FLOOR + _STILL_NOISE * records["noise"], _STILL_IN_MOTION * usual)
    still: Flags = (change < floor) & (change < _STILL_SHARE * usual)
    equal: Flags = records["difference"] == 0
    return still | equal


def _cuts(records: Records) -> Flags:
    """First frames of new shots; never the first of all."""
    layout = records["grid"].reshape(len(records), -1).astype(np.float64)
    layout = layout - layout.mean(axis=1, keepdims=True)
    layout /= np.sqrt((layout**2).mean(axis=1, keepdims=True) + 16)
    seam = np.full(len(records), np.inf)
    for lag in range(1, 2 * _SEAM):
        apart = np.full(len(records) + lag, np.inf)
        apart[lag : len(records)] = ((layout[lag:] - layout[:-lag]) ** 2).mean(axis=1) / 2
        # The frames j - lag and j lie on either side of the seams before frames j - lag + 1 to j.
        for back in range(max(0, lag - _SEAM), min(lag, _SEAM)):
            seam = np.minimum(seam, apart[back : back + len(records)])
    residual = np.nan_to_num(records["residual"].astype(np.float64), nan=0.0)
    around = sliding_window_view(np.pad(residual, _SEAM, mode="edge"), 2 * _SEAM + 1)
    usual = np.median(np.delete(around, _SEAM, axis=1), axis=1)
    unexplained = residual > _RESIDUAL_TIMES * usual + _RESIDUAL_MORE
    found: Flags = unexplained & (seam > _LAYOUT_CHANGE)
    return found


def _motion(records: Records, cut: Flags) -> tuple[Floats, Floats]:
    vector = np.stack((records["motion_x"], records["motion_y"]), axis=1).astype(np.float64)
    vector[cut | np.isnan(records["difference"])] = np.nan
    jerk = np.full(len(records), np.nan)
    if len(records) > 2:
        jerk[1:-1] = np.hypot(*(vector[2:] - 2 * vector[1:-1] + vector[:-2]).T)
    return np.hypot(vector[:, 0], vector[:, 1]), jerk


def _window_means(values: Floats, width: int, base: int, total: int | None) -> Floats:
    """Mean of each frame's window, by the edge rule of `smoothness.windows`; `total` frames where known."""
    stop = base + len(values) if total is None else total
    frame = np.arange(base, base + len(values))
    first = frame - (width - 1) // 2
    missing = np.maximum(0, frame + width // 2 + 1 - stop)
    total_of = np.zeros(len(values))
    for k in range(width):
        place = np.where(first > 0, first + np.maximum(0, k - missing), np.minimum(k, stop - 1))
        place = np.where(first < 0, 0, place)
        total_of += values[np.clip(place - base, 0, len(values) - 1)]
    return total_of / width
