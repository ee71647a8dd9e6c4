"""How a driving face moves: optical flow from a reference frame, taken apart into the head's motion and the face's.

Everything is measured on a view, `SIDE_PX` pixels a side, of where the face was on the reference frame. Flow (DIS,
Kroeger et al. 2016) points back, from a frame to the reference: what a pixel shows is looked up there.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.face_boxes import Pixels
from pipelines.animation.face_view import (
    SIDE_PX,
    Floats,
    Matrix,
    Placement,
    ellipse,
    from_pixels,
    gray_of,
    inverse,
    joined,
    sampled,
)
from pipelines.animation.fields import FACE, FaceField, light
from pipelines.animation.open_mouth import Opening

_STRIDE, _HALF = 3, 0.5
_RANSAC_PX, _RANSAC_ROUNDS = 1.5, 500
_FEWEST_POINTS = 100
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

    Holds some views; nothing grows.
    """

    def __init__(self, reference: Pixels, placed: Placement) -> None:
        self._placed = placed
        self._pixels = placed.view(reference)
        self._gray = gray_of(self._pixels)
        self._flow_of = _flow_engine()
        self._opening_of = Opening(self._pixels, placed.slit)
        self._field = FaceField()
        self._inside = ellipse(FACE, 0.05)
        rows, columns = np.nonzero(self._inside[::_STRIDE, ::_STRIDE] > _HALF)
        self._points = np.stack((columns, rows), axis=1).astype(np.float64) * _STRIDE
        self.restart(placed)

    def restart(self, window: Placement) -> None:
        """Forget the frames before; `window` is where about the face is on the frames to come."""
        self._window = window
        from_window = joined(window.to_picture(), from_pixels())
        self._to_window = joined(inverse(from_window), joined(self._placed.to_picture(), from_pixels()))
        self._trust = 1.0
        self._forget()

    def _forget(self) -> None:
        self._flow: Floats = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
        self._head: Matrix = np.eye(2, 3)
        self._opening = np.zeros((SIDE_PX, SIDE_PX), np.float32)
        self._light = np.zeros((SIDE_PX, SIDE_PX), np.float32)

    def follow(self, frame: Pixels) -> Motion | None:
        """The motion of `frame` `(H, W, 3)` uint8 RGB, of the reference's size; None where it is the reference."""
        pixels = self._window.view(frame)
        if self._window == self._placed and np.array_equal(pixels, self._pixels):
            self.restart(self._window)
            return None
        pixels = self._lit_alike(pixels)
        self._flow = cast(Floats, self._flow_of.calc(gray_of(pixels), self._gray, self._flow.copy()))
        self._head = _stiff(self._flow, self._points, self._head)
        rest = _rest(self._flow, self._head)
        shown = _put_back(pixels, self._head)
        unlike = gray_of(shown) - sampled(self._gray, rest)
        self._opening = _FRESH * self._opening_of.hull(shown, rest) + (1 - _FRESH) * self._opening
        sure = np.exp(-((unlike / _SURE) ** 2)) * self._inside * (1 - self._opening)
        self._trust = min(self._alike(unlike), self._trust + 1 / _BACK_FRAMES)
        head, face = joined(self._head, self._to_window), self._field.drawn(rest, sure)
        motion = Motion(head, face, self._opening, shown, self._trust)
        self._light += light(unlike, sure)
        if self._trust == 0:
            # Another shot, or nobody: what comes next has nothing to do with this.
            self._forget()
        return motion

    def _lit_alike(self, pixels: Pixels) -> Pixels:
        """`pixels` in the light of the reference, as far as the last frame told: flow takes brightness for a place."""
        lighter = cv2.warpAffine(
            self._light, inverse(self._head), (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE
        )
        return cast(Pixels, cv2.subtract(pixels, cv2.merge((lighter,) * 3), dtype=cv2.CV_8U))

    def _alike(self, unlike: Floats) -> float:
        """1 where enough of the face looks like the reference, 0 where too little does."""
        share = float((np.abs(unlike) < _SURE)[self._inside > _HALF].mean())
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


def _stiff(flow: Floats, points: NDArray[np.float64], last: Matrix) -> Matrix:
    """The similarity back to the reference that most of the face follows; `last` where too little of it is seen.

    `points` `(N, 2)` are the face's on the reference.
    """
    back = inverse(last)
    here = np.rint(points @ back[:, :2].T + back[:, 2]).astype(np.int64)
    here = here[((here >= 0) & (here < SIDE_PX)).all(axis=1)]
    if len(here) < _FEWEST_POINTS:
        return last
    there = here + flow[here[:, 1], here[:, 0]]
    found, _ = cv2.estimateAffinePartial2D(
        here.astype(np.float32),
        there.astype(np.float32),
        ransacReprojThreshold=_RANSAC_PX,
        maxIters=_RANSAC_ROUNDS,
    )
    return last if found is None else cast(Matrix, found)


def _put_back(pixels: Pixels, head: Matrix) -> Pixels:
    side = SIDE_PX, SIDE_PX
    return cast(Pixels, cv2.warpAffine(pixels, head, side, borderMode=cv2.BORDER_REPLICATE))


def _rest(flow: Floats, head: Matrix) -> Floats:
    """What is left of `flow` once the head is put back, by where the head then is."""
    (xx, xy, x0), (yx, yy, y0) = (inverse(head) - np.eye(2, 3)).astype(np.float32)
    across = np.arange(SIDE_PX, dtype=np.float32)
    down = across[:, None]
    rest = cv2.warpAffine(flow, head, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE)
    rest[..., 0] += xx * across + xy * down + x0
    rest[..., 1] += yx * across + yy * down + y0
    return cast(Floats, rest)
