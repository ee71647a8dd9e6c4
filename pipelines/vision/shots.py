"""Cuts between shots, found in small measurements of each frame.

Motion compensation cannot explain the first frame of a shot, although it can explain its neighbours, and its layout
differs from all frames on the other side of the seam. So neither a flash (the layout returns) nor a fast pan (its
neighbours are as hard to explain) counts. Cuts within one setting are found by what motion estimation says: the same,
closer or wider at once, or elsewhere at once. Dissolves are found in `vision.dissolves`.
"""

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Flow = NDArray[np.float32]
Flags = NDArray[np.bool_]

GRID = (6, 8)
"""Rows and columns of the thumbnail that stands for a frame's layout."""
SMALL_WIDTH, MIN_SIDE = 128, 32
"""Width at which motion is estimated, to keep the optical flow cheap; no side is shorter than the second."""
SEAM = 4
"""Frames on either side that are compared across a possible cut."""
CONTEXT = 2 * SEAM
"""Frames before and after on which the verdict on a frame depends."""
LAYOUT_CHANGE = 0.3
"""Least distance of the layouts on both sides of a cut: 0 for equal thumbnails, 1 for uncorrelated ones."""

_RESIDUAL_GAIN, _RESIDUAL_OFFSET = 2.5, 3.0
"""A cut's residual exceeds this multiple of its neighbours' median by this many grey levels."""

_ZOOM_STEP = 0.05
"""Logarithm of the scale from one frame to the next that is a cut: punched-in shots had 0.08 or more, a camera that
follows a bicycle 0.012 at most."""
_JUMP, _JUMP_RATIO = 0.04, 3.5
"""Step of the fastest cell from one frame to the next that is a cut, in widths of the picture, and how much it exceeds
the steps of the frames around. Measured: shots that go on from another moment or framing 0.04 to 0.26, 6 times those
around or more; the fastest pans and heads at most 2.4 times those around."""
_LEAST_STEPS = 2
"""Steps that must be known on either side of a jump. A shake of the camera, or motion that ends, is over after one or
two frames: next to the first or last frame of a video it cannot be told from a jump."""
_STEP_PX, _AGREEING_PX, _ROUNDS, _LEAST_AGREEING = 5, 1.5, 200, 0.2
"""RANSAC of the zoom: spacing of the flow vectors, error of an inlier in pixels, most rounds, least share of inliers.
"""


