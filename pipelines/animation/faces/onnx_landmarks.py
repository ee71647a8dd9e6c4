"""Faces and landmarks by published ONNX models: an extra (`requirements-faces.txt`), taken where it is there.

`det_10g.onnx` and `2d106det.onnx` (InsightFace) are for non-commercial research only and taken by nobody who has
not accepted that; `landmark.onnx` is LivePortrait's. None of them is shipped.

Of the models, what they answer is as published: a detector (SCRFD, Guo et al. 2021) of `(pixel - 127.5) / 128` says
for strides 8, 16 and 32 and two anchors a place a score, how far the sides of a box are, and where five points are;
106 points of the pixels as they are lie within -1 to 1, 203 of pixels up to 1 within 0 to 1. That was tried on made
files only.
"""

import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import Square, extract_crop, inverse, landmark_bounds, transform_points
from pipelines.errors import BadInput, WeightsBroken, WeightsMissing
from pipelines.stages import Pixels
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find

Floats = NDArray[np.float32]

DETECTOR, POINTS, LANDMARKS = "det_10g.onnx", "2d106det.onnx", "landmark.onnx"
MODEL = "insightface"

_DETECTOR_PX, _MIN_SCORE, _MAX_IOU = 512, 0.15, 0.4
_STRIDES, _ANCHORS = (8, 16, 32), 2
_POINTS_PX, _POINTS_GROWTH = 192, 1.5
_LANDMARKS_PX, _LANDMARKS_GROWTH, _LANDMARKS_SHIFT = 224, 1.5, -0.1
_BOX_SIDE, _BOX_RISE = 2.48, 0.21
"""Of a `FaceBox`, in distances of the eyes' middle from the mouth's: its side, and how far up its middle lies."""


def find_files(folder: Path | None = None) -> dict[str, Path] | None:
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
        extra = find("liveportrait", folder)
    except (WeightsMissing, WeightsBroken):
        return files
    return files | {name: path for name, path in extra.items() if name == LANDMARKS}


@dataclass(frozen=True, eq=False)
class OnnxFace:
    """A face as the detector answers: left, top, right and bottom, its score, and eyes, nose and mouth `(5, 2)`."""

    sides: Floats
    score: float
    points: Floats

    @property
    def box(self) -> FaceBox:
        """The square about it, by its eyes and the corners of its mouth."""
        eyes, mouth = self.points[:2].mean(axis=0), self.points[3:].mean(axis=0)
        far = float(np.hypot(*(mouth - eyes)))
        x, y = (eyes + mouth) / 2 - (mouth - eyes) * _BOX_RISE
        return FaceBox(float(x), float(y), _BOX_SIDE * far, max(1, round(100 * self.score)))


class OnnxDetector:
    """Finds faces, and 106 or 203 landmarks of one. A model is loaded when it is first asked."""

    name, licence = "InsightFace detector", PUBLISHED[MODEL].licence.sentence

    def __init__(self, files: Mapping[str, Path]) -> None:
        """`files` as `files_in` gives them."""
        self._files = files

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """The faces of `picture` `(H, W, 3)` uint8 RGB, the largest first."""
        return [found.box for found in self.detect_faces(picture)]

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """The same: this detector is quick."""
        return self.detect(picture)

    def detect_faces(self, picture: Pixels) -> list[OnnxFace]:
        """The faces with all that the detector says of them, the largest first. Raises WeightsBroken."""
        scale = _DETECTOR_PX / max(picture.shape[:2])
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        padded = np.zeros((_DETECTOR_PX, _DETECTOR_PX, 3), np.uint8)
        padded[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        outputs = self._run(DETECTOR, _blob((padded.astype(np.float32) - 127.5) / 128))
        found = [_rescaled(face, 1 / scale) for face in _decode(outputs, self._files[DETECTOR])]
        return sorted(found, key=lambda face: -_area(face.sides))

    def points(self, picture: Pixels, face: OnnxFace) -> Floats:
        """The 106 points `(106, 2)` of a face, in pixels of the picture. Raises WeightsBroken."""
        left, top, right, bottom = face.sides.tolist()
        side = max(right - left, bottom - top) * _POINTS_GROWTH
        matrix = Square((left + right) / 2, (top + bottom) / 2, side).to_crop(_POINTS_PX)
        output = self._run(POINTS, _blob(extract_crop(picture, matrix, _POINTS_PX).astype(np.float32)))[0]
        found = self._reshaped(POINTS, output, 106)
        return transform_points((found + 1) * (_POINTS_PX / 2), inverse(matrix))

    def landmarks(self, picture: Pixels, around: Floats) -> Floats:
        """The 203 landmarks `(203, 2)` of a face, in pixels of the picture. Raises WeightsBroken, WeightsMissing.

        `around` are landmarks that are known of it: its 106 points, or the 203 of the frame before.
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
            raise _not_published(self._files[name])
        return output.reshape(count, 2).astype(np.float32)

    def _run(self, name: str, blob: Floats) -> list[Floats]:
        if name not in self._files:
            raise WeightsMissing(
                f"Landmarks need {name}, which was not found.",
                "It lies beside the weights of LivePortrait; or choose what needs no landmarks.",
            )
        session = _session(self._files[name])
        try:
            return [np.asarray(output) for output in session.run(None, {session.get_inputs()[0].name: blob})]
        except _runtime_errors() as error:
            raise _not_published(self._files[name]) from error


def _decode(outputs: list[Floats], path: Path) -> list[OnnxFace]:
    """The faces that are sure enough, overlapping ones left out, in pixels of the framed picture."""
    found: list[OnnxFace] = []
    for stride in _STRIDES:
        side = _DETECTOR_PX // stride
        count = side * side * _ANCHORS
        parts = {
            a.size // count: a.reshape(count, -1) for a in outputs if a.size in (count, 4 * count, 10 * count)
        }
        if set(parts) != {1, 4, 10}:
            raise _not_published(path)
        rows, columns = np.mgrid[:side, :side].astype(np.float32) * stride
        anchors = np.repeat(np.stack((columns, rows), axis=-1).reshape(-1, 2), _ANCHORS, axis=0)
        scores = parts[1][:, 0]
        for index in np.flatnonzero(scores >= _MIN_SCORE):
            near, far = parts[4][index, :2] * stride, parts[4][index, 2:] * stride
            sides = np.concatenate((anchors[index] - near, anchors[index] + far))
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
    """Intersection over union."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    intersection = float(np.prod(np.maximum(high - low, 0)))
    return intersection / max(1e-6, _area(first) + _area(second) - intersection)


def _area(sides: Floats) -> float:
    return float(np.prod(sides[2:] - sides[:2]))


def _rescaled(face: OnnxFace, times: float) -> OnnxFace:
    return OnnxFace(face.sides * times, face.score, face.points * times)


def _blob(pixels: NDArray[Any]) -> Floats:
    """Channels first, one picture, float32."""
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[None])


@functools.cache
def _session(path: Path) -> Any:
    """The model at `path`, on the CPU, by one thread. Raises WeightsBroken, BadInput where the extra is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BadInput(
            "Landmarks by ONNX need onnxruntime, which is not installed.",
            "`pip install -r requirements-faces.txt`, or give a box of the face.",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise _not_published(path) from error


def _runtime_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its exceptions have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (getattr(state, name) for name in dir(state))
    return tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))


def _not_published(path: Path) -> WeightsBroken:
    return WeightsBroken(
        f"{path} is not the published {path.name}.",
        "Fetch it again, or remove it to use the built-in face box.",
    )
