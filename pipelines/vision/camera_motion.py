"""Estimating camera motion between two frames, and comparing frames that are aligned only to a pixel or so."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.vision.boxes import Box, box_at, centre

Gray = NDArray[np.uint8]
Homography = NDArray[np.float64]
Points = NDArray[np.float32]
"""`(N, 1, 2)`: x and y."""

_CORNERS, _CORNERS_PER_CELL = 1200, 8
_CELLS = (6, 8)
_FEWEST = 16
"""Corners that must agree on one motion; four make a homography, but say nothing about whether it is true."""
_AGREEING = 0.3
_GAIN = 1.1
"""By how much a richer motion must fit better: where all corners are on one thing, it runs wild elsewhere."""
_TOLERANCE_PX = 2.0
_STILL = 8.0
"""Grey levels: a picture without corners that changes less than this has not moved."""


def camera_motion(before: Gray, now: Gray) -> Homography | None:
    """Estimate the homography `(3, 3)` that maps coordinates in `now` to coordinates in `before`.

    Both are `(H, W)` uint8 luma. Corners from the whole frame are tracked by Lucas-Kanade flow and fitted by RANSAC, so
    a moving object that covers a minor part of the frame does not matter. Returns None where the frames share no
    motion: at a cut, or where there is nothing to track.

    `inpainting.flow.frame_pairs.camera_between` fits the same models with `fit_simplest_motion`, but differs on
    purpose: it works on thumbnails, must ignore holes, compensates flashes, and leaves cuts to a detector of its own.
    """
    found: Points | None = cv2.goodFeaturesToTrack(now, _CORNERS, 0.002, 5)  # type: ignore[assignment]
    if found is None:
        return _still(before, now)
    corners = spread_corners(found, now.shape)
    if len(corners) < _FEWEST:
        return _still(before, now)
    there, status, _ = cv2.calcOpticalFlowPyrLK(
        now, before, corners, np.empty_like(corners), winSize=(15, 15)
    )
    kept = status.ravel() > 0
    if kept.sum() < _FEWEST:
        return _still(before, now)
    motion, agreeing = fit_simplest_motion(corners[kept], np.asarray(there[kept], np.float32), _TOLERANCE_PX)
    return motion if agreeing >= max(_FEWEST, _AGREEING * len(corners)) else _still(before, now)


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
    """Where a box comes to lie: its middle moved, its size kept."""
    across, down, depth = motion @ np.array([*centre(box), 1.0])
    return box_at(np.array([across / depth, down / depth]), box[2:])


def spread_corners(corners: Points, shape: tuple[int, ...]) -> Points:
    """The best corners of each cell of a grid, so that a busy part of the picture does not speak for all of it."""
    column = (corners[:, 0, 0] * _CELLS[1] / shape[1]).astype(np.intp)
    cell = (corners[:, 0, 1] * _CELLS[0] / shape[0]).astype(np.intp) * _CELLS[1] + column
    order = np.argsort(cell, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(cell[order], cell[order])
    return corners[np.sort(order[rank < _CORNERS_PER_CELL])]


def fit_simplest_motion(here: Points, there: Points, tolerance_px: float) -> tuple[Homography, int]:
    """Of rest, a similarity and a homography the first that is not clearly worse, and how many corners it explains.

    RANSAC of OpenCV starts from the same random state at each call.
    """
    best = np.eye(3)
    off = _off(best, here, there, tolerance_px)
    similar, _ = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=tolerance_px)
    free, _ = cv2.findHomography(here, there, cv2.RANSAC, tolerance_px)
    for found in (None if similar is None else np.vstack([similar, (0, 0, 1)]), free):
        richer = None if found is None else np.asarray(found, np.float64)
        if richer is not None and _plausible(richer):
            nearer = _off(richer, here, there, tolerance_px)
            if _GAIN * nearer.sum() < off.sum():
                best, off = richer, nearer
    return best, int((off < tolerance_px).sum())


def _off(motion: Homography, here: Points, there: Points, most_px: float) -> Points:
    """How far each corner is from where `motion` takes it, pixels; what is far off is so for reasons of its own."""
    distances: Points = np.abs(cv2.perspectiveTransform(here, motion) - there).max(axis=(1, 2))
    return distances.clip(max=most_px)


def _still(before: Gray, now: Gray) -> Homography | None:
    return np.eye(3) if cv2.norm(before, now, cv2.NORM_L1) / now.size < _STILL else None


def _plausible(motion: Homography) -> bool:
    """Between neighbouring frames a camera neither mirrors nor zooms by half."""
    return bool(0.5 < np.linalg.det(motion[:2, :2]) < 2.0) and bool(np.abs(motion[2, :2]).max() < 0.002)
