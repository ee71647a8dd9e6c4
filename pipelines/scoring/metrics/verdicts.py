"""Verdicts of each frame, derived from records: blank, blurred, frozen, cut, window score.

A single pass that holds a fixed number of records. First each frame is compared with the `REACH` frames before and
after it (or the score window, if that is longer), never across a cut. Then each shot is judged with what it remembers
of its good frames, so that a fault may last, in pieces of at most `PIECE` frames whose bounds depend only on the cuts.
Verdicts therefore do not depend on how the records are split into arrays.

- Cut: as `pipelines.vision.shots` finds them.
- Blank: there is no picture (black, white, flat), or it fades from or to that. No other fault is looked for there.
- Frozen: the picture stands still although the shot moved before. Repeats at a regular rhythm are its cadence, not
  frozen frames; a still from its shot's first frame on is a still.
- Blurred: clearly less sharp than the better frames of the same shot nearby, or than the last good ones; or so soft
  that no edge is left. Not in a shot all of which is almost without contrast: its sharpness is that of its noise.

The thresholds were chosen on clips with synthetic blur, copied frames and cuts; test_verdicts.py checks the accuracy.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipelines.scoring.metrics.cadence import Cadence
from pipelines.scoring.metrics.frame_features import RECORD
from pipelines.scoring.metrics.long_blurs import LongBlurs
from pipelines.scoring.metrics.stills import FLAT_CONTRAST, Change, Stills
from pipelines.vision.shots import CONTEXT, find_cuts

REACH = 20
"""Frames before and after with which a frame is compared."""

SOFT = 0.16
"""Sharpness below which a frame is blurred, whatever the frames around it are like."""
LEAST_DROP, MOST_DROP = 0.08, 0.16
"""Relative drop in clarity below the better frames nearby that makes a frame blurred; it grows as clarity fluctuates.

Blurs of 1.5 to 3.5 pixels at 640 x 360 take 0.16 or more away in 95 % of the clips of tests/bench/score_faults.py
(seeds 1 to 3), 0.47 or more in half of them."""

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
        ("blank", np.bool_),
        ("cadence", np.bool_),  # a repeat that belongs to a regular rhythm of repeats
        ("contrast", np.float64),  # this and the next three: see `RECORD`
        ("shift", np.float64),
        ("local_change", np.float64),
        ("noise", np.float64),
        ("detail", np.float64),  # geometric mean of detail of both sizes
        ("layout_change", np.float64),  # of the frames around, as a share of the contrast
    ]
)

Records = NDArray[np.void]
Verdicts = NDArray[np.void]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_BLOCK = 1024
"""Least number of verdicts in a block, except the last: judging fewer at a time repeats more of the context."""
_BETTER, _BEST = 0.7, 0.9
"""Quantiles of the clarity nearby: the baseline, and a higher one whose distance shows how clarity fluctuates.

