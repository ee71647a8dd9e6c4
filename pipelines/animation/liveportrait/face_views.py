"""Views of a face: its square on each frame, its presence, and the openness of eyes and lips."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.animation.faces.aligned_view import FacePlacement
from pipelines.animation.faces.alignment import fit
from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import Square, landmark_bounds
from pipelines.animation.faces.onnx_landmarks import OnnxDetector
from pipelines.animation.faces.selection import estimate_landmark_square
from pipelines.animation.faces.track import FaceTrack
from pipelines.animation.liveportrait.frame_records import FrameRecords
from pipelines.animation.motion.keypoints import Floats, eye_ratios, lip_ratios
from pipelines.vision.types import Pixels

LANDMARK_COLUMNS = 7
"""Numbers per face and frame: x, y, side and angle of the square around its landmarks, openness of both eyes and of
the lips."""
Openness = Floats
"""(N, 3): of the eye at the left of the picture, of the eye at its right, and of the lips."""


class FaceView(Protocol):
    """One face, frame by frame."""

    def square(self, frame: int) -> Square:
        """Return the square around its landmarks; where it is gone, an estimate."""
        ...

    def presence(self, frame: int) -> float:
        """Return 1 where it is there, 0 where it is gone, and a fade over some frames before and after."""
        ...

    def openness(self, start: int, stop: int) -> Openness | None:
        """Return the openness on frames `[start, stop)`; None without landmarks."""
        ...


@dataclass(frozen=True, eq=False)
class StillView:
    """Face of a picture."""

    fixed: Square
    ratios: Openness | None
    """(1, 3)"""

    @classmethod
    def of(cls, picture: Pixels, box: FaceBox, landmarks: OnnxDetector | None) -> "StillView":
        """View the face in `box`: by its landmarks where they are detected, by fitting a template otherwise."""
        found = None if landmarks is None else detect_landmarks(landmarks, picture, box)
        if found is None:
            return cls(estimate_landmark_square(fit(picture, box)), None)
        points, marks = found
        return cls(landmark_bounds(points), openness_of(marks))

    def square(self, frame: int) -> Square:
        """Return the same square for every frame."""
        return self.fixed

    def presence(self, frame: int) -> float:
        """Return 1 for every frame."""
        return 1.0

    def openness(self, start: int, stop: int) -> Openness | None:
        """Return the openness of the picture."""
        return self.ratios


@dataclass(frozen=True, eq=False)
class TrackView:
    """Face that is tracked by its box."""

    track: FaceTrack

    def square(self, frame: int) -> Square:
        """Estimate the square around the landmarks from the box, upright."""
        return estimate_landmark_square(FacePlacement.from_box(self.track.box(frame)))

    def presence(self, frame: int) -> float:
        """Return the presence of the track."""
        return self.track.presence(frame)

    def openness(self, start: int, stop: int) -> Openness | None:
        """Return None: boxes have no openness."""
        return None


@dataclass(frozen=True, eq=False)
class LandmarkView:
    """Face that is tracked by its landmarks; `rows` keeps them from column `first` on."""

    track: FaceTrack
    rows: FrameRecords
    first: int

    def square(self, frame: int) -> Square:
        """Return the square around the landmarks; where there are none, an estimate from the box."""
        row = self._rows(frame, frame + 1)[0]
        if np.isnan(row[0]):
            return TrackView(self.track).square(frame)
        x, y, side, angle = (float(number) for number in row[:4])
        return Square(x, y, side, angle)

    def presence(self, frame: int) -> float:
        """Return the presence of the track; 0 before its landmarks were first detected."""
        return 0.0 if np.isnan(self._rows(frame, frame + 1)[0, 0]) else self.track.presence(frame)

    def openness(self, start: int, stop: int) -> Openness | None:
        """Return the openness by the landmarks; shut where there are none, since nothing is drawn from those frames."""
        ratios: Openness = np.nan_to_num(self._rows(start, stop)[:, 4:])
        return ratios

    def _rows(self, start: int, stop: int) -> Floats:
        return self.rows.between(start, stop)[:, self.first : self.first + LANDMARK_COLUMNS]


def detect_landmarks(faces: OnnxDetector, picture: Pixels, box: FaceBox) -> tuple[Floats, Floats] | None:
    """Detect the 106 and the 203 landmarks of the face in `box`; None where the detector finds no face there."""
    for found in faces.detect_faces(picture):
        if np.hypot(found.box.x - box.x, found.box.y - box.y) < box.size / 2:
            points = faces.points(picture, found)
            return points, faces.landmarks(picture, points)
    return None


def openness_of(landmarks: Floats) -> Openness:
    """Measure the openness (1, 3) from one face's 203 landmarks."""
    marks = landmarks[None]
    return np.concatenate([eye_ratios(marks), lip_ratios(marks)], axis=1)


def landmark_record(landmarks: Floats | None) -> Floats:
    """Pack one face's 203 landmarks as (7,); NaN without any."""
    if landmarks is None:
        return np.full(LANDMARK_COLUMNS, np.nan, np.float32)
    square = landmark_bounds(landmarks)
    numbers = (square.x, square.y, square.side, square.angle)
    return np.concatenate([np.array(numbers, np.float32), openness_of(landmarks)[0]])