def thumbnail(small: Gray) -> Gray:
    """Return the thumbnail `GRID` uint8 of a small frame."""
    grid: Gray = cv2.resize(small, GRID[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return grid


def flow_back(now: Gray, before: Gray) -> Flow:
    """Compute the flow from a small frame back to the one before it, `(H, W, 2)` float32 in pixels."""
    # A new object each time: it must not carry state from other frames, or between threads.
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow: Flow = dense.calc(now, before, None)  # type: ignore[call-overload]
    return flow


def residual(now: Gray, before: Gray, flow: Flow) -> float:
    """Return the mean difference in grey levels that is left of two small frames after motion compensation."""
    coords = cv2.add(_pixel_coords(*now.shape), flow)
    # One map of two channels and no second map, which the type stubs do not allow for.
    warped = cv2.remap(before, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return cv2.norm(now, warped, cv2.NORM_L1) / now.size


def zoom_step(flow: Flow) -> float:
    """Return the logarithm of the scale at which most of a small frame shows the one before it; 0 without a fit."""
    rows, columns = np.mgrid[: flow.shape[0] : _STEP_PX, : flow.shape[1] : _STEP_PX].reshape(2, -1)
    here = np.stack((columns, rows), axis=1).astype(np.float32)
    fitted, agreeing = cv2.estimateAffinePartial2D(
        here, here + flow[rows, columns], ransacReprojThreshold=_AGREEING_PX, maxIters=_ROUNDS
    )
    if fitted is None or agreeing.mean() < _LEAST_AGREEING:
        return 0.0
    return math.log(max(1e-3, math.hypot(fitted[0, 0], fitted[1, 0])))


def largest_step(flow: Flow) -> float:
    """Return how far the fastest cell of a small frame moved since the one before it, in widths of the picture.

    The cells are those of the thumbnail; each moves by its median.
    """
    length = cv2.magnitude(*cv2.split(flow))
    height, width = flow.shape[:2]
    rows, columns = (
        [side * cell // cells for cell in range(cells + 1)]
        for side, cells in zip((height, width), GRID, strict=True)
    )
    steps = [
        float(np.median(length[top:bottom, left:right]))
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    fastest: float = max(steps) / width
    return fastest


def find_jumps(steps: NDArray[Any]) -> Flags:
    """Flag the frames on which something is elsewhere at once, farther than motion before and after them allows.

    `steps` `(N,)` are the largest steps of consecutive frames, NaN at the first frame of the video. Needs `CONTEXT`
    frames as `find_cuts` does. None is found within `_LEAST_STEPS` frames of the first and the last step.
    """
    step = np.pad(steps.astype(np.float64), SEAM, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(step, 2 * SEAM + 1)
    before, now, after = around[:, :SEAM], around[:, SEAM], around[:, SEAM + 1 :]
    known = np.minimum(np.isfinite(before).sum(axis=1), np.isfinite(after).sum(axis=1))
    fastest = np.nan_to_num(np.hstack((before, after)), nan=0.0).max(axis=1)
    found: Flags = (known >= _LEAST_STEPS) & (now > _JUMP) & (now > _JUMP_RATIO * fastest)
    return found


def find_zoom_cuts(zooms: NDArray[Any]) -> Flags:
    """Flag the frames that show nearly the same as those before, closer or wider at once: a cut within one setting.

    `zooms` `(N,)` are the zoom steps of consecutive frames. Needs `CONTEXT` frames as `find_cuts` does.
    """
    step = np.abs(zooms.astype(np.float64))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(step, SEAM, mode="edge"), 2 * SEAM + 1)
    typical = np.median(np.delete(around, SEAM, axis=1), axis=1)
    found: Flags = (step > _ZOOM_STEP) & (typical < _ZOOM_STEP / 2)
    return found


def find_cuts(grids: NDArray[Any], residuals: NDArray[Any]) -> Flags:
    """Flag the first frames of new shots among consecutive frames; never the very first.

    `grids` `(N, *GRID)` are thumbnails, `residuals` `(N,)` NaN at the first frame of the video. Verdicts need
    `CONTEXT` frames on either side, unless the video begins or ends there.
    """
    layout = normalised(grids)
    seam = np.full(len(layout), np.inf)
    for lag in range(1, 2 * SEAM):
        apart = np.full(len(layout) + lag, np.inf)
        apart[lag : len(layout)] = ((layout[lag:] - layout[:-lag]) ** 2).mean(axis=1) / 2
        # Frames j - lag and j are on opposite sides of the seams before frames j - lag + 1 to j.
        for back in range(max(0, lag - SEAM), min(lag, SEAM)):
            seam = np.minimum(seam, apart[back : back + len(layout)])
    left = np.nan_to_num(residuals.astype(np.float64), nan=0.0)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(left, SEAM, mode="edge"), 2 * SEAM + 1)
    typical = np.median(np.delete(around, SEAM, axis=1), axis=1)
    unexplained = left > _RESIDUAL_GAIN * typical + _RESIDUAL_OFFSET
    found: Flags = unexplained & (seam > LAYOUT_CHANGE)
    return found


def normalised(grids: NDArray[Any]) -> NDArray[np.float64]:
    """Return thumbnails as rows of mean 0 and deviation 1; half the mean square of a difference is their distance."""
    layout: NDArray[np.float64] = grids.reshape(len(grids), -1).astype(np.float64)
    layout = layout - layout.mean(axis=1, keepdims=True)
    # The constant keeps the noise of nearly blank frames from looking like a layout.
    layout /= np.sqrt((layout**2).mean(axis=1, keepdims=True) + 16)
    return layout


@lru_cache(maxsize=4)
def _pixel_coords(height: int, width: int) -> Flow:
    rows, columns = np.mgrid[:height, :width]
    coords: Flow = np.dstack((columns, rows)).astype(np.float32)
    return coords
