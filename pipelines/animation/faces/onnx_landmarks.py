"""Faces and landmarks by published ONNX models: an extra (`requirements-faces.txt`), used where it is installed.

`det_10g.onnx` and `2d106det.onnx` (InsightFace) are for non-commercial research only and are used only after that was
accepted; `landmark.onnx` is LivePortrait's. None of them is shipped.

Inputs and outputs are as published. The detector (SCRFD, Guo et al. 2021) takes `(pixel - 127.5) / 128` and returns,
for strides 8, 16 and 32 and two anchors per position, a score, the distances of the four sides of a box, and five
points. The 106 points are from -1 to 1 and made from raw pixels, the 203 landmarks from 0 to 1 and made from pixels
scaled to 1. All of this was tried on synthetic models only.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import (
    Square,
    extract_crop,
    inverse,
    landmark_bounds,
    transform_points,
)
from pipelines.animation.motion.keypoints import Floats
from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.nets import onnx
from pipelines.vision.types import Pixels
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find

DETECTOR, POINTS, LANDMARKS = "det_10g.onnx", "2d106det.onnx", "landmark.onnx"
"""Published file names: face detector, 106 points, 203 landmarks."""
MODEL = "insightface"

_DETECTOR_PX, _MIN_SCORE, _MAX_IOU = 512, 0.15, 0.4
"""Side of the detector's input, lowest score of a face, and overlap (IoU) above which the lower score is dropped."""
_STRIDES, _ANCHORS = (8, 16, 32), 2
"""Strides of the detector's feature maps, and anchors per position, as published."""
_POINTS_PX, _POINTS_GROWTH = 192, 1.5
"""Side of the input for 106 points, and its size relative to the face, as published."""
_LANDMARKS_PX, _LANDMARKS_GROWTH, _LANDMARKS_SHIFT = 224, 1.5, -0.1
"""Side of the input for 203 landmarks, its size relative to the known landmarks, and its shift down in sides, as
published."""
_BOX_SIDE, _BOX_RISE = 2.48, 0.21
"""Side of a `FaceBox`, and how far its centre lies above the midpoint of eyes and mouth, in distances of these two."""


def find_files(folder: Path | None = None) -> dict[str, Path] | None:
    """Find the model files by their published names; `landmark.onnx` only where all of LivePortrait is there.

    None where one of the pair is missing, their licence is not accepted, or onnxruntime is not installed. A `folder`
    replaces the usual places.
    """
    if not licences.is_accepted(MODEL) or importlib.util.find_spec("onnxruntime") is None:
        return None
    try:
        files = find(MODEL, folder)
    except (WeightsMissing, WeightsBroken):
        return None
    try:
        extra = find("liveportrait", folder)
    except (WeightsMissing, WeightsBroken):
        return files
    return files | {name: path for name, path in extra.items() if name == LANDMARKS}


@dataclass(frozen=True, eq=False)
class OnnxFace:
    """Face as the detector reports it: left, top, right and bottom; score; eyes, nose and mouth corners `(5, 2)`."""

    sides: Floats
    score: float
    points: Floats

    @property
    def box(self) -> FaceBox:
        """The square around it, by its eyes and the corners of its mouth."""
        eyes, mouth = self.points[:2].mean(axis=0), self.points[3:].mean(axis=0)
        eye_mouth = float(np.hypot(*(mouth - eyes)))
        x, y = (eyes + mouth) / 2 - (mouth - eyes) * _BOX_RISE
        return FaceBox(float(x), float(y), _BOX_SIDE * eye_mouth, max(1, round(100 * self.score)))


