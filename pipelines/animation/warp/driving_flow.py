"""Motion of a driving face: optical flow from a reference frame, split into the head's motion and the face's.

Everything is measured on a view, `SIDE_PX` pixels a side, of where the face was on the reference frame. Flow (DIS,
Kroeger et al. 2016) is backward: it leads from a pixel of a frame to where the reference shows the same.
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
from pipelines.vision.types import Pixels

_TO_VIEW = np.array([[1.0, 0.0, CORE[1].start], [0.0, 1.0, CORE[0].start]])
"""From pixels of the core to those of the view, and back."""
_TO_CORE = inverse(_TO_VIEW)
_SAMPLE_STRIDE, _INSIDE = 3, 0.5
"""Every third pixel of the face votes for the head's motion; a pixel is in the face where its mask is above the
second."""
_RANSAC_PX, _RANSAC_ROUNDS = 1.5, 500
"""RANSAC of the head's motion: error of an inlier in pixels, and most rounds."""
_MAX_DIFFERENCE = 30.0
"""Grey levels between frame and reference above which the flow is probably wrong."""
_LOST_SHARE, _FOUND_SHARE = 0.7, 0.9
"""Shares of the face that look like the reference, below which it is lost and above which it is found."""
_RECOVERY_FRAMES = 8
"""Frames over which confidence returns after the face was lost."""
_OPENING_UPDATE = 0.65
"""Weight of the current frame in the mouth opening; the rest is the frame before, so that the rim does not flicker."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of one driving frame.

    `head` `(2, 3)` takes pixels of the view on this frame to where they were on the reference, as one similarity
    transform. `face` `(SIDE_PX, SIDE_PX, 2)` float32 is the remaining motion, in pixels of the view, with the head
    aligned; `opening` `(SIDE_PX, SIDE_PX)` float32, 0 to 1, is what the reference does not show: the inside of the
    mouth; and `aligned` `(SIDE_PX, SIDE_PX, 3)` uint8 is the frame with the head aligned, in the light of the
    reference.
    """

    head: Matrix
    face: Floats
    opening: Floats
    aligned: Pixels
    confidence: float = 1.0
    """1 where the aligned face looks like the reference; 0 where it looks like something else."""


class DrivingFlow:
    """Tracker of a face from frame to frame. Flow starts from the previous frame's, so frames come in order.

    Each frame is aligned by the head's motion on the previous one, so that flow measures only what has changed since,
    and only where the face is. Holds some views; nothing grows.
    """

    def __init__(self, reference: Pixels, placement: FacePlacement) -> None:
        self._reference = reference
        self._to_picture = compose(placement.to_picture(), view_to_face())
        view = placement.view(reference)
        self._gray = to_gray(view[CORE])
        self._flow = _make_flow()
        self._mouth = MouthOpening(np.ascontiguousarray(view[CORE]), placement.lip_offset)
        self._field = FaceField()
        self._inside = ellipse(FACE, 0.05)[CORE]
        self._face = self._inside > _INSIDE
        rows, columns = np.nonzero(self._face[::_SAMPLE_STRIDE, ::_SAMPLE_STRIDE])
        self._points = np.stack((columns, rows), axis=1) * _SAMPLE_STRIDE
        self.restart(placement)

    def restart(self, placement: FacePlacement) -> None:
        """Forget the previous frames; `placement` is roughly where the face is on the next ones."""
        self._initial_head = compose(
            inverse(compose(placement.to_picture(), view_to_face())), self._to_picture
        )
        self._shrink = shrink_factor(compose(placement.to_picture(), view_to_face()))
        self._confidence = 1.0
        self._reset()

    def _reset(self) -> None:
        height, width = self._gray.shape
        self._head = self._initial_head
        self._residual: Floats = np.zeros((height, width, 2), np.float32)
        self._opening = np.zeros((height, width), np.float32)
        self._shown = np.zeros((height, width), np.float32)
        self._light = np.zeros((height, width), np.float32)

    def follow(self, frame: Pixels) -> Motion | None:
        """Measure the motion of `frame` `(H, W, 3)` uint8 RGB, as large as the reference; None where it equals that."""
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
        hull, inside = self._mouth.hulls(core, residual)
        self._opening = _OPENING_UPDATE * hull + (1 - _OPENING_UPDATE) * self._opening
        openness = np.float32(self._mouth.openness(core, hull))
        self._shown = _OPENING_UPDATE * openness * inside + (1 - _OPENING_UPDATE) * self._shown
        certainty = np.exp(-((difference / _MAX_DIFFERENCE) ** 2)) * self._inside * (1 - self._opening)
        self._confidence = min(self._similarity(difference), self._confidence + 1 / _RECOVERY_FRAMES)
        face, opening = self._field.dense(residual, certainty), pad_core(self._shown)
        motion = Motion(self._head, face, opening, aligned, self._confidence)
        self._light += smooth_brightness(difference, certainty)
        if self._confidence == 0:
            # Another shot, or nobody: the next frame has nothing to do with this one.
            self._reset()
        return motion

    def _stabilise(self, frame: Pixels) -> Pixels:
        """Render the core of a view of `frame`, aligned by the head's motion on the previous frame."""
        matrix = compose(self._to_picture, compose(inverse(self._head), _TO_VIEW))
        height, width = self._gray.shape
        return warp_view(frame, matrix, (width, height), self._shrink)

    def _match_light(self, pixels: Pixels) -> Pixels:
        """Match the light of the reference as of the previous frame: flow takes a change of brightness for motion."""
        return cast(Pixels, cv2.subtract(pixels, cv2.merge((self._light,) * 3), dtype=cv2.CV_8U))

    def _similarity(self, difference: Floats) -> float:
        """Return 1 where enough of the face looks like the reference, 0 where too little does."""
        share = float((np.abs(difference) < _MAX_DIFFERENCE)[self._face].mean())
        return min(1.0, max(0.0, (share - _LOST_SHARE) / (_FOUND_SHARE - _LOST_SHARE)))


