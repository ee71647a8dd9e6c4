"""How a driving face moves: optical flow from a reference frame, taken apart into the head's motion and the face's.

Everything is measured on a view, `SIDE_PX` pixels a side, of where the face was on the reference frame. Flow (DIS,
Kroeger et al. 2016) points back, from a frame to the reference: what a pixel shows is looked up there.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import (
    CORE,
    SIDE_PX,
    FacePlacement,
    Floats,
    Matrix,
    ellipse,
    from_pixels,
    gray_of,
    grid,
    inverse,
    joined,
    looked_at,
    sampled,
    shrink_of,
    uncored,
)
from pipelines.animation.warp.flow_fields import FACE, FaceField, light
from pipelines.animation.warp.mouth import Opening
from pipelines.vision.types import Pixels

_TO_VIEW = np.array([[1.0, 0.0, CORE[1].start], [0.0, 1.0, CORE[0].start]])
_TO_CORE = inverse(_TO_VIEW)
_STRIDE, _HALF = 3, 0.5
_RANSAC_PX, _RANSAC_ROUNDS = 1.5, 500
_SURE = 30.0
"""Grey levels by which what flow leads to may well be off."""
_LOST, _FOUND = 0.7, 0.9
"""Shares of the face that look like the reference, below and above which it is lost and found."""
_BACK_FRAMES = 8
_FRESH = 0.65
"""How much of an opening is this frame's; the rest is the last one's, so that its rim does not flicker."""


@dataclass(frozen=True, eq=False)
class Motion:
    """One frame of the driving face.

    `head` `(2, 3)` takes pixels of the view on this frame to where they were on the reference, as one stiff motion.
    `face` `(SIDE_PX, SIDE_PX, 2)` float32 is what else moved, in pixels of the view, once the head is put back;
    `opening` `(SIDE_PX, SIDE_PX)` float32 0 to 1 is what the reference does not show: the inside of the mouth; and
    `shown` `(SIDE_PX, SIDE_PX, 3)` uint8 is the frame with the head put back, in the reference's light.
    """

    head: Matrix
    face: Floats
    opening: Floats
    shown: Pixels
    trust: float = 1.0
    """1 where the face, put back, looks like the reference; 0 where it looks like something else."""


class DrivingFlow:
    """Follows a face from frame to frame. Flow starts from the frame before, so frames come in order.

    Each frame is looked at as the head was on the one before, so that flow tells only what has changed since, and
    only where the face is. Holds some views; nothing grows.
    """

    def __init__(self, reference: Pixels, placed: FacePlacement) -> None:
        self._reference = reference
        self._to_picture = joined(placed.to_picture(), from_pixels())
        view = placed.view(reference)
        self._gray = gray_of(view[CORE])
        self._flow_of = _flow_engine()
        self._opening_of = Opening(np.ascontiguousarray(view[CORE]), placed.slit)
        self._field = FaceField()
        self._inside = ellipse(FACE, 0.05)[CORE]
        self._face = self._inside > _HALF
        rows, columns = np.nonzero(self._face[::_STRIDE, ::_STRIDE])
        self._points = np.stack((columns, rows), axis=1) * _STRIDE
        self.restart(placed)

    def restart(self, window: FacePlacement) -> None:
        """Forget the frames before; `window` is where about the face is on the frames to come."""
        self._begin = joined(inverse(joined(window.to_picture(), from_pixels())), self._to_picture)
        self._shrink = shrink_of(joined(window.to_picture(), from_pixels()))
        self._trust = 1.0
        self._forget()

    def _forget(self) -> None:
        height, width = self._gray.shape
        self._head = self._begin
        self._rest: Floats = np.zeros((height, width, 2), np.float32)
        self._opening = np.zeros((height, width), np.float32)
        self._light = np.zeros((height, width), np.float32)

    def follow(self, frame: Pixels) -> Motion | None:
        """The motion of `frame` `(H, W, 3)` uint8 RGB, of the reference's size; None where it is the reference."""
        if np.array_equal(frame, self._reference):
            self._trust = 1.0
            self._forget()
            return None
        pixels = self._lit_alike(self._stabilised(frame))
        flow = cast(Floats, self._flow_of.calc(gray_of(pixels), self._gray, self._rest))
        step = _stiff(flow, self._points)
        self._head = joined(joined(_TO_VIEW, step), joined(_TO_CORE, self._head))
        self._rest = rest = _rest(flow, step)
        shown = _put_back(pixels, step)
        core = np.ascontiguousarray(shown[CORE])
        unlike = cast(Floats, cv2.subtract(gray_of(core), sampled(self._gray, rest), dtype=cv2.CV_32F))
        self._opening = _FRESH * self._opening_of.hull(core, rest) + (1 - _FRESH) * self._opening
        sure = np.exp(-((unlike / _SURE) ** 2)) * self._inside * (1 - self._opening)
        self._trust = min(self._alike(unlike), self._trust + 1 / _BACK_FRAMES)
        face, opening = self._field.drawn(rest, sure), uncored(self._opening)
        motion = Motion(self._head, face, opening, shown, self._trust)
        self._light += light(unlike, sure)
        if self._trust == 0:
            # Another shot, or nobody: what comes next has nothing to do with this.
            self._forget()
        return motion

    def _stabilised(self, frame: Pixels) -> Pixels:
        """The core of a view of `frame` with the head put back as far as the frame before told."""
        matrix = joined(self._to_picture, joined(inverse(self._head), _TO_VIEW))
        height, width = self._gray.shape
        return looked_at(frame, matrix, (width, height), self._shrink)

    def _lit_alike(self, pixels: Pixels) -> Pixels:
        """`pixels` in the light of the reference, as far as the last frame told: flow takes brightness for a place."""
        return cast(Pixels, cv2.subtract(pixels, cv2.merge((self._light,) * 3), dtype=cv2.CV_8U))

    def _alike(self, unlike: Floats) -> float:
        """1 where enough of the face looks like the reference, 0 where too little does."""
        share = float((np.abs(unlike) < _SURE)[self._face].mean())
        return min(1.0, max(0.0, (share - _LOST) / (_FOUND - _LOST)))