class OnnxDetector:
    """Detector of faces and of their 106 or 203 landmarks. Each model is loaded on first use."""

    name, licence = "InsightFace detector", PUBLISHED[MODEL].licence.sentence

    def __init__(self, files: Mapping[str, Path]) -> None:
        """`files` as `files_in` gives them."""
        self._files = files

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """Detect the faces of `picture` `(H, W, 3)` uint8 RGB, largest first."""
        return [found.box for found in self.detect_faces(picture)]

    def detect_small(self, picture: Pixels) -> list[FaceBox]:
        """Return nothing: `detect` finds small faces, too."""
        return []

    def detect_fast(self, picture: Pixels, like: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Detect in the same way: this detector is fast."""
        return self.detect(picture)

    def smallest_px(self, width: int, height: int) -> int | None:
        """Return None: its publishers name no size."""
        return None

    def detect_faces(self, picture: Pixels) -> list[OnnxFace]:
        """Detect faces with their score and points, largest first. Raises WeightsBroken."""
        scale = _DETECTOR_PX / max(picture.shape[:2])
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        padded = np.zeros((_DETECTOR_PX, _DETECTOR_PX, 3), np.uint8)
        padded[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        outputs = self._run(DETECTOR, _blob((padded.astype(np.float32) - 127.5) / 128))
        found = [_rescaled(face, 1 / scale) for face in _decode(outputs, self._files[DETECTOR])]
        return sorted(found, key=lambda face: -_area(face.sides))

    def points(self, picture: Pixels, face: OnnxFace) -> Floats:
        """Return the 106 points `(106, 2)` of a face, in pixels of the picture. Raises WeightsBroken."""
        left, top, right, bottom = face.sides.tolist()
        side = max(right - left, bottom - top) * _POINTS_GROWTH
        matrix = Square((left + right) / 2, (top + bottom) / 2, side).to_crop(_POINTS_PX)
        output = self._run(POINTS, _blob(extract_crop(picture, matrix, _POINTS_PX).astype(np.float32)))[0]
        found = self._reshaped(POINTS, output, 106)
        return transform_points((found + 1) * (_POINTS_PX / 2), inverse(matrix))

    def landmarks(self, picture: Pixels, around: Floats) -> Floats:
        """Return the 203 landmarks `(203, 2)` of a face, in pixels of the picture.

        `around` holds known landmarks: its 106 points, or the 203 of the frame before. Raises WeightsBroken,
        WeightsMissing.
        """
        square = landmark_bounds(around).scaled(_LANDMARKS_GROWTH, down=_LANDMARKS_SHIFT)
        matrix = square.to_crop(_LANDMARKS_PX)
        outputs = self._run(
            LANDMARKS, _blob(extract_crop(picture, matrix, _LANDMARKS_PX).astype(np.float32) / 255)
        )
        found = self._reshaped(LANDMARKS, outputs[2] if len(outputs) > 2 else outputs[-1], 203)
        return transform_points(found * _LANDMARKS_PX, inverse(matrix))

    def _reshaped(self, name: str, output: Floats, count: int) -> Floats:
        if output.size != count * 2:
            raise onnx.not_published(self._files[name])
        return output.reshape(count, 2).astype(np.float32)

    def _run(self, name: str, blob: Floats) -> list[Floats]:
        if name not in self._files:
            raise WeightsMissing(
                f"Landmarks need {name}, which was not found.",
                "Put it beside the weights of LivePortrait, or leave off the options that need landmarks.",
                "weights.landmarks",
            )
        return onnx.run(self._files[name], blob)


def _decode(outputs: list[Floats], path: Path) -> list[OnnxFace]:
    """Return the faces with a sufficient score in pixels of the padded picture, without overlapping ones."""
    found: list[OnnxFace] = []
    for stride in _STRIDES:
        side = _DETECTOR_PX // stride
        count = side * side * _ANCHORS
        parts = {
            a.size // count: a.reshape(count, -1) for a in outputs if a.size in (count, 4 * count, 10 * count)
        }
        if set(parts) != {1, 4, 10}:
            raise onnx.not_published(path)
        rows, columns = np.mgrid[:side, :side].astype(np.float32) * stride
        anchors = np.repeat(np.stack((columns, rows), axis=-1).reshape(-1, 2), _ANCHORS, axis=0)
        scores = parts[1][:, 0]
        for index in np.flatnonzero(scores >= _MIN_SCORE):
            upper_left, eye_mouth = parts[4][index, :2] * stride, parts[4][index, 2:] * stride
            sides = np.concatenate((anchors[index] - upper_left, anchors[index] + eye_mouth))
            found.append(
                OnnxFace(
                    sides, float(scores[index]), parts[10][index].reshape(5, 2) * stride + anchors[index]
                )
            )
    kept: list[OnnxFace] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_iou(face.sides, other.sides) <= _MAX_IOU for other in kept):
            kept.append(face)
    return kept


def _iou(first: Floats, second: Floats) -> float:
    """Return intersection over union."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    intersection = float(np.prod(np.maximum(high - low, 0)))
    return intersection / max(1e-6, _area(first) + _area(second) - intersection)


def _area(sides: Floats) -> float:
    return float(np.prod(sides[2:] - sides[:2]))


def _rescaled(face: OnnxFace, times: float) -> OnnxFace:
    return OnnxFace(face.sides * times, face.score, face.points * times)


def _blob(pixels: NDArray[Any]) -> Floats:
    """Return one picture as a batch, channels first, float32."""
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[None])
