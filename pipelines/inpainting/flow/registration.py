"""Registering a hole's background to other frames by their thumbnails.

The camera's chained homography comes first; optical flow (DIS, Kroeger et al. 2016) finds the residual motion
around the hole; an affine fit, and a harmonic fill of what it leaves, extend that into the hole. Affine equalled a
homography here within 0.05 dB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.flow.frame_pairs import Thumbnail
from pipelines.inpainting.flow.frame_view import Coords, covered_at, pixel_grid, point
from pipelines.inpainting.flow.harmonic import HarmonicFill, medians
from pipelines.inpainting.flow.holes import Hole
from pipelines.vision.camera_motion import Homography
from pipelines.vision.crop import Crop
from pipelines.vision.types import Floats, Mask, Pixels

_ALL_MOVES = 0.75
"""Share of the rim that must move to be the background itself, rather than objects in front of it."""
_FLOW_LEAST_PX = 16
"""Longer side below which DIS cannot compute flow; the shorter side may be half of it."""
_CELL_PX = 2
"""Cell of the harmonic fill, in thumbnail pixels: half resolution loses less than 0.1 dB."""
_STRIDE_PX = 5
"""Stride of DIS's 8-pixel patches: wider than its presets', with about the same result."""
_FEWEST = 8
"""Known cells needed for an affine motion."""
_ROUNDS = 5
"""Rounds of reweighting in the affine fit."""
_OUTLIER_PX = 1.5
"""Distance from the affine motion beyond which flow counts for little: it belongs to another object."""


@dataclass(frozen=True, eq=False)
class HoleRegion:
    """A hole and its surroundings in the frame's thumbnail: `gray` and both masks cover `hole.wide`.

    `steady` marks known pixels that follow the camera, `moving` those that do not.
    """

    hole: Hole
    gray: Pixels
    steady: Mask
    moving: Mask

    @cached_property
    def coords(self) -> Coords:
        """Coordinates of its pixels in the thumbnail."""
        return coords_of(self.hole.wide)

    @cached_property
    def rim(self) -> HarmonicFill:
        """The fill from the known rim into the hole."""
        return HarmonicFill(self.hole.rim, self.hole.empty[self.hole.inner] > 0, _CELL_PX)


def hole_region(thumbnail: Thumbnail, hole: Hole, moving: Mask) -> HoleRegion:
    """Return the region of `hole` in its thumbnail; `moving` `(h, w)` bool covers `hole.wide`."""
    known = hole.empty == 0
    moving = moving & known
    # If nearly all that is known around a hole moves, that is its background.
    moving_share = int(np.count_nonzero(hole.rim & moving[hole.inner])) / max(
        1, int(np.count_nonzero(hole.rim))
    )
    steady = known & ~moving if moving_share < _ALL_MOVES else known
    return HoleRegion(hole, thumbnail.gray[hole.wide.slices], steady, moving)


def background_coords(
    region: HoleRegion, others: Sequence[tuple[Thumbnail, Homography]], preset: int
) -> list[Coords | None]:
    """Map each pixel of `region.hole.tight` to each thumbnail; None if it cannot be registered or shows nothing of it.

    Each of `others` comes with the homography from the hole's thumbnail to it; `preset` is one of DIS's. Holds 3
    float32 per pixel of `tight` and thumbnail.
    """
    inner, found = region.hole.inner, cast(list[Coords | None], [None] * len(others))
    flows, usables, seen = [], [], []
    for number, (other, camera) in enumerate(others):
        roughly = cast(Coords, cv2.perspectiveTransform(region.coords, camera))
        hidden = covered_at(other.covered, roughly) > 0
        if hidden[region.hole.empty > 0].all():
            continue
        seen.append(number)
        flows.append(residual_flow(region, warped(other.gray, roughly), hidden, preset)[inner])
        usables.append((region.steady & ~hidden)[inner])
    if not seen or not region.rim.cells.size:
        return found
    carried = _into_hole(region, np.stack(flows), np.stack(usables))
    for number, flow, usable, moved in zip(seen, flows, usables, carried, strict=True):
        if moved is not None:
            total = np.where(usable[..., None], flow, moved) + region.coords[inner]
            found[number] = cast(Coords, cv2.perspectiveTransform(total, others[number][1]))
    return found


def residual_flow(region: HoleRegion, there: Pixels, hidden: Mask, preset: int) -> Floats:
    """Compute flow `(h, w, 2)` in pixels from the region to `there`, a reference aligned with it, `hidden` in parts.

    Where only one is visible, both are made equal: flow is zero there, and is not misled nearby.
    """
    if max(there.shape) < _FLOW_LEAST_PX or min(there.shape) < _FLOW_LEAST_PX // 2:
        return np.zeros((*there.shape, 2), np.float32)
    empty = region.hole.empty > 0
    current = np.where(empty, there, region.gray)
    dis = cv2.DISOpticalFlow.create(preset)
    # A thumbnail is small already.
    dis.setFinestScale(0)
    dis.setPatchStride(_STRIDE_PX)
    flow = dis.calc(current, np.where(hidden & ~empty, region.gray, there), None)  # type: ignore[call-overload]
    return cast(Floats, flow)


def _into_hole(region: HoleRegion, flows: Floats, usable: Mask) -> list[Floats | None]:
    """Extend flows `(R, h, w, 2)` around the hole into it; None for a flow of which too little is known."""
    rim, (many, height, width) = region.rim, usable.shape
    shown = usable.reshape(many, -1)[:, rim.indices].astype(np.float32)
    means, known = rim.means(flows.reshape(many, -1, 2)[:, rim.indices], shown)
    rows, columns = np.divmod(rim.cells, rim.shape[1])
    across, down = _side_coords(columns, rim.cell_px, width), _side_coords(rows, rim.cell_px, height)
    motions = _affine(across, down, means, known)
    rest = means - _apply_motion(motions[:, :, None], across, down)
    far = (rest**2).sum(axis=-1) / np.float32(_OUTLIER_PX**2)
    fields = rim.field(rest, known / (1 + far) ** 2)
    sides = (
        _side_coords(np.arange(width), 1, width)[None],
        _side_coords(np.arange(height), 1, height)[:, None],
    )
    return [
        rim.enlarged(field, (height, width)) + _apply_motion(motion, *sides) if enough else None
        for field, motion, enough in zip(
            fields, motions, np.count_nonzero(known, axis=1) >= _FEWEST, strict=True
        )
    ]


def _side_coords(numbers: NDArray[np.int64], each_px: int, whole_px: int) -> Floats:
    """Positions of the centres of cells of `each_px` pixels along a side, from -1 to 1."""
    return ((numbers * 2 + 1) * (each_px / whole_px) - 1).astype(np.float32)


def _apply_motion(motion: Floats, across: Floats, down: Floats) -> Floats:
    """Evaluate an affine motion `(3, 2)`, or each of `(R, 3, 1, 2)`, at positions."""
    one, by_x, by_y = np.moveaxis(motion, -3 if motion.ndim > 2 else 0, 0)
    return cast(Floats, one + across[..., None] * by_x + down[..., None] * by_y)


def _affine(across: Floats, down: Floats, flows: Floats, known: Floats) -> Floats:
    """Fit affine motions `(R, 3, 2)` (constant, by `across`, by `down`) to flows `(R, N, 2)` robustly.

    Iteratively reweighted least squares with Geman-McClure weights that narrow each round.
    """
    basis = np.stack((np.ones_like(across), across, down)).astype(np.float64)
    products = (basis[:, None] * basis).reshape(9, -1)
    seen, targets = known > 0, np.ascontiguousarray(np.moveaxis(flows, -1, 0), np.float64)
    centred = [channel - np.nan_to_num(medians(channel, seen), posinf=0)[:, None] for channel in targets]
    off = np.hypot(*centred)
    narrow = np.maximum(0.5, 2 * np.nan_to_num(medians(off, seen), posinf=0))[:, None]
    for _ in range(_ROUNDS):
        weights = known * (narrow**2 / (narrow**2 + off**2)) ** 2
        # Not by BLAS, whose sums depend on its number of threads.
        normal = np.einsum("rk,nk->rn", weights, products).reshape(-1, 3, 3) + np.eye(3) * 1e-4
        motion = np.linalg.solve(normal, np.einsum("crk,ik->ric", weights * targets, basis))
        off = np.hypot(*(targets - np.einsum("ric,ik->crk", motion, basis)))
        narrow = np.maximum(0.25, narrow / 2)
    return cast(Floats, motion.astype(np.float32))


def warped(gray: Pixels, coords: Coords) -> Pixels:
    """Sample the luma `gray` of a thumbnail at `coords`."""
    return cast(Pixels, cv2.remap(gray, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))  # type: ignore[call-overload]


def coords_of(box: Crop) -> Coords:
    """Return the coordinates of the pixels of a crop."""
    return pixel_grid(*box.size) + point(box.left, box.top)
