"""Thumbnails of frames, and what a pair of neighbouring ones shows: the camera's motion, moving objects, a cut.

A pair depends on its two frames alone, so any part of a video gives the same results. Constants without a stated source
were found by trial.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.flow.frame_view import pixel_grid
from pipelines.inpainting.flow.harmonic import median
from pipelines.inpainting.flow.holes import dilated
from pipelines.vision.camera_motion import (
    Homography,
    Points,
    fit_simplest_motion,
    misaligned_difference,
    spread_corners,
)
from pipelines.vision.types import Deep, Flags, Mask, Pixels

PictureT = TypeVar("PictureT", bound=NDArray[Any])
See = Callable[[Deep], Pixels]
"""Turns R'G'B' codes (H, W, 3) uint16 into what they look like in SDR, uint8 RGB."""

WORK_PX = 250
"""Approximate longest side of a thumbnail. Holes are registered in thumbnails, so distances scale with the frame."""
_LEAST_PX = 16
"""Smallest side of a thumbnail: DIS flow needs as much."""

_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX = 600, 0.003, 4
"""OpenCV's `maxCorners`, `qualityLevel` (low, so that flat parts get corners too) and `minDistance`."""
_FEWEST = 12
"""Corners, or pixels, below which nothing is estimated from them."""
_TOLERANCE_PX = 0.75
"""RANSAC inlier distance, in pixels of the thumbnail."""
_FLOW_WINDOW_PX = 15
"""Window side of Lucas-Kanade flow; OpenCV's default is 21."""
_LEVELS, _GUIDED_LEVELS = 3, 0
"""Pyramid levels of Lucas-Kanade without and with an initial guess."""
_ITERATIONS, _EPSILON_PX = 12, 0.03
"""Where Lucas-Kanade stops; OpenCV's default of 30 iterations is slower."""
_HOLE_MARGIN_PX = 3
"""Corners nearer to a hole are not used: its edge looks like a corner."""
_MOVED_PX, _DIFFERENT, _EXPLAINED = 0.8, 6, 0.7
"""A pixel moves if flow is faster than this, the aligned frames differ by so many grey levels, and flow leaves at most
this share of the difference.
"""
_CHANGED, _ONE_MAY_FAIL = 7, 3
"""Grey levels from which a pixel differs; of more than so many frames, one need not differ."""
_CUT_LAYOUT, _CUT_CHANGE = 0.3, 12.0
"""A cut changes the layout by more than this share of its variance, and pixels by so many grey levels on average."""
_LAYOUT = (8, 6)
"""Width and height of the layout in cells."""
_STRIDE, _DARK_LEVELS = 4, 8
"""Subsampling for estimates of brightness, and grey levels added before ratios: shadows say little about brightness."""
_FLASH = 0.05
"""Relative change of brightness from which corners are tracked better after it is undone."""
_SLACK = np.ones((3, 3), np.uint8)
"""An estimated motion may be off by a pixel."""
_CLOSING = np.ones((7, 7), np.uint8)
"""Joins parts of a moving object."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A reduced frame: luma `gray` `(h, w)` uint8, and its `hole` `(h, w)` {0, 1}."""

    gray: Pixels
    hole: Flags

    @cached_property
    def covered(self) -> Flags:
        """255 in the hole and one pixel around it, else 0."""
        return cast(Flags, dilated(self.hole, 1) * np.uint8(255))

    def without(self, margin_px: int) -> Flags:
        """255 farther than `margin_px` from the hole, else 0."""
        return cast(Flags, (1 - dilated(self.hole, margin_px)) * np.uint8(255))


@dataclass(frozen=True, eq=False)
class FramePair:
    """What a frame and the next one show.

    `camera` maps coordinates in the first thumbnail to the next; `cut` is True if the next begins another shot;
    `flowing` marks, in the first and in the next, what flow finds to move against the camera {0, 1}.
    """

    camera: Homography
    cut: bool
    flowing: tuple[Flags, Flags]

    @cached_property
    def back(self) -> Homography:
        """The inverse of `camera`."""
        return cast(Homography, np.linalg.inv(self.camera))


def reduction(shape: tuple[int, ...]) -> int:
    """Return by what factor a frame of `shape` is reduced to its thumbnail."""
    return max(1, round(max(shape[:2]) / WORK_PX))


