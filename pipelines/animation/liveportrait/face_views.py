"""Where a face is on each frame, how far it is there, and how open its eyes and lips are."""

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
from pipelines.stages import Pixels

LANDMARK_COLUMNS = 7
"""Of a face: x, y, side and angle of the square about its landmarks, openness of both eyes and of the lips."""
Openness = Floats
"""(N, 3): of the eye at the picture's left, of that at its right, and of the lips."""


class FaceView(Protocol):
    """One face, frame by frame."""

    def square(self, frame: int) -> Square:
        """The square about its landmarks; where it is gone, about where it may be."""
        ...

    def presence(self, frame: int) -> float:
        """1 where it is there, 0 where it is gone, in between for some frames before and after."""
        ...

    def openness(self, start: int, stop: int) -> Openness | None:
        """Of frames `[start, stop)`; None without landmarks."""
        ...


@dataclass(frozen=True, eq=False)
class StillView:
    """The face of a picture."""

    place: Square
    opened: Openness | None
    """(1, 3)"""

    @classmethod
    def of(cls, picture: Pixels, box: FaceBox, landmarks: OnnxDetector | None) -> "StillView":
        """The face in `box`: by its landmarks where they can be had, as it leans where they cannot."""
        found = None if landmarks is None else detect_landmarks(landmarks, picture, box)
        if found is None:
            return cls(estimate_landmark_square(fit(picture, box)), None)
        points, marks = found
        return cls(landmark_bounds(points), openness_of(marks))

    def square(self, frame: int) -> Square:
        """Always the same."""
        return self.place

    def presence(self, frame: int) -> float:
        """Always there."""
        return 1.0

    def openness(self, start: int, stop: int) -> Openness | None:
        """That of the one frame."""
        return self.opened


@dataclass(frozen=True, eq=False)
class TrackView:
    """A face that was followed by its box."""

    track: FaceTrack

    def square(self, frame: int) -> Square:
        """About where the box says that the landmarks are, upright."""
        return estimate_landmark_square(FacePlacement.from_box(self.track.box(frame)))

    def presence(self, frame: int) -> float:
        """As it was seen."""
        return self.track.presence(frame)

    def openness(self, start: int, stop: int) -> Openness | None:
        """Boxes do not tell."""
        return None


@dataclass(frozen=True, eq=False)
class LandmarkView:
    """A face that was followed by its landmarks, of which `rows` keep what is needed from column `first` on."""

    track: FaceTrack
    rows: FrameRecords
    first: int

    def square(self, frame: int) -> Square:
        """About the landmarks; where there are none, about where the box says that they are."""
        row = self._rows(frame, frame + 1)[0]
        if np.isnan(row[0]):
            return TrackView(self.track).square(frame)
        x, y, side, angle = (float(number) for number in row[:4])
        return Square(x, y, side, angle)

    def presence(self, frame: int) -> float:
        """As it was seen; nowhere before its landmarks were first found."""
        return 0.0 if np.isnan(self._rows(frame, frame + 1)[0, 0]) else self.track.presence(frame)

    def openness(self, start: int, stop: int) -> Openness | None:
        """By the landmarks; shut where there are none, which is where nothing is drawn after them."""
        opened: Openness = np.nan_to_num(self._rows(start, stop)[:, 4:])
        return opened

    def _rows(self, start: int, stop: int) -> Floats:
        return self.rows.between(start, stop)[:, self.first : self.first + LANDMARK_COLUMNS]


def detect_landmarks(faces: OnnxDetector, picture: Pixels, box: FaceBox) -> tuple[Floats, Floats] | None:
    """The 106 and the 203 landmarks of the face in `box`; None where the detector sees none there."""
    for found in faces.detect_faces(picture):
        if np.hypot(found.box.x - box.x, found.box.y - box.y) < box.size / 2:
            points = faces.points(picture, found)
            return points, faces.landmarks(picture, points)
    return None


def openness_of(landmarks: Floats) -> Openness:
    """(1, 3) of one face's 203 landmarks."""
    marks = landmarks[None]
    return np.concatenate([eye_ratios(marks), lip_ratios(marks)], axis=1)


def landmark_record(landmarks: Floats | None) -> Floats:
    """(7,) of one face's 203 landmarks; NaN without."""
    if landmarks is None:
        return np.full(LANDMARK_COLUMNS, np.nan, np.float32)
    square = landmark_bounds(landmarks)
    place = (square.x, square.y, square.side, square.angle)
    return np.concatenate([np.array(place, np.float32), openness_of(landmarks)[0]])
