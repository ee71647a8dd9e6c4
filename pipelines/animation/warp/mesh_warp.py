"""Warp of a face in a picture after a driving face: one map for head and face, one look-up, and the mouth inserted.

The map is computed at nodes some pixels apart, and only where something moves. It samples the picture at twice its
resolution, which is as sharp as bicubic sampling and takes half as long. Motion fades to nothing at the border of the
map, so the rest of the picture stays the same to the bit.
"""

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import (
    EYES_APART,
    PER_SIDE,
    REACH,
    FacePlacement,
    Floats,
    compose,
    ellipse,
    inverse,
    to_gray,
    view_to_face,
)
from pipelines.animation.faces.alignment import measure_symmetry
from pipelines.animation.warp.driving_flow import Motion
from pipelines.animation.warp.flow_fields import FACE
from pipelines.animation.warp.fold_removal import remove_folds
from pipelines.animation.warp.motion_limits import MOST_SHIFT, Shift
from pipelines.animation.warp.motion_weights import FADE_REACH, HEAD_CENTRE, ellipse_radius, motion_weights
from pipelines.animation.warp.mouth import insert_mouth
from pipelines.animation.warp.restraint import lower_face_weight, share_by_folding, share_by_symmetry
from pipelines.vision.types import Pixels

_BORDER_REACH = 0.6
"""Largest offset towards the border, as a share of the distance to it: the rest is stretched rather than torn off."""
_LIPS_DOWN, _LIPS_SPREAD_X, _LIPS_SPREAD_Y = 0.262, 0.22, 0.12
"""Where the lips of the template meet, and the spread of the shift that brings the driving lips onto the source's."""
_NODES_PER_SIDE = 64
"""Nodes to a side of the face box, about: as fine as the motion, which is smooth over some pixels of a view."""
_HALF_SAMPLE_TAPS = (1, -5, 20, 20, -5, 1)
"""Weights of the six pixels around a position halfway between two: the luma filter of H.264."""
_MIN_ALPHA, _OPEN_ALPHA = 0.01, 0.5
"""Opacity of the mouth below which nothing is drawn, and above which the driving mouth counts as open."""
_INNER = 0.8
"""Radius within which folds are counted, in radii of the face: hair and jaw fold over what is behind them."""
_FEATHER_PX = 1.2
"""Blur of the mouth's rim, in pixels of the view."""
_GRAY_LEVELS = 3.0
"""A face whose channels differ by less, on average, is a grey picture, and gets a grey mouth."""
_GAIN_LIMITS = (0.5, 2.0)
"""Limits of the gain that matches the driving skin to the source's."""
_SKIN = (0.0, 0.2, 0.36, 0.3)
"""Ellipse whose median is the colour of the skin, in face coordinates."""

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class _Weights:
    """Weights of the head's, the face's and the mouth's motion at the nodes, 0 to 1."""

    head: Floats
    face: Floats
    mouth: Floats


@dataclass(frozen=True, eq=False)
class _Map:
    """Where the nodes are taken from: `offsets` in pixels, and where they lie on the driving face's view.

    `mouth_weight` is what the mouth counts for there, and `share` how much of the driving face is shown.
    """

    offsets: Floats
    view_positions: Floats
    mouth_weight: Floats
    share: float