def blend_motions(first: Motion | None, second: Motion | None, weight: float) -> Motion | None:
    """Interpolate between two motions of one frame; `weight` 0 to 1 is that of the second."""
    if first is None or second is None or weight == 0:
        return second if first is None else first
    blend = np.float32(weight)
    return Motion(
        first.head + (second.head - first.head) * weight,
        first.face + (second.face - first.face) * blend,
        first.opening + (second.opening - first.opening) * blend,
        cast(Pixels, cv2.addWeighted(first.aligned, 1 - weight, second.aligned, weight, 0)),
        first.confidence + (second.confidence - first.confidence) * weight,
    )


def _make_flow() -> cv2.DISOpticalFlow:
    """Make a flow down to the finest scale, which blinks need.

    Variational refinement doubles its time and shows nowhere, so it is off.
    """
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    engine.setFinestScale(0)
    engine.setVariationalRefinementIterations(0)
    return engine


def _fit_similarity(flow: Floats, points: NDArray[np.int64]) -> Matrix:
    """Fit the similarity that most of the face follows to the reference; the identity where there is none.

    `points` `(N, 2)` are the pixels of the face to use.
    """
    fitted, _ = cv2.estimateAffinePartial2D(
        points.astype(np.float32),
        points + flow[points[:, 1], points[:, 0]],
        ransacReprojThreshold=_RANSAC_PX,
        maxIters=_RANSAC_ROUNDS,
    )
    return np.eye(2, 3) if fitted is None else cast(Matrix, fitted)


def _align(pixels: Pixels, step: Matrix) -> Pixels:
    """Render a view from the pixels of its core, with the head aligned by the last `step`."""
    side = SIDE_PX, SIDE_PX
    return cast(
        Pixels, cv2.warpAffine(pixels, compose(_TO_VIEW, step), side, borderMode=cv2.BORDER_REPLICATE)
    )


def _residual(flow: Floats, step: Matrix) -> Floats:
    """Return what is left of `flow` after alignment, at the aligned positions."""
    height, width = flow.shape[:2]
    residual = cv2.warpAffine(flow, step, (width, height), borderMode=cv2.BORDER_REPLICATE)
    head_flow = (inverse(step) - np.eye(2, 3)).astype(np.float32)
    return cast(Floats, cv2.add(residual, cv2.transform(pixel_grid(height, width), head_flow)))
