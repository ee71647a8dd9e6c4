"""Where a hole's background lies in another frame.

The camera's chained motion comes first; optical flow (DIS, Kroeger et al. 2016) finds what is left of it around the
hole; an affine motion and a membrane over the rest carry it into the hole.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.holes import Box, Hole, Mask
from pipelines.inpainting.looks import Homography
from pipelines.inpainting.membrane import Floats, coarse_membrane
from pipelines.inpainting.views import Pixels, Places, View, covered_at, grid

_ALL_MOVES = 0.75
_FLOW_LEAST_PX = 16
_STRIDE = 4
_FEWEST = 24
_ROUNDS = 5
_FOLLOWS_PX = 3.0
"""Flow that is farther off than this from the common motion counts for little: it is another thing's."""


@dataclass(frozen=True, eq=False)
class Target:
    """A hole of a frame, and what surrounds it; `pixels` and `gray` cover `hole.wide`.

    `steady` marks the known pixels that follow the camera, `thing` those that do not.
    """

    hole: Hole
    pixels: Floats
    gray: Pixels
    steady: Mask
    thing: Mask

    @property
    def inner(self) -> Floats:
        """The colours of `hole.tight`."""
        return self.pixels[self.hole.inner]


def target(of: View, hole: Hole, moving: Mask) -> Target:
    """`hole` of `of`; `moving` `(h, w)` covers `hole.wide`."""
    pixels = of.pixels[hole.wide.slices]
    known = hole.mask == 0
    thing = moving & known
    # Where all that is known around a hole moves, that is its background.
    moving_share = int(np.count_nonzero(hole.rim & thing)) / max(1, int(np.count_nonzero(hole.rim)))
    steady = known & ~thing if moving_share < _ALL_MOVES else known
    return Target(hole, pixels.astype(np.float32), gray_of(pixels), steady, thing)


def background_places(aim: Target, reference: View, camera: Homography, preset: int) -> Places | None:
    """Where each pixel of `aim.hole.tight` lies in `reference`; None where that cannot be told or none of it is seen.

    `camera` takes places of the frame to places of the reference, `preset` is one of DIS's. Holds a few float32
    copies of the crop.
    """
    wide = aim.hole.wide
    to_reference = camera @ _shift(wide)
    roughly = cast(Places, cv2.perspectiveTransform(grid(*wide.size), to_reference))
    hidden = covered_at(reference.covered, roughly) > 0
    if hidden[aim.hole.mask > 0].all():
        return None
    there = gray_of(_warped(reference.pixels, roughly))
    flow = residual_flow(aim, there, hidden, preset)
    usable = aim.steady & ~hidden
    common = _affine(flow, usable & aim.hole.rim)
    if common is None:
        return None
    rest = flow - common
    far = (rest[..., 0] ** 2 + rest[..., 1] ** 2) / np.float32(_FOLLOWS_PX**2)
    smooth = coarse_membrane(rest, cast(Floats, usable / (1 + far) ** 2))
    inner = aim.hole.inner
    own = usable[inner][..., None]
    total = grid(*wide.size)[inner] + np.where(own, flow[inner], (common + smooth)[inner])
    return cast(Places, cv2.perspectiveTransform(total, to_reference))


def residual_flow(aim: Target, there: Pixels, hidden: Mask, preset: int) -> Floats:
    """Flow `(h, w, 2)` pixels from the target to `there`, a reference moved onto it and `hidden` in parts.

    Where only one of them shows something, both are made equal: flow finds rest there and is not led astray nearby.
    """
    if max(there.shape) < _FLOW_LEAST_PX or min(there.shape) < _FLOW_LEAST_PX // 2:
        return np.zeros((*there.shape, 2), np.float32)
    empty = aim.hole.mask > 0
    here = np.where(empty, there, aim.gray)
    flow = cv2.DISOpticalFlow.create(preset).calc(here, np.where(hidden & ~empty, aim.gray, there), None)  # type: ignore[call-overload]
    return cast(Floats, flow)


def _affine(flow: Floats, usable: Mask) -> Floats | None:
    """The affine motion `(h, w, 2)` that most of the usable flow follows; None where there is too little.

    Least squares, weighted anew each round by how well the last one fits (Geman-McClure, ever narrower).
    """
    height, width = usable.shape
    rows, columns = np.nonzero(usable[::_STRIDE, ::_STRIDE])
    if len(rows) < _FEWEST:
        return None
    across, down = columns * _STRIDE * 2 / width - 1, rows * _STRIDE * 2 / height - 1
    basis = np.stack((np.ones(len(rows)), across, down), axis=1)
    seen = flow[::_STRIDE, ::_STRIDE][rows, columns].astype(np.float64)
    off = np.hypot(*(seen - np.median(seen, axis=0)).T)
    narrow = max(1.0, 2 * float(np.median(off)))
    for _ in range(_ROUNDS):
        weight = (narrow**2 / (narrow**2 + off**2)) ** 2
        weighted = basis * weight[:, None]
        # Without BLAS, whose sums depend on its number of threads.
        normal = np.einsum("ni,nj->ij", weighted, basis) + np.eye(3) * 1e-6
        motion = np.linalg.solve(normal, np.einsum("ni,nc->ic", weighted, seen))
        off = np.hypot(*(seen - np.einsum("ni,ic->nc", basis, motion)).T)
        narrow = max(0.5, narrow / 2)
    x = np.arange(width, dtype=np.float32)[None, :, None] * 2 / width - 1
    y = np.arange(height, dtype=np.float32)[:, None, None] * 2 / height - 1
    constant, by_x, by_y = motion.astype(np.float32)
    return cast(Floats, constant + x * by_x + y * by_y)


def _warped(pixels: Pixels, places: Places) -> Pixels:
    return cast(Pixels, cv2.remap(pixels, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))  # type: ignore[call-overload]


def gray_of(pixels: Pixels) -> Pixels:
    """Luma `(h, w)` uint8 of RGB."""
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def _shift(box: Box) -> NDArray[np.float64]:
    return np.array([[1, 0, box.left], [0, 1, box.top], [0, 0, 1]], np.float64)