def blended(here: Motion | None, there: Motion | None, share: float) -> Motion | None:
    """`share` 0 to 1 of the way from one motion of a frame to another."""
    if here is None or there is None or share == 0:
        return there if here is None else here
    part = np.float32(share)
    return Motion(
        here.head + (there.head - here.head) * share,
        here.face + (there.face - here.face) * part,
        here.opening + (there.opening - here.opening) * part,
        cast(Pixels, cv2.addWeighted(here.shown, 1 - share, there.shown, share, 0)),
        here.trust + (there.trust - here.trust) * share,
    )


def _flow_engine() -> cv2.DISOpticalFlow:
    """Flow to the finest scale, which blinks need, without a smoothing that doubles its time and shows nowhere."""
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    engine.setFinestScale(0)
    engine.setVariationalRefinementIterations(0)
    return engine


def _stiff(flow: Floats, points: NDArray[np.int64]) -> Matrix:
    """The similarity that most of the face follows to the reference; none where there is none.

    `points` `(N, 2)` are the face's.
    """
    found, _ = cv2.estimateAffinePartial2D(
        points.astype(np.float32),
        points + flow[points[:, 1], points[:, 0]],
        ransacReprojThreshold=_RANSAC_PX,
        maxIters=_RANSAC_ROUNDS,
    )
    return np.eye(2, 3) if found is None else cast(Matrix, found)


def _put_back(pixels: Pixels, step: Matrix) -> Pixels:
    """A view, of what is seen of its core, with the head put back the last `step`."""
    side = SIDE_PX, SIDE_PX
    return cast(Pixels, cv2.warpAffine(pixels, joined(_TO_VIEW, step), side, borderMode=cv2.BORDER_REPLICATE))


def _rest(flow: Floats, step: Matrix) -> Floats:
    """What is left of `flow` once the head is put back, by where the head then is."""
    height, width = flow.shape[:2]
    rest = cv2.warpAffine(flow, step, (width, height), borderMode=cv2.BORDER_REPLICATE)
    stiff = (inverse(step) - np.eye(2, 3)).astype(np.float32)
    return cast(Floats, cv2.add(rest, cv2.transform(grid(height, width), stiff)))
