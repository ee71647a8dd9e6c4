"""Estimating camera motion between two frames, and comparing frames that are aligned only to a pixel or so."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.vision.boxes import Box, box_at, centre

Gray = NDArray[np.uint8]
Homography = NDArray[np.float64]
Points = NDArray[np.float32]
"""`(N, 1, 2)` float32: x and y in pixels."""

_MOST_CORNERS, _CORNERS_PER_CELL = 1200, 8
"""Corners detected in a frame, and the best ones kept per cell: at most 384 are tracked, spread over the frame."""
_CELLS = (6, 8)
"""Rows and columns of the grid over which corners are spread."""
_CORNER_QUALITY, _CORNER_DISTANCE_PX = 0.002, 5
"""OpenCV's `qualityLevel` (low, so that flat parts of a frame get corners too) and `minDistance`."""
_FLOW_WINDOW_PX = 15
"""Window side of Lucas-Kanade flow; OpenCV's default is 21."""
_FEWEST = 16
"""Corners that must agree on one motion; four determine a homography, but do not show that it is right."""
_LEAST_AGREEING = 0.3
"""Share of all corners that must agree: a moving object may cover a large part of the frame, but not most of it."""
_GAIN = 1.1
"""Factor by which a richer model must fit better: if all corners lie on one object, it extrapolates badly elsewhere."""
_TOLERANCE_PX = 2.0
"""Distance up to which a corner agrees with a motion (RANSAC): tracking noise plus a little parallax."""
_STILL_LEVELS = 8.0
"""Mean change in grey levels below which a frame without trackable corners counts as not moved."""
_DETERMINANTS, _MOST_PERSPECTIVE = (0.5, 2.0), 0.002
"""Limits of a plausible motion between neighbouring frames: no mirroring, no zoom by half, little perspective
change."""


def camera_motion(before: Gray, now: Gray) -> Homography | None:
    """Estimate the homography `(3, 3)` that maps coordinates in `now` to coordinates in `before`.

    Both are `(H, W)` uint8 luma. Corners from the whole frame are tracked by Lucas-Kanade flow and fitted by RANSAC, so
    a moving object that covers a minor part of the frame does not matter. Returns None where the frames share no
    motion: at a cut, or where there is nothing to track.

    `inpainting.flow.frame_pairs.camera_between` fits the same models with `fit_simplest_motion`, but differs on
    purpose: it works on thumbnails, must ignore holes, compensates flashes, and leaves cuts to a detector of its own.
    """
    found: Points | None = cv2.goodFeaturesToTrack(  # type: ignore[assignment]
        now, _MOST_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX
    )
    if found is None:
        return _still(before, now)
    corners = spread_corners(found, now.shape)
    if len(corners) < _FEWEST:
        return _still(before, now)
    there, status, _ = cv2.calcOpticalFlowPyrLK(
        now, before, corners, np.empty_like(corners), winSize=(_FLOW_WINDOW_PX, _FLOW_WINDOW_PX)
    )
    kept = status.ravel() > 0
    if kept.sum() < _FEWEST:
        return _still(before, now)
    motion, agreeing = fit_simplest_motion(corners[kept], np.asarray(there[kept], np.float32), _TOLERANCE_PX)
    return motion if agreeing >= max(_FEWEST, _LEAST_AGREEING * len(corners)) else _still(before, now)


def misaligned_difference(image: Gray, reference: Gray, kernel: Gray) -> Gray:
    """Measure how far each pixel of `image` lies outside the values that `reference` takes nearby.

    Both are `(H, W)` or `(H, W, C)` uint8, aligned to about the radius of `kernel` {0, 1}: a homography knows no
    parallax. The result has their shape; 0 means that an equal value lies under the kernel.
    """
    return outside_range(image, cv2.erode(reference, kernel), cv2.dilate(reference, kernel))  # type: ignore[arg-type]


def outside_range(values: Gray, low: Gray, high: Gray) -> Gray:
    """Measure how far uint8 `values` lie outside `[low, high]`, element by element; 0 inside."""
    return cv2.max(cv2.subtract(values, high), cv2.subtract(low, values))  # type: ignore[return-value]


def move_box(box: Box, motion: Homography) -> Box:
    """Move the centre of `box` by `motion` and keep its size."""
    across, down, depth = motion @ np.array([*centre(box), 1.0])
    return box_at(np.array([across / depth, down / depth]), box[2:])


def spread_corners(corners: Points, shape: tuple[int, ...]) -> Points:
    """Keep the best corners of each grid cell, so that a textured part of the frame does not dominate the fit.

    `corners` must be sorted by quality, best first, as OpenCV returns them.
    """
    column = (corners[:, 0, 0] * _CELLS[1] / shape[1]).astype(np.intp)
    cell = (corners[:, 0, 1] * _CELLS[0] / shape[0]).astype(np.intp) * _CELLS[1] + column
    order = np.argsort(cell, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(cell[order], cell[order])
    return corners[np.sort(order[rank < _CORNERS_PER_CELL])]


def fit_simplest_motion(here: Points, there: Points, tolerance_px: float) -> tuple[Homography, int]:
    """Fit no motion, a similarity and a homography; return the simplest that is not clearly worse.

    Also returns how many corners it explains to `tolerance_px`.
    Deterministic: OpenCV's RANSAC starts from the same random state at each call.
    """
    best = np.eye(3)
    off = _distances(best, here, there, tolerance_px)
    similar, _ = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=tolerance_px)
    free, _ = cv2.findHomography(here, there, cv2.RANSAC, tolerance_px)
    for found in (None if similar is None else np.vstack([similar, (0, 0, 1)]), free):
        richer = None if found is None else np.asarray(found, np.float64)
        if richer is not None and _plausible(richer):
            nearer = _distances(richer, here, there, tolerance_px)
            if _GAIN * nearer.sum() < off.sum():
                best, off = richer, nearer
    return best, int((off < tolerance_px).sum())


def _distances(motion: Homography, here: Points, there: Points, most_px: float) -> Points:
    """Distance in pixels of each corner from where `motion` takes it; cut off at `most_px`: outliers count alike."""
    distances: Points = np.abs(cv2.perspectiveTransform(here, motion) - there).max(axis=(1, 2))
    return distances.clip(max=most_px)


def _still(before: Gray, now: Gray) -> Homography | None:
    """The identity if the frame hardly changes, else None."""
    return np.eye(3) if cv2.norm(before, now, cv2.NORM_L1) / now.size < _STILL_LEVELS else None


def _plausible(motion: Homography) -> bool:
    """Whether a camera can move like this between two neighbouring frames."""
    low, high = _DETERMINANTS
    if not low < np.linalg.det(motion[:2, :2]) < high:
        return False
    return bool(np.abs(motion[2, :2]).max() < _MOST_PERSPECTIVE)
