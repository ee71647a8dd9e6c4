"""Where a hole's background lies in another frame, told from the frames' looks.

The camera's chained motion comes first; optical flow (DIS, Kroeger et al. 2016) finds what is left of it around the
hole; an affine motion and what is left of that, spread smoothly, carry it into the hole.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.holes import Box, Hole, Mask
from pipelines.inpainting.looks import Homography, Look
from pipelines.inpainting.spread import Floats, Spread, median
from pipelines.inpainting.views import Pixels, Places, covered_at, grid, place

_ALL_MOVES = 0.75
_FLOW_LEAST_PX = 16
_CELL_PX = 2
_FEWEST = 8
"""Cells that tell an affine motion."""
_ROUNDS = 5
_FOLLOWS_PX = 1.5
"""Flow that is farther off than this from the common motion counts for little: it is another thing's. Of the look."""


@dataclass(frozen=True, eq=False)
class Target:
    """A hole of a frame and what surrounds it in the frame's look: `gray` and masks cover `hole.wide`.

    `steady` marks the known pixels that follow the camera, `thing` those that do not.
    """

    hole: Hole
    gray: Pixels
    steady: Mask
    thing: Mask

    @cached_property
    def places(self) -> Places:
        """Where its pixels lie in the look."""
        return places_of(self.hole.wide)

    @cached_property
    def rim(self) -> Spread:
        """From what is known around the hole into it."""
        return Spread(self.hole.rim, self.hole.empty[self.hole.inner] > 0, _CELL_PX)


def target(gaze: Look, hole: Hole, moving: Mask) -> Target:
    """`hole` of the frame of `gaze`; `moving` `(h, w)` covers `hole.wide`."""
    known = hole.empty == 0
    thing = moving & known
    # Where all that is known around a hole moves, that is its background.
    moving_share = int(np.count_nonzero(hole.rim & thing[hole.inner])) / max(
        1, int(np.count_nonzero(hole.rim))
    )
    steady = known & ~thing if moving_share < _ALL_MOVES else known
    return Target(hole, gaze.gray[hole.wide.slices], steady, thing)


def background_places(aim: Target, other: Look, camera: Homography, preset: int) -> Places | None:
    """Where each pixel of `aim.hole.tight` lies in the look `other`; None where that cannot be told or none is seen.

    `camera` takes places of the hole's look to places of the other, `preset` is one of DIS's.
    """
    roughly = cast(Places, cv2.perspectiveTransform(aim.places, camera))
    hidden = covered_at(other.covered, roughly) > 0
    if hidden[aim.hole.empty > 0].all():
        return None
    flow = residual_flow(aim, warped(other.gray, roughly), hidden, preset)
    inner = aim.hole.inner
    flow, usable = flow[inner], (aim.steady & ~hidden)[inner]
    moved = _into_hole(aim, flow, usable)
    if moved is None:
        return None
    total = np.where(usable[..., None], flow, moved) + aim.places[inner]
    return cast(Places, cv2.perspectiveTransform(total, camera))


def residual_flow(aim: Target, there: Pixels, hidden: Mask, preset: int) -> Floats:
    """Flow `(h, w, 2)` pixels from the target to `there`, a reference moved onto it and `hidden` in parts.

    Where only one of them shows something, both are made equal: flow finds rest there and is not led astray nearby.
    """
    if max(there.shape) < _FLOW_LEAST_PX or min(there.shape) < _FLOW_LEAST_PX // 2:
        return np.zeros((*there.shape, 2), np.float32)
    empty = aim.hole.empty > 0
    here = np.where(empty, there, aim.gray)
    dis = cv2.DISOpticalFlow.create(preset)
    # A look is small as it is.
    dis.setFinestScale(0)
    flow = dis.calc(here, np.where(hidden & ~empty, aim.gray, there), None)  # type: ignore[call-overload]
    return cast(Floats, flow)


def _into_hole(aim: Target, flow: Floats, usable: Mask) -> Floats | None:
    """The flow `(h, w, 2)` of what surrounds the hole, carried into it; None where too little of it is known."""
    rim, (height, width) = aim.rim, usable.shape
    means, known = rim.means(flow.reshape(-1, 2)[rim.places], usable.ravel()[rim.places].astype(np.float32))
    seen = known > 0
    if np.count_nonzero(seen) < _FEWEST:
        return None
    rows, columns = np.divmod(rim.cells, rim.shape[1])
    across, down = _side(columns, rim.cell_px, width), _side(rows, rim.cell_px, height)
    motion = _affine(across[seen], down[seen], means[seen], known[seen])
    rest = means - _moved(motion, across, down)
    far = (rest**2).sum(axis=1) / np.float32(_FOLLOWS_PX**2)
    smooth = rim.enlarged(rim.field(rest, known / (1 + far) ** 2), usable.shape)
    return smooth + _moved(
        motion, _side(np.arange(width), 1, width)[None], _side(np.arange(height), 1, height)[:, None]
    )


def _side(numbers: NDArray[np.int64], each_px: int, whole_px: int) -> Floats:
    """Where the middles of cells of `each_px` pixels lie along a side: -1 at its start, 1 at its end."""
    return ((numbers * 2 + 1) * (each_px / whole_px) - 1).astype(np.float32)


def _moved(motion: Floats, across: Floats, down: Floats) -> Floats:
    return cast(Floats, motion[0] + across[..., None] * motion[1] + down[..., None] * motion[2])


def _affine(across: Floats, down: Floats, seen: Floats, known: Floats) -> Floats:
    """The motion `(3, 2)`, constant, by `across` and by `down`, that most of the flow `seen` `(N, 2)` follows.

    Least squares, weighted anew each round by how well the last one fits (Geman-McClure, ever narrower).
    """
    basis, flow = np.stack((np.ones_like(across), across, down)).astype(np.float64), seen.T.astype(np.float64)
    off = np.hypot(*(channel - median(channel) for channel in flow))
    narrow = max(0.5, 2 * float(median(off)))
    for _ in range(_ROUNDS):
        weighted = basis * (known * (narrow**2 / (narrow**2 + off**2)) ** 2)
        # Not by BLAS, whose sums depend on its number of threads.
        normal = np.einsum("in,jn->ij", weighted, basis) + np.eye(3) * 1e-4
        motion = cv2.solve(normal, np.einsum("in,cn->ic", weighted, flow), flags=cv2.DECOMP_CHOLESKY)[1]
        off = np.hypot(*(flow - np.einsum("in,ic->cn", basis, motion)))
        narrow = max(0.25, narrow / 2)
    return cast(Floats, motion.astype(np.float32))


def warped(gray: Pixels, places: Places) -> Pixels:
    """A look's `gray` as seen at `places`."""
    return cast(Pixels, cv2.remap(gray, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))  # type: ignore[call-overload]


def places_of(box: Box) -> Places:
    """Where the pixels of a box lie."""
    return grid(*box.size) + place(box.left, box.top)