Ranking frames by their distance from the baseline, not by the value itself, raised the AUC from 0.96 to 0.99.
"""
_FLUCTUATION_GAIN = 3.0
"""Multiple of that distance which is added to the least drop."""
_WORSE, _DIP_GAIN, _DIP_FRAMES = 0.25, 3, 2
"""One or two frames in a row also have to be lower than the baseline by this multiple of its distance from this lower
quantile: encoders make every second or fourth frame a little softer ..."""
_MOST_DIP = 0.3
"""... but not by this share: where many frames are blurred, the lower quantile is that of blurred ones."""
_REPEATED, _LEAST_OTHERS = 0.1, 8
"""Change in grey levels below which a frame repeats the one before it, and least number of other frames to go by."""
_BLANK_CONTRAST = 1.5
"""Contrast below which a frame is blank. Noise of deviation 5 leaves 1; a line of small print on black has 5."""
_FADE_FRAMES, _FADE_SHARE, _FADE_START = 4, 0.3, 0.5
"""A fade goes on while contrast grows, over this many frames, by this share of the growth so far or more; its first
frame has less than the last share of the contrast that it reaches."""

_LAYOUT_REACH = 2
"""Frames on either side whose layouts are compared: encoders blend the frames at the seam."""

PIECE, _AHEAD = 8192, 256
"""Most frames of a shot that are judged at a time, and frames after them that are looked at: 4.5 minutes at 30 frames
a second, for a shot that is blurred at first."""


def verdicts(chunks: Iterable[Records], window: int, rate: float = 0.0) -> Iterator[Verdicts]:
    """Yield the verdicts of all frames, in order, in blocks.

    Args:
        chunks: records of all frames, in order, in arrays of any length.
        window: frames that one window score covers.
        rate: frames per second; 0 if unknown.
    """
    yield from Cadence(rate).tell_apart(_remembered(_compared(chunks, window)))


def _remembered(blocks: Iterable[Verdicts]) -> Iterator[Verdicts]:
    """Judge each shot with what it remembers of its good frames. Holds a piece of a shot, and a block."""
    stills, long_blurs = Stills(), LongBlurs()
    for rows, stop, is_start in _pieces(blocks):
        if is_start:
            stills, long_blurs = Stills(), LongBlurs()
        rows["blank"] |= _fades(rows["contrast"], rows["blank"])
        rows["blurred"] &= ~rows["blank"]
        if rows["contrast"][~rows["blank"]].max(initial=0) < FLAT_CONTRAST:
            rows["blurred"] = (
                False  # the noise alone, which an encoder keeps and smooths as it likes, has edges
            )
        else:
            long_blurs.find(rows, stop, is_start)
        rows["frozen"][:stop] = stills.find(_change_of(rows), stop)
        yield rows[:stop]


def _pieces(blocks: Iterable[Verdicts]) -> Iterator[tuple[Verdicts, int, bool]]:
    """Cut blocks into shots, and long shots into pieces: the rows, how many of them to judge, whether a shot starts.

    The rows after those to judge only show what follows; they come again.
    """
    held, is_start = np.zeros(0, VERDICT), True
    for block in blocks:
        held = np.concatenate((held, block))
        while True:
            cuts = np.flatnonzero(held["cut"][1 : PIECE + _AHEAD + 1])
            if len(cuts):
                stop = int(cuts[0]) + 1
            elif len(held) > PIECE + _AHEAD:
                stop = PIECE
            else:
                break
            yield held[: stop if len(cuts) else PIECE + _AHEAD].copy(), stop, is_start
            held, is_start = held[stop:], bool(len(cuts))
    if len(held):
        yield held, len(held), is_start


def _fades(contrast: Floats, blank: Flags) -> Flags:
    """Flag the frames of fades: contrast keeps growing away from a blank frame, starting low."""
    found = np.zeros(len(blank), bool)
    for step in (1, -1):
        values, empty, flags = contrast[::step], blank[::step], found[::step]
        for start in (np.flatnonzero(empty[:-1] & ~empty[1:]) + 1).tolist():
            stop = start
            while stop < len(values) and not empty[stop]:
                later = values[stop + 1 : stop + 1 + _FADE_FRAMES]
                growth = (values[stop] - values[start - 1]) / (stop - start + 1)
                if not len(later) or later.max() < values[stop] + _FADE_SHARE * growth * len(later):
                    break
                stop += 1
            if stop > start and values[start] < _FADE_START * values[min(stop, len(values) - 1)]:
                flags[start:stop] = True
    return found


def _change_of(rows: Verdicts) -> Change:
    change = np.nan_to_num(rows["local_change"], nan=255)
    # Records of earlier versions have no shift: on ordinary clips it is about a fifth of the largest local change.
    shift = np.where(np.isnan(rows["shift"]), change / 5, rows["shift"])
    difference = np.nan_to_num(rows["difference"], nan=255)
    columns = (shift, change, difference, *(rows[name] for name in ("noise", "contrast", "blank", "blurred")))
    return Change(*(column.tolist() for column in columns))


def _compared(chunks: Iterable[Records], window: int) -> Iterator[Verdicts]:
    """Yield what comparison with the frames around says. Holds a block and its context."""
    context = max(REACH + CONTEXT, window)
    held, base, done = np.zeros(0, RECORD), 0, 0
    for chunk in chunks:
        held = np.concatenate((held, _completed(chunk)))
        ready = base + len(held) - context
        if ready - done >= _BLOCK:
            yield _judge(held, window, base, None)[done - base : ready - base]
            done, keep = ready, max(base, ready - context)
            held, base = held[keep - base :].copy(), keep
    if base + len(held) > done:
        yield _judge(held, window, base, base + len(held))[done - base :]


def _completed(records: Records) -> Records:
    """Add the columns that records of earlier versions lack: NaN, which flags nothing."""
    if records.dtype == RECORD:
        return records
    found = np.full(len(records), np.nan, RECORD)
    for name in records.dtype.names or ():
        found[name] = records[name]
    return found


def _judge(records: Records, window: int, base: int, total: int | None) -> Verdicts:
    """Judge `records`, the first of which is frame `base`; verdicts without their full context are not valid."""
    found = np.zeros(len(records), VERDICT)
    for name in ("sharpness", "difference", "under", "over", "contrast", "shift", "local_change", "noise"):
        found[name] = records[name]
    found["cut"] = find_cuts(records["grid"], records["residual"])
    found["blank"] = found["contrast"] < _BLANK_CONTRAST
    found["detail"] = np.sqrt(records["detail"].astype(np.float64) * records["middle_detail"])
    found["layout_change"] = _layout_change(records["grid"]) / np.maximum(found["contrast"], _BLANK_CONTRAST)
    shot = np.where(found["blank"], -1, np.cumsum(found["cut"]))
    sharp, clear, repeated = found["sharpness"], _clarity(records), records["difference"] < _REPEATED
    (found["baseline"],) = _around(sharp, shot, repeated, _BETTER)
    worse, better, best = _around(clear, shot, repeated, _WORSE, _BETTER, _BEST)
    drop = LEAST_DROP * better + _FLUCTUATION_GAIN * (best - better)
    low = clear < better - np.minimum(drop, MOST_DROP * better)
    dip = low & (clear > better - np.minimum(_DIP_GAIN * (better - worse), _MOST_DIP * better))
    found["blurred"] = (low & ~_short(low, dip)) | (sharp < SOFT)
    found["motion"], found["jerk"] = _motion(records, found["cut"])
    found["window_score"] = _window_means(sharp, window, base, total)
    return found


def _clarity(records: Records) -> Floats:
    """Compute what frames near each other are compared by; of records of earlier versions it is sharpness alone.

    It is the geometric mean of sharpness and detail: blur lowers both, and what else changes them differs.
    """
    sharp = records["sharpness"].astype(np.float64)
    clear = np.sqrt(sharp * records["detail"])
    return np.where(np.isnan(clear), sharp, clear)


def _layout_change(grids: NDArray[Any]) -> Floats:
    """Compute how many grey levels the layouts `_LAYOUT_REACH` frames before and after each frame differ by."""
    cells = grids.reshape(len(grids), -1).astype(np.float64)
    near = np.pad(cells, ((_LAYOUT_REACH, _LAYOUT_REACH), (0, 0)), mode="edge")
    change: Floats = np.abs(near[2 * _LAYOUT_REACH :] - near[: -2 * _LAYOUT_REACH]).mean(axis=1)
    return change


def _short(low: Flags, dip: Flags) -> Flags:
    """Flag the runs of at most `_DIP_FRAMES` low frames all of which are ordinary dips."""
    found = np.zeros(len(low), bool)
    edges = np.flatnonzero(np.diff(low, prepend=False, append=False)).reshape(-1, 2)
    for start, stop in edges[np.diff(edges)[:, 0] <= _DIP_FRAMES].tolist():
        found[start:stop] = dip[start:stop].all()
    return found


def _around(values: Floats, shot: NDArray[np.int64], repeated: Flags, *quantiles: float) -> list[Floats]:
    """Compute linear quantiles of `values` over `REACH` frames on either side, within the shot.

    Repeated frames would count as often as they are shown; they are left out where enough others are near.
    """
    same = _windows(shot, -2) == shot[:, None]
    others = same & ~_windows(repeated, True)
    near = np.where(
        np.where(others.sum(axis=1)[:, None] >= _LEAST_OTHERS, others, same), _windows(values, np.inf), np.inf
    )
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
