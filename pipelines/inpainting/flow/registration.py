"""Where a hole's background lies in another frame, told from the frames' looks.

The camera's chained motion comes first; optical flow (DIS, Kroeger et al. 2016) finds what is left of it around the
hole; an affine motion and what is left of that, spread smoothly, carry it into the hole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.flow.frame_pairs import Homography, Thumbnail
from pipelines.inpainting.flow.frame_view import Coords, covered_at, pixel_grid, point
from pipelines.inpainting.flow.harmonic import Floats, HarmonicFill, medians
from pipelines.inpainting.flow.holes import Hole
from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask, Pixels

_ALL_MOVES = 0.75
_FLOW_LEAST_PX = 16
_CELL_PX = 2
_STRIDE_PX = 5
"""Between patches that flow matches, 8 pixels wide: fewer than DIS would take, which finds about the same."""
_FEWEST = 8
"""Cells that tell an affine motion."""
_ROUNDS = 5
_FOLLOWS_PX = 1.5
"""Flow that is farther off than this from the common motion counts for little: it is another thing's. Of the look."""


@dataclass(frozen=True, eq=False)
class HoleRegion:
    """A hole of a frame and what surrounds it in the frame's look: `gray` and masks cover `hole.wide`.

    `steady` marks the known pixels that follow the camera, `thing` those that do not.
    """

    hole: Hole
    gray: Pixels
    steady: Mask
    thing: Mask

    @cached_property
    def coords(self) -> Coords:
        """Where its pixels lie in the look."""
        return coords_of(self.hole.wide)

    @cached_property
    def rim(self) -> HarmonicFill:
        """From what is known around the hole into it."""
        return HarmonicFill(self.hole.rim, self.hole.empty[self.hole.inner] > 0, _CELL_PX)


def hole_region(thumbnail: Thumbnail, hole: Hole, moving: Mask) -> HoleRegion:
    """`hole` of the frame of `thumbnail`; `moving` `(h, w)` covers `hole.wide`."""
    known = hole.empty == 0
    thing = moving & known
    # Where all that is known around a hole moves, that is its background.
    moving_share = int(np.count_nonzero(hole.rim & thing[hole.inner])) / max(
        1, int(np.count_nonzero(hole.rim))
    )
    steady = known & ~thing if moving_share < _ALL_MOVES else known
    return HoleRegion(hole, thumbnail.gray[hole.wide.slices], steady, thing)


def background_coords(
    region: HoleRegion, others: Sequence[tuple[Thumbnail, Homography]], preset: int
) -> list[Coords | None]:
    """Where each pixel of `region.hole.tight` lies in each look; None where that cannot be told or none is seen.

    Each of the `others` comes with the motion that takes places of the hole's look to its own; `preset` is one of
    DIS's. Holds 3 float32 for each of these and a pixel of `tight`.
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
    """Flow `(h, w, 2)` pixels from the target to `there`, a reference moved onto it and `hidden` in parts.

    Where only one of them shows something, both are made equal: flow finds rest there and is not led astray nearby.
    """
    if max(there.shape) < _FLOW_LEAST_PX or min(there.shape) < _FLOW_LEAST_PX // 2:
        return np.zeros((*there.shape, 2), np.float32)
    empty = region.hole.empty > 0
    here = np.where(empty, there, region.gray)
    dis = cv2.DISOpticalFlow.create(preset)
    # A look is small as it is.
    dis.setFinestScale(0)
    dis.setPatchStride(_STRIDE_PX)
    flow = dis.calc(here, np.where(hidden & ~empty, region.gray, there), None)  # type: ignore[call-overload]
    return cast(Floats, flow)


def _into_hole(region: HoleRegion, flows: Floats, usable: Mask) -> list[Floats | None]:
    """The flows `(R, h, w, 2)` of what surrounds the hole, carried into it; None where too little of one is known."""
    rim, (many, height, width) = region.rim, usable.shape
    shown = usable.reshape(many, -1)[:, rim.coords].astype(np.float32)
    means, known = rim.means(flows.reshape(many, -1, 2)[:, rim.coords], shown)
    rows, columns = np.divmod(rim.cells, rim.shape[1])
    across, down = _side_coords(columns, rim.cell_px, width), _side_coords(rows, rim.cell_px, height)
    motions = _affine(across, down, means, known)
    rest = means - _apply_motion(motions[:, :, None], across, down)
    far = (rest**2).sum(axis=-1) / np.float32(_FOLLOWS_PX**2)
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
    """Where the middles of cells of `each_px` pixels lie along a side: -1 at its start, 1 at its end."""
    return ((numbers * 2 + 1) * (each_px / whole_px) - 1).astype(np.float32)


def _apply_motion(motion: Floats, across: Floats, down: Floats) -> Floats:
    """What a motion `(3, 2)`, or each of `(R, 3, 1, 2)`, does at places."""
    one, by_x, by_y = np.moveaxis(motion, -3 if motion.ndim > 2 else 0, 0)
    return cast(Floats, one + across[..., None] * by_x + down[..., None] * by_y)


def _affine(across: Floats, down: Floats, flows: Floats, known: Floats) -> Floats:
    """The motions `(R, 3, 2)`, constant, by `across` and by `down`, that most of each flow `(R, N, 2)` follows.

    Least squares, weighted anew each round by how well the last one fits (Geman-McClure, ever narrower).
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
    """A look's `gray` as seen at `coords`."""
    return cast(Pixels, cv2.remap(gray, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))  # type: ignore[call-overload]


def coords_of(box: Crop) -> Coords:
    """Where the pixels of a box lie."""
    return pixel_grid(*box.size) + point(box.left, box.top)
