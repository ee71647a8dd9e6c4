"""One record per frame: what the frame shows on its own, and beside the frame before it.

A record needs the previous frame and nothing else, so that any frame can be analysed on its own and gives the
same bytes. Everything later (cuts, frozen frames, verdicts) is told from records.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.metrics.sharpness import Luma, noise_deviation, sharpness
from pipelines.video.frame import shrink

Flow = NDArray[np.float32]

GRID = (6, 8)
"""Rows and columns of a record's thumbnail."""

RECORD = np.dtype(
    [
        ("sharpness", np.float32),  # 0..1, higher = sharper
        ("noise", np.float32),  # deviation, grey levels
        ("under", np.float32),  # share of pixels that are black
        ("over", np.float32),  # share of pixels that are burnt out
        ("difference", np.float32),  # mean change from the frame before, grey levels; NaN on the first
        ("local_change", np.float32),  # change of mean of the cell (1/64 of the width) that changes most
        ("residual", np.float32),  # what the motion does not explain of the change, grey levels
        ("motion_x", np.float32),  # of the picture's content, pixels of a 1000-pixel-wide frame
        ("motion_y", np.float32),
        ("grid", np.float32, GRID),  # mean grey levels
    ]
)

_SMALL_WIDTH = 128
_LEAST_SIDE = 32
_BLACK, _BURNT = 8, 250
_CELLS = 64
_STEP = 5
_CROSS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class FrameFeatures:
    """A frame on its own. Holds its luma, so that the next can be compared with it."""

    luma: Luma
    half: Luma
    small: Luma
    sharpness: float
    noise: float
    under: float
    over: float


def features_of(luma: Luma) -> FrameFeatures:
    """Measure one frame, full-range luma `(H, W)` uint8."""
    luma = _roomy(luma)
    noise = noise_deviation(luma)
    half = _narrowed(luma, luma.shape[1] // 2)
    return FrameFeatures(
        luma=luma,
        half=half,
        small=_narrowed(half, _SMALL_WIDTH),
        sharpness=sharpness(luma, noise),
        noise=noise,
        under=_share(half, _BLACK, cv2.THRESH_BINARY_INV),
        over=_share(half, _BURNT - 1, cv2.THRESH_BINARY),
    )


def _narrowed(luma: Luma, width: int) -> Luma:
    """`luma` at `width` where it is wider; no side below 32."""
    rows, columns = luma.shape
    width = min(columns, max(_LEAST_SIDE, width))
    return cast(Luma, shrink(luma, width, min(rows, max(_LEAST_SIDE, round(rows * width / columns)))))


def _roomy(luma: Luma) -> Luma:
    """`luma`, with its edge drawn out where a side is too short to measure anything in."""
    missing = [max(0, _LEAST_SIDE - side) for side in luma.shape]
    return np.pad(luma, [(0, n) for n in missing], mode="edge") if any(missing) else luma


def _share(luma: Luma, limit: int, side: int) -> float:
    return cv2.countNonZero(cv2.threshold(luma, limit, 255, side)[1]) / luma.size


def compare(before: FrameFeatures | None, now: FrameFeatures) -> NDArray[np.void]:
    """The record `(1,)` of a frame, from its look and the look of the frame before (None at the first)."""
    record = np.zeros(1, RECORD)
    for name in ("sharpness", "noise", "under", "over"):
        record[name] = getattr(now, name)
    record["grid"] = cv2.resize(now.small, GRID[::-1], interpolation=cv2.INTER_AREA)
    if before is None:
        record["difference"] = record["local_change"] = record["residual"] = np.nan
        return record
    record["difference"] = cv2.norm(now.luma, before.luma, cv2.NORM_L1) / now.luma.size
    record["local_change"] = _local_change(now.half, before.half)
    if record["difference"] > 0:
        flow = _flow(now.small, before.small)
        record["residual"] = _residual(now.small, before.small, flow)
        record["motion_x"], record["motion_y"] = _camera(now.small, flow)
    return record


def _flow(now: Luma, before: Luma) -> Flow:
    """Where each pixel of `now` was before, relative to where it is, `(H, W, 2)` pixels."""
    # A new object each time: it keeps nothing from the frames of another thread or another start.
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow: Flow = dense.calc(now, before, None)  # type: ignore[call-overload]
    return flow


def _local_change(now: Luma, before: Luma) -> float:
    """Largest change of a cell's mean: noise cancels within a cell, the slightest motion does not."""
    height, width = now.shape
    size = min(width, _CELLS), max(1, round(height * _CELLS / width))
    change = cv2.subtract(now, before, dtype=cv2.CV_32F)
    return cv2.norm(cv2.resize(change, size, interpolation=cv2.INTER_AREA), cv2.NORM_INF)


def _residual(now: Luma, before: Luma, flow: Flow) -> float:
    places = cv2.add(_places(*now.shape), flow)
    # One map of two channels, so there is no second one; the stubs do not know that.
    moved = cv2.remap(before, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return cv2.norm(now, moved, cv2.NORM_L1) / now.size


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> Flow:
    rows, columns = np.mgrid[:height, :width]
    places: Flow = np.dstack((columns, rows)).astype(np.float32)
    return places


def _camera(now: Luma, flow: Flow) -> tuple[float, float]:
    """Median motion of the textured half, pixels of a 1000-pixel-wide frame: a flat sky cannot be seen to move."""
    points = np.s_[_STEP:-_STEP:_STEP, _STEP:-_STEP:_STEP]
    texture = cv2.morphologyEx(now, cv2.MORPH_GRADIENT, _CROSS)[points]
    seen = flow[points][texture >= np.sort(texture, axis=None)[texture.size // 2]]
    middle = np.sort(seen, axis=0)[len(seen) // 2] * (-1000 / now.shape[1])
    return float(middle[0]), float(middle[1])
