"""One record per frame: measurements of the frame itself, and of its change from the previous frame.

A record needs only the frame and the one before it, so any frame can be analysed on its own and gives the same bytes.
Everything later (cuts, frozen frames, verdicts) is derived from records.
"""

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.metrics.sharpness import Luma, detail, noise_deviation, sharpness
from pipelines.video.frame import shrink
from pipelines.vision.shots import (
    GRID,
    MIN_SIDE,
    SMALL_WIDTH,
    Flow,
    flow_back,
    residual,
    thumbnail,
)

RECORD = np.dtype(
    [
        ("sharpness", np.float32),  # 0..1, higher = sharper
        ("detail", np.float32),  # fine structure in comparison with coarse: compares the frames of a shot
        ("middle_detail", np.float32),  # structure between fine and coarse, likewise: noise hides it less
        ("noise", np.float32),  # standard deviation, grey levels
        ("under", np.float32),  # share of underexposed (black) pixels
        ("over", np.float32),  # share of overexposed (clipped) pixels
        ("contrast", np.float32),  # standard deviation of the small picture, grey levels; noise averages out
        (
            "difference",
            np.float32,
        ),  # mean absolute change from the previous frame, grey levels; NaN on the first
        (
            "local_change",
            np.float32,
        ),  # largest change of a cell's mean, grey levels; a cell is 1/64 of the width
        (
            "shift",
            np.float32,
        ),  # change explained by shifts of blocks, grey levels: noise explains little of it
        ("residual", np.float32),  # mean difference that is left after motion compensation, grey levels
        ("motion_x", np.float32),  # motion of the content, in pixels of a 1000-pixel-wide frame
        ("motion_y", np.float32),
        ("grid", np.float32, GRID),  # thumbnail, mean grey levels
    ]
)

_BLACK, _CLIPPED = 8, 250
"""Grey levels below and above which detail is lost."""
_CELLS = 64
"""Cells per row for `local_change`."""
_BLOCKS = 16
"""Blocks per row for `shift`."""
_MOST_SHIFTED = 0.05
"""Share of the blocks of which `shift` is the mean: those that shift most, so that a small object counts."""
_NOISE_SHARE = 0.2
"""Part of a block's unexplained change by which a shift would explain noise alone: on encoded copies it left 0.002 of
the motion before them in nine frames of ten, without it 0.013."""
_SMOOTHING_PX = 0.8
"""Deviation of the blur before gradients are taken, so that a shift below a pixel stays linear."""
_STEP = 5
"""Spacing in pixels of the flow vectors of which the median is taken."""
_CROSS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class FrameFeatures:
    """Measurements of one frame. Holds its luma at three sizes, to be compared with the next frame."""

    luma: Luma
    half: Luma
    small: Luma
    sharpness: float
    detail: float
    middle_detail: float
    noise: float
    under: float
    over: float
    contrast: float


