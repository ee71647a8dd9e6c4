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
    compose,
    ellipse,
    inverse,
    pad_core,
    pixel_grid,
    sample_at,
    shrink_factor,
    to_gray,
    view_to_face,
    warp_view,
)
from pipelines.animation.warp.flow_fields import FACE, FaceField, smooth_brightness
from pipelines.animation.warp.mouth import MouthOpening
from pipelines.stages import Pixels

_TO_VIEW = np.array([[1.0, 0.0, CORE[1].start], [0.0, 1.0, CORE[0].start]])
_TO_CORE = inverse(_TO_VIEW)
_SAMPLE_STRIDE, _INSIDE = 3, 0.5
_RANSAC_PX, _RANSAC_ROUNDS = 1.5, 500
_MAX_DIFFERENCE = 30.0
"""Grey levels by which what flow leads to may well be off."""
_LOST_SHARE, _FOUND_SHARE = 0.7, 0.9
"""Shares of the face that look like the reference, below and above which it is lost and found."""
_RECOVERY_FRAMES = 8
_OPENING_UPDATE = 0.65
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
    aligned: Pixels
    confidence: float = 1.0
    """1 where the face, put back, looks like the reference; 0 where it looks like something else."""


class DrivingFlow:
    """Follows a face from frame to frame. Flow starts from the frame before, so frames come in order.

    Each frame is looked at as the head was on the one before, so that flow tells only what has changed since, and
    only where the face is. Holds some views; nothing grows.
    """

    def __init__(self, reference: Pixels, placed: FacePlacement) -> None:
        self._reference = reference
        self._to_picture = compose(placed.to_picture(), view_to_face())
        view = placed.view(reference)
        self._gray = to_gray(view[CORE])
        self._flow = _make_flow()
        self._mouth = MouthOpening(np.ascontiguousarray(view[CORE]), placed.lip_offset)
        self._field = FaceField()
        self._inside = ellipse(FACE, 0.05)[CORE]
        self._face = self._inside > _INSIDE
        rows, columns = np.nonzero(self._face[::_SAMPLE_STRIDE, ::_SAMPLE_STRIDE])
        self._points = np.stack((columns, rows), axis=1) * _SAMPLE_STRIDE
        self.restart(placed)

    def restart(self, window: FacePlacement) -> None:
        """Forget the frames before; `window` is where about the face is on the frames to come."""
        self._initial_head = compose(inverse(compose(window.to_picture(), view_to_face())), self._to_picture)
        self._shrink = shrink_factor(compose(window.to_picture(), view_to_face()))
        self._confidence = 1.0
        self._reset()

    def _reset(self) -> None:
        height, width = self._gray.shape
        self._head = self._initial_head
        self._residual: Floats = np.zeros((height, width, 2), np.float32)
        self._opening = np.zeros((height, width), np.float32)
        self._light = np.zeros((height, width), np.float32)

    def follow(self, frame: Pixels) -> Motion | None:
        """The motion of `frame` `(H, W, 3)` uint8 RGB, of the reference's size; None where it is the reference."""
        if np.array_equal(frame, self._reference):
            self._confidence = 1.0
            self._reset()
            return None
        pixels = self._match_light(self._stabilise(frame))
        flow = cast(Floats, self._flow.calc(to_gray(pixels), self._gray, self._residual))
        step = _fit_similarity(flow, self._points)
        self._head = compose(compose(_TO_VIEW, step), compose(_TO_CORE, self._head))
        self._residual = residual = _residual(flow, step)
        aligned = _align(pixels, step)
        core = np.ascontiguousarray(aligned[CORE])
        difference = cast(
            Floats, cv2.subtract(to_gray(core), sample_at(self._gray, residual), dtype=cv2.CV_32F)
        )
        self._opening = (
            _OPENING_UPDATE * self._mouth.hull(core, residual) + (1 - _OPENING_UPDATE) * self._opening
        )
        certainty = np.exp(-((difference / _MAX_DIFFERENCE) ** 2)) * self._inside * (1 - self._opening)
        self._confidence = min(self._similarity(difference), self._confidence + 1 / _RECOVERY_FRAMES)
        face, opening = self._field.dense(residual, certainty), pad_core(self._opening)
        motion = Motion(self._head, face, opening, aligned, self._confidence)
        self._light += smooth_brightness(difference, certainty)
        if self._confidence == 0:
            # Another shot, or nobody: what comes next has nothing to do with this.
            self._reset()
        return motion

    def _stabilise(self, frame: Pixels) -> Pixels:
        """The core of a view of `frame` with the head put back as far as the frame before told."""
        matrix = compose(self._to_picture, compose(inverse(self._head), _TO_VIEW))
        height, width = self._gray.shape
        return warp_view(frame, matrix, (width, height), self._shrink)

    def _match_light(self, pixels: Pixels) -> Pixels:
        """`pixels` in the light of the reference, as far as the last frame told: flow takes brightness for a place."""
        return cast(Pixels, cv2.subtract(pixels, cv2.merge((self._light,) * 3), dtype=cv2.CV_8U))

    def _similarity(self, difference: Floats) -> float:
        """1 where enough of the face looks like the reference, 0 where too little does."""
        weight = float((np.abs(difference) < _MAX_DIFFERENCE)[self._face].mean())
        return min(1.0, max(0.0, (weight - _LOST_SHARE) / (_FOUND_SHARE - _LOST_SHARE)))


def blend_motions(first: Motion | None, second: Motion | None, weight: float) -> Motion | None:
    """`share` 0 to 1 of the way from one motion of a frame to another."""
    if first is None or second is None or weight == 0:
        return second if first is None else first
    part = np.float32(weight)
    return Motion(
        first.head + (second.head - first.head) * weight,
        first.face + (second.face - first.face) * part,
        first.opening + (second.opening - first.opening) * part,
        cast(Pixels, cv2.addWeighted(first.aligned, 1 - weight, second.aligned, weight, 0)),
        first.confidence + (second.confidence - first.confidence) * weight,
    )


def _make_flow() -> cv2.DISOpticalFlow:
    """Flow to the finest scale, which blinks need, without a smoothing that doubles its time and shows nowhere."""
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    engine.setFinestScale(0)
    engine.setVariationalRefinementIterations(0)
    return engine


def _fit_similarity(flow: Floats, points: NDArray[np.int64]) -> Matrix:
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


def _align(pixels: Pixels, step: Matrix) -> Pixels:
    """A view, of what is seen of its core, with the head put back the last `step`."""
    side = SIDE_PX, SIDE_PX
    return cast(
        Pixels, cv2.warpAffine(pixels, compose(_TO_VIEW, step), side, borderMode=cv2.BORDER_REPLICATE)
    )


def _residual(flow: Floats, step: Matrix) -> Floats:
    """What is left of `flow` once the head is put back, by where the head then is."""
    height, width = flow.shape[:2]
    residual = cv2.warpAffine(flow, step, (width, height), borderMode=cv2.BORDER_REPLICATE)
    head_flow = (inverse(step) - np.eye(2, 3)).astype(np.float32)
    return cast(Floats, cv2.add(residual, cv2.transform(pixel_grid(height, width), head_flow)))