class MeshWarp:
    """Face of a picture to warp; holds the picture, its moving part at twice the resolution, and small maps."""

    def __init__(
        self, picture: Pixels, placement: FacePlacement, driving: Pixels, driving_lip_offset: float
    ) -> None:
        """Prepare `picture` `(H, W, 3)` uint8 RGB; `driving` is the view of the driving face on the reference."""
        self._scale = placement.to_picture()[:, :2].astype(np.float32)
        self._step = max(1, round(placement.size / _NODES_PER_SIDE))
        self._lip_shift, self._lips_at = (
            placement.lip_offset - driving_lip_offset,
            _LIPS_DOWN + placement.lip_offset,
        )
        height, width = picture.shape[:2]
        left, top, right, bottom = self._moving_region(placement, width, height)
        self._region = slice(top, bottom), slice(left, right)
        x, y, across, down = self._nodes(placement, left, top, right, bottom)
        self._across, self._down = across, down
        self._min_x, self._max_x = -_BORDER_REACH * x, _BORDER_REACH * (width - 1 - x)
        self._min_y, self._max_y = -_BORDER_REACH * y, _BORDER_REACH * (height - 1 - y)
        # In pixels of the doubled picture; one more node on each side, so that all pixels lie between nodes.
        beside = np.arange(-1, max(across.shape) + 1) * self._step + (self._step - 1) / 2
        rows, columns = across.shape
        self._grid = _pair(2 * beside[: columns + 2], 2 * beside[: rows + 2, None])
        self._picture, self._fine = picture, _upsample_twice(picture[self._region])
        view = placement.view(picture)
        self._gray = bool(np.ptp(view.astype(np.int16), axis=2).mean() < _GRAY_LEVELS)
        self._colour_gain = _colour_gain(view, self._match_colour(driving))
        self._mouth_share = share_by_symmetry(measure_symmetry(placement, picture))
        self._inside = _bounds(ellipse_radius(FACE, across, down) < _INNER)
        self._rest = self._weights(0.0, 0.0)

    def _weights(self, right: float, below: float) -> "_Weights":
        """Return the weights of a head that has moved so far, in face coordinates."""
        head, face = motion_weights(self._across, self._down, right, below)
        lower = lower_face_weight(self._down - np.float32(below), self._mouth_share)
        return _Weights(head, face * lower, face * np.float32(self._mouth_share))

    def _moving_region(self, placement: FacePlacement, width: int, height: int) -> tuple[int, int, int, int]:
        """Return what may move of the picture: left, top, right and bottom, in pixels."""
        farthest = MOST_SHIFT * EYES_APART
        reach = int(placement.size * (FADE_REACH + farthest + 0.1)) // self._step * self._step
        left, top = int(placement.x) - reach, int(placement.y) - reach
        _, _, across, down = self._nodes(placement, left, top, left + 2 * reach, top + 2 * reach)
        shifts = (0.0, 0.0), (farthest, 0.0), (-farthest, 0.0), (0.0, farthest), (0.0, -farthest)
        moves = np.any([np.maximum(*motion_weights(across, down, *shift)) > 0 for shift in shifts], axis=0)
        (first_x, last_x), (first_y, last_y) = (
            np.flatnonzero(moves.any(axis=axis))[[0, -1]].tolist() for axis in (0, 1)
        )
        return (
            max(0, left + (first_x - 1) * self._step),
            max(0, top + (first_y - 1) * self._step),
            min(width, left + (last_x + 2) * self._step),
            min(height, top + (last_y + 2) * self._step),
        )

    def _nodes(
        self, placement: FacePlacement, left: int, top: int, right: int, bottom: int
    ) -> tuple[Array, Array, Floats, Floats]:
        """Return columns and rows of the nodes in pixels, and all nodes in face coordinates."""
        rows, columns = (-(-side // self._step) for side in (bottom - top, right - left))
        x = left + (np.arange(columns) + 0.5) * self._step - 0.5
        y = top + (np.arange(rows)[:, None] + 0.5) * self._step - 0.5
        across, down = ((a * x + b * y + c).astype(np.float32) for a, b, c in inverse(placement.to_picture()))
        return x, y, across, down

    def apply(self, picture: Pixels, motion: Motion) -> tuple[Pixels, float]:
        """Warp `picture` as the face moves; returns a new array, unchanged outside the face's surroundings.

        Also returns the share of the driving face that is shown: 1 where it fits, 0 where the portrait's mouth stays
        closed, and less than 1 where the face moves less so as not to fold.
        """
        found = self._map(motion)
        warped = self._remap(picture, found.offsets)
        return warped, min(found.share, self._draw_mouth(warped[self._region], motion, found))

    def apply_to_opacity(self, opacity: Pixels, motion: Motion) -> Pixels:
        """Warp the opacity `(H, W)` uint8 of a picture as `apply` warps its colours; returns a new array."""
        warped = self._remap(cast(Pixels, cv2.merge([opacity] * 3)), self._map(motion).offsets)
        return np.ascontiguousarray(warped[..., 0])

    def _map(self, motion: Motion) -> "_Map":
        """Map the nodes by a motion, with as much of the face's as does not fold."""
        transform = compose(compose(view_to_face(), motion.head), inverse(view_to_face()))
        forward = inverse(transform)
        moved = forward[:, :2] @ HEAD_CENTRE + forward[:, 2] - HEAD_CENTRE
        weights = self._weights(*moved.tolist()) if moved.any() else self._rest
        (xx, xy, x0), (yx, yy, y0) = (transform - np.eye(2, 3)).astype(np.float32)
        across, down = self._across, self._down
        right = (xx * across + xy * down + x0) * weights.head
        below = (yx * across + yy * down + y0) * weights.head
        target_x, target_y = across + right, down + below
        view_x, view_y = ((target + REACH) * PER_SIDE - 0.5 for target in (target_x, target_y))
        if self._lip_shift:
            distance = (target_x / _LIPS_SPREAD_X) ** 2 + ((target_y - self._lips_at) / _LIPS_SPREAD_Y) ** 2
            view_y -= cv2.exp(-0.5 * distance) * (self._lip_shift * PER_SIDE)
        face_x, face_y = cv2.split(_sample(motion.face, view_x, view_y))
        scale = weights.face / PER_SIDE
        face_x, face_y = face_x * scale, face_y * scale
        offsets = self._offsets(right + face_x, below + face_y)
        share = share_by_folding(offsets[self._face_nodes(moved)], self._step)
        if share < 1:
            offsets = self._offsets(right + face_x * np.float32(share), below + face_y * np.float32(share))
        return _Map(remove_folds(offsets, self._step), _pair(view_x, view_y), weights.mouth, share)

    def _face_nodes(self, moved: Shift) -> tuple[slice, slice]:
        """Return the rows and columns of the inner face of a head that has moved so far, in face coordinates."""
        right, below = np.rint(self._scale @ moved / self._step).astype(int).tolist()
        rows, columns = self._inside
        return _shifted(rows, below), _shifted(columns, right)

    def _offsets(self, right: Array, below: Array) -> Floats:
        """Convert offsets of the nodes from face coordinates to pixels, within what the picture has."""
        (xx, xy), (yx, yy) = self._scale
        return _pair(
            np.clip(xx * right + xy * below, self._min_x, self._max_x),
            np.clip(yx * right + yy * below, self._min_y, self._max_y),
        )

    def _remap(self, picture: Pixels, offsets: Floats) -> Pixels:
        """Sample `picture` at each pixel plus `offsets`, which are given at the nodes."""
        positions = self._grid + 2 * cv2.copyMakeBorder(offsets, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        warped = picture.copy()
        part = warped[self._region]
        height, width = part.shape[:2]
        step = self._step
        positions = self._to_pixels(positions)[step : step + height, step : step + width]
        fine = self._fine if picture is self._picture else _upsample_twice(picture[self._region])
        part[:] = cv2.remap(fine, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return warped

    def _draw_mouth(self, part: Pixels, motion: Motion, found: "_Map") -> float:
        """Insert the inside of the driving mouth into `part`, in place, where it is open; returns the share shown."""
        widest, view_positions, weight = float(motion.opening.max()), found.view_positions, found.mouth_weight
        unseen = self._mouth_share if widest > _OPEN_ALPHA else 1.0
        if widest < _MIN_ALPHA:
            return unseen
        opening = cast(Floats, cv2.GaussianBlur(motion.opening, (0, 0), _FEATHER_PX))
        rows, columns = np.nonzero(_sample(opening, *cv2.split(view_positions)) * weight > _MIN_ALPHA)
        if len(rows) == 0:
            return unseen
        nodes = tuple(
            slice(max(0, int(at.min()) - 4), min(side, int(at.max()) + 5))
            for at, side in zip((rows, columns), view_positions.shape[:2], strict=True)
        )
        pixels = tuple(slice(s.start * self._step, s.stop * self._step) for s in nodes)
        face = part[pixels]
        height, width = face.shape[:2]
        positions = self._to_pixels(view_positions[nodes])[:height, :width]
        alpha = _sample(opening, *cv2.split(positions)) * self._to_pixels(weight[nodes])[:height, :width]
        mouth = cv2.remap(motion.aligned, positions, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        part[pixels], share = insert_mouth(face, self._match_colour(mouth), alpha, self._colour_gain)
        return self._mouth_share * share if widest > _OPEN_ALPHA else 1.0

    def _match_colour(self, pixels: Pixels) -> Pixels:
        """Remove colours where the picture has none."""
        return cast(Pixels, cv2.merge((to_gray(pixels),) * 3)) if self._gray else pixels

    def _to_pixels(self, values: Floats) -> Floats:
        """Interpolate values of nodes to pixels."""
        if self._step == 1:
            return values.copy()
        size = values.shape[1] * self._step, values.shape[0] * self._step
        return cast(Floats, cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))


def _pair(x: Array, y: Array) -> Floats:
    """Stack two planes, or a row and a column, as `(h, w, 2)`."""
    planes = (np.asarray(plane, np.float32) for plane in np.broadcast_arrays(x, y))
    return cast(Floats, cv2.merge([np.ascontiguousarray(plane) for plane in planes]))


def _sample(values: Floats, x: MatLike, y: MatLike) -> Floats:
    return cast(Floats, cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _upsample_twice(picture: Pixels) -> Pixels:
    """Double the resolution of `picture` `(h, w, 3)`; every other pixel is the original's, to the bit."""
    weights = np.array(_HALF_SAMPLE_TAPS, np.float32) / sum(_HALF_SAMPLE_TAPS)
    before = len(_HALF_SAMPLE_TAPS) // 2 - 1

    def between(pixels: Pixels, kernel: MatLike, anchor: tuple[int, int]) -> Pixels:
        return cast(Pixels, cv2.filter2D(pixels, -1, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE))

    height, width = picture.shape[:2]
    fine = np.empty((2 * height, 2 * width, 3), np.uint8)
    across = between(picture, weights[None], (before, 0))
    fine[::2, ::2], fine[::2, 1::2] = picture, across
    fine[1::2, ::2], fine[1::2, 1::2] = (
        between(row, weights[:, None], (0, before)) for row in (picture, across)
    )
    return fine


def _shifted(span: slice, by: int) -> slice:
    return slice(max(0, span.start + by), max(0, span.stop + by))


def _bounds(inside: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest rows and columns that hold all of `inside`."""
    spans = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0) for at in spans)
    return rows, columns


def _colour_gain(face: Pixels, driving: Pixels) -> Floats:
    """Return how much brighter the skin is than the driving face's, per colour."""
    skin = ellipse(_SKIN, 0.01) > 0.5
    here, there = (np.median(view[skin], axis=0) + 8 for view in (face, driving))
    ratio: Floats = np.clip(here / there, *_GAIN_LIMITS).astype(np.float32)
    return ratio
