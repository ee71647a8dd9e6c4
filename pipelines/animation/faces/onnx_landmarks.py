"""Faces and landmarks by published ONNX models: an extra (`requirements-faces.txt`), taken where it is there.

`det_10g.onnx` and `2d106det.onnx` (InsightFace) are for non-commercial research only and taken by nobody who has
not accepted that; `landmark.onnx` is LivePortrait's. None of them is shipped.

Of the models, what they answer is as published: a detector (SCRFD, Guo et al. 2021) of `(pixel - 127.5) / 128` says
for strides 8, 16 and 32 and two anchors a place a score, how far the sides of a box are, and where five points are;
106 points of the pixels as they are lie within -1 to 1, 203 of pixels up to 1 within 0 to 1. That was tried on made
files only.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import Square, bounds, cut, inverse, mapped
from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.nets import onnx
from pipelines.vision.types import Pixels
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find

Floats = NDArray[np.float32]

DETECTOR, POINTS, LANDMARKS = "det_10g.onnx", "2d106det.onnx", "landmark.onnx"
MODEL = "insightface"

_SIDE, _LEAST_SCORE, _OVERLAP = 512, 0.15, 0.4
_STRIDES, _ANCHORS = (8, 16, 32), 2
_POINTS_SIDE, _POINTS_GROWTH = 192, 1.5
_LANDMARKS_SIDE, _LANDMARKS_GROWTH, _LANDMARKS_UP = 224, 1.5, -0.1
_SIZE, _ABOVE = 2.48, 0.21
"""Of a `FaceBox`, in distances of the eyes' middle from the mouth's: its side, and how far up its middle lies."""


def files_in(folder: Path | None = None) -> dict[str, Path] | None:
    """The files by their published names, `landmark.onnx` only where all of LivePortrait is there.

    None where the pair is missing, its licence is not accepted, or onnxruntime is not installed. Where a `folder` is
    given no other counts; otherwise the usual places do.
    """
    if not licences.is_accepted(MODEL) or importlib.util.find_spec("onnxruntime") is None:
        return None
    try:
        files = find(MODEL, folder)
    except (WeightsMissing, WeightsBroken):
        return None
    try:
        more = find("liveportrait", folder)
    except (WeightsMissing, WeightsBroken):
        return files
    return files | {name: path for name, path in more.items() if name == LANDMARKS}


@dataclass(frozen=True, eq=False)
class Detected:
    """A face as the detector answers: left, top, right and bottom, its score, and eyes, nose and mouth `(5, 2)`."""

    sides: Floats
    score: float
    points: Floats

    @property
    def box(self) -> FaceBox:
        """The square about it, by its eyes and the corners of its mouth."""
        eyes, mouth = self.points[:2].mean(axis=0), self.points[3:].mean(axis=0)
        far = float(np.hypot(*(mouth - eyes)))
        x, y = (eyes + mouth) / 2 - (mouth - eyes) * _ABOVE
        return FaceBox(float(x), float(y), _SIZE * far, max(1, round(100 * self.score)))


class OnnxDetector:
    """Finds faces, and 106 or 203 landmarks of one. A model is loaded when it is first asked."""

    name, licence = "InsightFace detector", PUBLISHED[MODEL].licence.sentence

    def __init__(self, files: Mapping[str, Path]) -> None:
        """`files` as `files_in` gives them."""
        self._files = files

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """The faces of `picture` `(H, W, 3)` uint8 RGB, the largest first."""
        return [found.box for found in self.detect_with_points(picture)]

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """The same: this detector is quick."""
        return self.detect(picture)

    def detect_with_points(self, picture: Pixels) -> list[Detected]:
        """The faces with all that the detector says of them, the largest first. Raises WeightsBroken."""
        share = _SIDE / max(picture.shape[:2])
        size = [max(1, round(side * share)) for side in picture.shape[1::-1]]
        framed = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        framed[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        answers = self._asked(DETECTOR, _blob((framed.astype(np.float32) - 127.5) / 128))
        found = [_scaled(one, 1 / share) for one in _decoded(answers, self._files[DETECTOR])]
        return sorted(found, key=lambda one: -_area(one.sides))

    def points(self, picture: Pixels, face: Detected) -> Floats:
        """The 106 points `(106, 2)` of a face, in pixels of the picture. Raises WeightsBroken."""
        left, top, right, bottom = face.sides.tolist()
        side = max(right - left, bottom - top) * _POINTS_GROWTH
        matrix = Square((left + right) / 2, (top + bottom) / 2, side).to_crop(_POINTS_SIDE)
        answer = self._asked(POINTS, _blob(cut(picture, matrix, _POINTS_SIDE).astype(np.float32)))[0]
        found = self._shaped(POINTS, answer, 106)
        return mapped((found + 1) * (_POINTS_SIDE / 2), inverse(matrix))

    def landmarks(self, picture: Pixels, around: Floats) -> Floats:
        """The 203 landmarks `(203, 2)` of a face, in pixels of the picture. Raises WeightsBroken, WeightsMissing.

        `around` are landmarks that are known of it: its 106 points, or the 203 of the frame before.
        """
        square = bounds(around).grown(_LANDMARKS_GROWTH, down=_LANDMARKS_UP)
        matrix = square.to_crop(_LANDMARKS_SIDE)
        answers = self._asked(
            LANDMARKS, _blob(cut(picture, matrix, _LANDMARKS_SIDE).astype(np.float32) / 255)
        )
        found = self._shaped(LANDMARKS, answers[2] if len(answers) > 2 else answers[-1], 203)
        return mapped(found * _LANDMARKS_SIDE, inverse(matrix))

    def _shaped(self, name: str, answer: Floats, count: int) -> Floats:
        if answer.size != count * 2:
            raise onnx.not_published(self._files[name])
        return answer.reshape(count, 2).astype(np.float32)

    def _asked(self, name: str, blob: Floats) -> list[Floats]:
        if name not in self._files:
            raise WeightsMissing(
                f"Landmarks need {name}, which was not found.",
                "It lies beside the weights of LivePortrait; or choose what needs no landmarks.",
            )
        return onnx.run(self._files[name], blob)


def _decoded(answers: list[Floats], path: Path) -> list[Detected]:
    """The faces that are sure enough, overlapping ones left out, in pixels of the framed picture."""
    found: list[Detected] = []
    for stride in _STRIDES:
        side = _SIDE // stride
        count = side * side * _ANCHORS
        parts = {
            a.size // count: a.reshape(count, -1) for a in answers if a.size in (count, 4 * count, 10 * count)
        }
        if set(parts) != {1, 4, 10}:
            raise onnx.not_published(path)
        rows, columns = np.mgrid[:side, :side].astype(np.float32) * stride
        places = np.repeat(np.stack((columns, rows), axis=-1).reshape(-1, 2), _ANCHORS, axis=0)
        scores = parts[1][:, 0]
        for at in np.flatnonzero(scores >= _LEAST_SCORE):
            near, far = parts[4][at, :2] * stride, parts[4][at, 2:] * stride
            sides = np.concatenate((places[at] - near, places[at] + far))
            found.append(
                Detected(sides, float(scores[at]), parts[10][at].reshape(5, 2) * stride + places[at])
            )
    kept: list[Detected] = []
    for one in sorted(found, key=lambda one: -one.score):
        if all(_shared(one.sides, other.sides) <= _OVERLAP for other in kept):
            kept.append(one)
    return kept


def _shared(first: Floats, second: Floats) -> float:
    """Intersection over union."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    both = float(np.prod(np.maximum(high - low, 0)))
    return both / max(1e-6, _area(first) + _area(second) - both)


def _area(sides: Floats) -> float:
    return float(np.prod(sides[2:] - sides[:2]))


def _scaled(face: Detected, times: float) -> Detected:
    return Detected(face.sides * times, face.score, face.points * times)


def _blob(pixels: NDArray[Any]) -> Floats:
    """Channels first, one picture, float32."""
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[None])