def thumbnail_of(frame: Pixels | Deep, mask: Mask, times: int, see: See | None = None) -> Thumbnail:
    """Reduce `frame` (H, W, 3) uint8 RGB and its `mask` (H, W) bool by `times`, to `_LEAST_PX` a side at least.

    A deep frame is reduced as codes, and then seen as uint8 RGB by `see`.
    """
    height, width = mask.shape
    size = max(_LEAST_PX, -(-width // times)), max(_LEAST_PX, -(-height // times))
    covered = reduced(mask.view(np.uint8) * np.uint8(255), size, times)
    if see is not None:
        small = see(reduced(cast(Deep, frame), size, times))
        gray = cast(Pixels, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    else:
        gray = reduced(cast(Pixels, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)), size, times)
    return Thumbnail(gray, cast(Flags, (covered > 0).astype(np.uint8)))


def reduced(plane: PictureT, size: tuple[int, int], times: int) -> PictureT:
    """Reduce `plane` (H, W) or (H, W, C) to `size` (width, height) by averaging `times` x `times` pixels.

    Pixels outside repeat the outermost ones.
    """
    height, width = plane.shape[:2]
    below, right = size[1] * times - height, size[0] * times - width
    if below or right:
        plane = cast(PictureT, cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE))
    return cast(PictureT, cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def compare(first: Thumbnail, then: Thumbnail) -> FramePair:
    """Compare a thumbnail with the next frame's."""
    camera = camera_between(first, then)
    aligned, compared = _aligned(first, then, camera)
    aligned_back, compared_back = _aligned(then, first, cast(Homography, np.linalg.inv(camera)))
    return FramePair(
        camera=camera,
        cut=_is_cut(first, then, _difference(first.gray, aligned), compared),
        flowing=(
            _moving_by_flow(first, aligned, compared),
            _moving_by_flow(then, aligned_back, compared_back),
        ),
    )


def moving(now: Thumbnail, flowing: Sequence[Flags], others: Iterable[tuple[Thumbnail, Homography]]) -> Flags:
    """Detect what moves on its own in a frame; returns `(h, w)` {0, 1}.

    That is what flow finds (`flowing`), and what differs from nearly all `others` that show the same background, as
    objects too fast for flow do. Each of `others` comes with the homography from `now` to it.
    """
    shown, differs = np.zeros_like(now.gray), np.zeros_like(now.gray)
    for other, motion in others:
        aligned, compared = _aligned(now, other, motion)
        shown += compared
        differs += (_difference(now.gray, aligned) > _CHANGED) & (compared > 0)
    found = (shown >= 2) & (differs + (shown > _ONE_MAY_FAIL) >= shown)
    for flags in flowing:
        found |= flags > 0
    closed = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, _CLOSING)
    return cast(Flags, cv2.morphologyEx(closed, cv2.MORPH_OPEN, _SLACK) & (now.hole == 0))


def camera_between(first: Thumbnail, then: Thumbnail) -> Homography:
    """Estimate the homography that most corners outside the holes follow; the identity where there are too few.

    Unlike `vision.camera_motion.camera_motion`, it ignores corners in holes, compensates a flash between the frames,
    and uses tolerances for thumbnails; cuts are detected from the aligned pair afterwards.
    """
    corners = cv2.goodFeaturesToTrack(
        first.gray,
        _CORNERS,
        _CORNER_QUALITY,
        _CORNER_DISTANCE_PX,
        mask=first.without(_HOLE_MARGIN_PX),
    )
    if corners is None or len(corners) < _FEWEST:
        return np.eye(3)
    corners = spread_corners(cast(Points, corners), first.gray.shape).reshape(-1, 2)
    tracked, found = track_points(first.gray, _equalised(then, first), corners)
    found &= inside(tracked, then.without(_HOLE_MARGIN_PX))
    if found.sum() < _FEWEST:
        return np.eye(3)
    motion, _ = fit_simplest_motion(corners[found][:, None], tracked[found][:, None], _TOLERANCE_PX)
    return motion


def _equalised(one: Thumbnail, as_other: Thumbnail) -> Pixels:
    """The luma of `one`, brought to the brightness of another thumbnail if it differs much, as in a flash."""
    wanted, brightness = (
        cv2.mean(thumbnail.gray, 1 - thumbnail.hole)[0] + _DARK_LEVELS for thumbnail in (as_other, one)
    )
    gain = wanted / brightness
    if abs(gain - 1) < _FLASH:
        return one.gray
    return cast(Pixels, cv2.convertScaleAbs(one.gray, alpha=gain, beta=_DARK_LEVELS * (gain - 1)))


def track_points(
    first: Pixels, then: Pixels, points: Points, guess: Points | None = None
) -> tuple[Points, NDArray[np.bool_]]:
    """Track `points` (N, 2) from `first` to `then` by pyramidal Lucas-Kanade; returns positions and a found flag each.

    With a `guess` of the positions no pyramid is used: a match far from it would be something else.
    """
    tracked, found, _ = cv2.calcOpticalFlowPyrLK(
        first,
        then,
        points[:, None],
        np.empty_like(points[:, None]) if guess is None else guess[:, None].copy(),
        winSize=(_FLOW_WINDOW_PX, _FLOW_WINDOW_PX),
        maxLevel=_LEVELS if guess is None else _GUIDED_LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, _ITERATIONS, _EPSILON_PX),
        flags=0 if guess is None else cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return cast(Points, tracked[:, 0]), found.ravel() > 0


def inside(points: Points, shown: Flags) -> NDArray[np.bool_]:
    """Whether each of `points` (N, 2) lies where `shown` is not 0."""
    within: Mask = np.all((points > -0.5) & (points < np.array(shown.shape[::-1]) - 0.5), axis=1)
    column, row = np.rint(points[within]).astype(np.intp).T
    within[within] = shown[row, column] > 0
    return within


def _moving_by_flow(now: Thumbnail, aligned: Pixels, compared: Flags) -> Flags:
    """What flow finds to move in `now` {0, 1} against `aligned`, another frame aligned with it."""
    # Where only one frame is visible, both are made equal: flow is zero there, and is not misled nearby.
    empty = now.hole > 0
    current, aligned = (
        np.where(empty, aligned, now.gray),
        np.where((compared == 0) & ~empty, now.gray, aligned),
    )
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(current, aligned, None)  # type: ignore[call-overload]
    by_flow = cv2.remap(
        aligned,
        pixel_grid(*current.shape[1::-1]) + flow,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,  # type: ignore[call-overload]
    )
    difference = cv2.blur(cv2.absdiff(current, aligned), (5, 5))
    residual = cv2.blur(cv2.absdiff(current, by_flow), (5, 5))
    speed = cv2.magnitude(flow[..., 0], flow[..., 1])
    found = (
        (speed > _MOVED_PX)
        & (difference > _DIFFERENT)
        & (residual < _EXPLAINED * difference)
        & (compared > 0)
    )
    return cast(Flags, found.astype(np.uint8))


def _aligned(now: Thumbnail, other: Thumbnail, motion: Homography) -> tuple[Pixels, Flags]:
    """Align `other` with `now`; returns its luma, and {0, 1} where both are visible."""
    size = now.gray.shape[1::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    gray = cv2.warpPerspective(other.gray, motion, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    hidden = cv2.warpPerspective(
        other.hole * np.uint8(255), motion, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=255
    )
    compared = ((hidden == 0) & (now.hole == 0)).astype(np.uint8)
    return relight(cast(Pixels, gray), now.gray, compared), compared


def relight(gray: Pixels, like: Pixels, compared: Flags) -> Pixels:
    """Scale the brightness of `gray` to that of `like`, by the median ratio where `compared`."""
    coarse = slice(None, None, _STRIDE), slice(None, None, _STRIDE)
    shared = compared[coarse] > 0
    if np.count_nonzero(shared) < _FEWEST:
        return gray
    wanted, levels = (plane[coarse][shared] + np.float32(_DARK_LEVELS) for plane in (like, gray))
    gain = float(median(wanted / levels))
    return cast(Pixels, cv2.convertScaleAbs(gray, alpha=gain, beta=_DARK_LEVELS * (gain - 1)))


def _difference(current: Pixels, aligned: Pixels) -> Pixels:
    """Smoothed difference in grey levels, where an estimated motion may be off by a pixel."""
    return cast(Pixels, cv2.blur(misaligned_difference(current, aligned, _SLACK), (3, 3)))


def _is_cut(first: Thumbnail, then: Thumbnail, changed: Pixels, compared: Flags) -> bool:
    """Whether `then` begins another shot: the camera's motion explains little, and the layout is another one.

    Decides on two thumbnails alone and ignores their holes, so that any span finds the same cuts, unlike
    `scoring.metrics.verdicts`, which compares each seam with several frames on either side and so tells flashes and
    fast pans from cuts; `vision.camera_motion` only reports that no common motion was found.
    """
    if cv2.mean(changed, compared)[0] < _CUT_CHANGE:
        return False
    known = ((first.hole == 0) & (then.hole == 0)).astype(np.float32)
    weight = cast(NDArray[np.float32], cv2.resize(known, _LAYOUT, interpolation=cv2.INTER_AREA))
    one, other = (_layout(thumbnail.gray, known, weight) for thumbnail in (first, then))
    return float(((one - other) ** 2).sum() / max(1e-6, 2 * weight.sum())) > _CUT_LAYOUT


def _layout(gray: Pixels, known: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """Coarse luma with mean 0 and deviation 1 over the known pixels, weighted by how much of a cell is known."""
    means = cv2.resize(gray * known, _LAYOUT, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-6)
    total = max(1e-6, float(weight.sum()))
    means = (means - (means * weight).sum() / total).astype(np.float64)
    return cast(
        NDArray[np.float64], means / np.sqrt((means**2 * weight).sum() / total + 16) * np.sqrt(weight)
    )