def features_of(luma: Luma) -> FrameFeatures:
    """Measure one frame, full-range luma `(H, W)` uint8."""
    luma = _padded(luma)
    noise = noise_deviation(luma)
    half = _shrunk(luma, luma.shape[1] // 2)
    small = _shrunk(half, SMALL_WIDTH)
    return FrameFeatures(
        luma=luma,
        half=half,
        small=small,
        sharpness=sharpness(luma, noise),
        detail=detail(half, small),
        middle_detail=detail(_shrunk(half, luma.shape[1] // 4), small),
        noise=noise,
        under=_share(half, _BLACK, cv2.THRESH_BINARY_INV),
        over=_share(half, _CLIPPED - 1, cv2.THRESH_BINARY),
        contrast=float(cv2.meanStdDev(small)[1][0, 0]),
    )


def _shrunk(luma: Luma, width: int) -> Luma:
    """Shrink `luma` to `width`, without a side below `MIN_SIDE`; a smaller picture stays as it is."""
    rows, columns = luma.shape
    width = min(columns, max(MIN_SIDE, width))
    return cast(Luma, shrink(luma, width, min(rows, max(MIN_SIDE, round(rows * width / columns)))))


def _padded(luma: Luma) -> Luma:
    """Repeat the edge pixels of `luma` until no side is below `MIN_SIDE`."""
    missing = [max(0, MIN_SIDE - side) for side in luma.shape]
    return np.pad(luma, [(0, n) for n in missing], mode="edge") if any(missing) else luma


def _share(luma: Luma, limit: int, threshold_type: int) -> float:
    return cv2.countNonZero(cv2.threshold(luma, limit, 255, threshold_type)[1]) / luma.size


def compare(before: FrameFeatures | None, now: FrameFeatures) -> NDArray[np.void]:
    """Make the record `(1,)` of a frame from its features and those of the previous frame (None at the first)."""
    record = np.zeros(1, RECORD)
    for name in ("sharpness", "detail", "middle_detail", "noise", "under", "over", "contrast"):
        record[name] = getattr(now, name)
    record["grid"] = thumbnail(now.small)
    if before is None:
        record["difference"] = record["local_change"] = record["shift"] = record["residual"] = np.nan
        return record
    record["difference"] = cv2.norm(now.luma, before.luma, cv2.NORM_L1) / now.luma.size
    record["local_change"] = _local_change(now.half, before.half)
    if record["difference"] > 0:
        record["shift"] = _shift(now.half, before.half)
        flow = flow_back(now.small, before.small)
        record["residual"] = residual(now.small, before.small, flow)
        record["motion_x"], record["motion_y"] = _camera_motion(now.small, flow)
    return record


def _local_change(now: Luma, before: Luma) -> float:
    """Compute the largest change of a cell's mean: noise averages out within a cell, even slight motion does not."""
    height, width = now.shape
    size = min(width, _CELLS), max(1, round(height * _CELLS / width))
    change = cv2.subtract(now, before, dtype=cv2.CV_32F)
    return cv2.norm(cv2.resize(change, size, interpolation=cv2.INTER_AREA), cv2.NORM_INF)


def _shift(now: Luma, before: Luma) -> float:
    """Compute how much of the change (root mean square) shifts of blocks explain, where they explain most of it.

    Each block's shift is the least-squares one: the change is fitted by the picture's gradient, which fresh noise and
    flicker do not follow. The floor in the fit keeps flat blocks from following noise; what noise explains all the same
    is estimated from what the shift leaves unexplained, and subtracted.
    """
    size = max(8, now.shape[1] // _BLOCKS)
    rows, columns = max(1, now.shape[0] // size), max(1, now.shape[1] // size)
    both = cv2.GaussianBlur(cv2.add(now, before, dtype=cv2.CV_32F), (0, 0), _SMOOTHING_PX)
    change = cv2.GaussianBlur(cv2.subtract(now, before, dtype=cv2.CV_32F), (0, 0), _SMOOTHING_PX)
    change = change - cv2.mean(change)[0]
    across = cv2.Sobel(both, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 16)
    down = cv2.Sobel(both, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 16)

    def mean(a: NDArray[Any], b: NDArray[Any]) -> Flow:
        product = cv2.multiply(a, b)[: rows * size, : columns * size]
        return cast(Flow, cv2.resize(product, (columns, rows), interpolation=cv2.INTER_AREA))

    xx, xy, yy = mean(across, across), mean(across, down), mean(down, down)
    xt, yt, total = mean(across, change), mean(down, change), mean(change, change)
    floor = 0.05 * (xx + yy) + 0.3
    xx, yy = xx + floor, yy + floor
    explained = (yy * xt**2 - 2 * xy * xt * yt + xx * yt**2) / (xx * yy - xy**2)
    explained -= _NOISE_SHARE * np.maximum(total - explained, 0)
    most = np.sort(explained, axis=None)[-max(1, round(_MOST_SHIFTED * explained.size)) :]
    return float(np.sqrt(np.maximum(most, 0)).mean())


def _camera_motion(now: Luma, flow: Flow) -> tuple[float, float]:
    """Compute the median motion (x, y) of the more textured half, in pixels of a 1000-pixel-wide frame.

    Flat areas such as sky are left out: their flow says nothing.
    """
    points = np.s_[_STEP:-_STEP:_STEP, _STEP:-_STEP:_STEP]
    texture = cv2.morphologyEx(now, cv2.MORPH_GRADIENT, _CROSS)[points]
    textured = flow[points][texture >= np.sort(texture, axis=None)[texture.size // 2]]
    median = np.sort(textured, axis=0)[len(textured) // 2] * (-1000 / now.shape[1])
    return float(median[0]), float(median[1])
