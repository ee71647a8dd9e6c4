"""Selection of the face to animate: found in a box that the user gave, by published models, or by the built-in cascade.

A face that is missing is an error before the run; one that leaves never ends a long run.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from pipelines.animation.faces.aligned_view import FacePlacement
from pipelines.animation.faces.cascade import MIN_VOTES, FaceBox, detect_by_votes, detect_fast
from pipelines.animation.faces.crop import Square
from pipelines.animation.faces.small_faces import detect_small, smallest_face_px
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings
from pipelines.vision.types import Pixels

Which = Literal["largest", "all"] | int
"""Which of several faces: the largest, all, or one by its number from the left, counted from 1."""

_MATCH_DISTANCE, _MATCH_RATIO = 0.3, 1.5
"""A detected face is the one in the user's box if its centre is this near, in box sides, and its size within this
ratio of it."""
_AROUND_SIDES = 4
"""Side of the part of the picture around the user's box in which a face is searched, in box sides."""
_LANDMARKS_DOWN, _LANDMARKS_SIDE = 0.13, 0.8
"""Square around the landmarks (brows to chin), in sides of the face box: offset of its centre down, and its side."""
_READY_SIDE, _READY_DOWN = 0.54, 0.054
"""Face box in a portrait that is a crop already, in sides of the picture: its side, and the offset of its centre
down."""


class FaceDetector(Protocol):
    """Detector of faces in pictures, which it reports as `FaceBox`."""

    name: str
    """Name in the report."""
    licence: str
    """Terms that its user accepts; empty where there are none beyond the program's own."""

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """Detect the faces of `picture` `(H, W, 3)` uint8 RGB carefully; returns only certain ones."""
        ...

    def detect_small(self, picture: Pixels) -> list[FaceBox]:
        """Detect faces that are too small for `detect`, for a picture in which that finds none. Slower."""
        ...

    def detect_fast(self, picture: Pixels, like: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Detect candidates quickly, on frames of a video that is known to show a face; `like` as it was elsewhere."""
        ...

    def smallest_px(self, width: int, height: int) -> int | None:
        """Return the side of the smallest face that is found in a picture of that size; None where it is unknown."""
        ...


class CascadeDetector:
    """Built-in detector: boxes by votes of a cascade."""

    name, licence = "built-in face box", ""

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """Return the boxes with at least `MIN_VOTES` votes."""
        return [box for box in detect_by_votes(picture) if box.votes >= MIN_VOTES]

    def detect_small(self, picture: Pixels) -> list[FaceBox]:
        """Return small faces, down to `smallest_px`."""
        return detect_small(picture)

    def detect_fast(self, picture: Pixels, like: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Return all boxes of one fast pass."""
        return detect_fast(picture, like)

    def smallest_px(self, width: int, height: int) -> int | None:
        """Return the side of the smallest face that both searches together find."""
        return smallest_face_px(width, height)


@dataclass(frozen=True)
class UserBox:
    """Box that the user gave. It need not be exact where the cascade detects the face, too."""

    box: FaceBox
    file_width: int | None = None
    """Width of the picture as the user sees it, where a reduced one is searched."""
    name, licence = "box that was given", ""

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """Return the face that is detected in the box, or the box itself. Raises BadInput for a box outside."""
        height, width = picture.shape[:2]
        if not (0 < self.box.x < width and 0 < self.box.y < height and self.box.size >= 2):
            shown = self.file_width or width
            raise BadInput(
                f"The face box lies outside the picture of {shown} x {round(height * shown / width)} pixels.",
                "Give left, top, width and height of the face in pixels of the picture.",
                "face.box_outside",
                width=shown,
                height=round(height * shown / width),
            )
        found = next((box for box in detect_by_votes(picture) if self._matches(box)), None)
        return [found or next(filter(self._matches, self._around(picture)), self.box)]

    def detect_small(self, picture: Pixels) -> list[FaceBox]:
        """Return nothing: `detect` always finds the box."""
        return []

    def detect_fast(self, picture: Pixels, like: Sequence[FaceBox] = ()) -> list[FaceBox]:
        """Return all boxes of one fast pass."""
        return detect_fast(picture, like)

    def smallest_px(self, width: int, height: int) -> int | None:
        """Return None: it may be of any size."""
        return None

    def _around(self, picture: Pixels) -> list[FaceBox]:
        """Detect faces in what surrounds the box: there a face that is small in the picture is large."""
        half, (height, width) = self.box.size * _AROUND_SIDES / 2, picture.shape[:2]
        left, top = max(0, round(self.box.x - half)), max(0, round(self.box.y - half))
        right, bottom = min(width, round(self.box.x + half)), min(height, round(self.box.y + half))
        boxes = detect_by_votes(np.ascontiguousarray(picture[top:bottom, left:right]))
        return [FaceBox(left + box.x, top + box.y, box.size, box.votes) for box in boxes]

    def _matches(self, faces: FaceBox) -> bool:
        """Tell whether a detected box marks the same face."""
        distance = math.hypot(faces.x - self.box.x, faces.y - self.box.y) / self.box.size
        similar_size = abs(math.log(faces.size / self.box.size)) < math.log(_MATCH_RATIO)
        return faces.votes >= MIN_VOTES and distance < _MATCH_DISTANCE and similar_size


def find_faces(picture: Pixels, detector: FaceDetector, which: Which, flag: str) -> list[FaceBox]:
    """Detect the selected faces of `picture`: one, or all from left to right.

    `flag` is the option by which the user can give a box instead. Raises BadInput where there is no face, or not so
    many.
    """
    faces = detect_carefully(detector, picture)
    if not faces:
        raise BadInput(
            f"No face{_at_least(detector, picture)} was found in the picture.",
            f"Mark it with {flag} left,top,width,height: from hairline to chin, from ear to ear.",
            "face.source_none",
        )
    return select_faces(faces, which)


def detect_carefully(detector: FaceDetector, picture: Pixels) -> list[FaceBox]:
    """Detect the faces of `picture`; small ones where there are no others."""
    return detector.detect(picture) or detector.detect_small(picture)


def detect_in_turn(detector: FaceDetector, frame: Pixels, number: int) -> list[FaceBox]:
    """Detect the faces of the `number`-th inspected frame of a video, counted from 1.

    Small ones are searched on the first, second, fourth, eighth ... alone, since that takes longest.
    """
    return detector.detect(frame) or (detector.detect_small(frame) if number & (number - 1) == 0 else [])


def find_reference(
    frames: Iterable[tuple[int, Pixels]], detector: FaceDetector, which: Which, flag: str
) -> tuple[int, FaceBox]:
    """Find the first of the numbered `frames` that shows a face, and the selected face on it. Holds one frame.

    Raises BadInput where no frame shows one.
    """
    searched, size = 0, ""
    for searched, (index, frame) in enumerate(frames, 1):
        if faces := detect_in_turn(detector, frame, searched):
            return index, select_faces(faces, "largest" if which == "all" else which)[0]
        size = _at_least(detector, frame)
    raise BadInput(
        f"No face{size} was found in {searched} frames of the driving video.",
        f"Mark the face on the first frame with {flag} left,top,width,height, or choose another video.",
        "face.driving_none",
        frames=searched,
    )


def _at_least(detector: FaceDetector, picture: Pixels) -> str:
    """Return the words for the smallest face that the detector finds: ` of at least 48 pixels`."""
    smallest = detector.smallest_px(picture.shape[1], picture.shape[0])
    return f" of at least {smallest} pixels" if smallest else ""


def estimate_landmark_square(placement: FacePlacement) -> Square:
    """Estimate the square around the landmarks, brows to chin, of a face whose landmarks are unknown.

    It leans as the face does. Crops are made from it.
    """
    x, y = placement.to_picture() @ (0.0, _LANDMARKS_DOWN, 1.0)
    return Square(float(x), float(y), _LANDMARKS_SIDE * placement.size, placement.roll)


def select_faces(faces: Sequence[FaceBox], which: Which) -> list[FaceBox]:
    """Select from `faces`, at least one. Raises BadInput for a number that does not exist."""
    if which == "all":
        return sorted(faces, key=lambda box: box.x)
    if which == "largest":
        return [max(faces, key=lambda box: box.size)]
    if 1 <= which <= len(faces):
        return [sorted(faces, key=lambda box: box.x)[which - 1]]
    count = "is one face" if len(faces) == 1 else f"are {len(faces)} faces"
    raise BadInput(
        f"There is no face {which}: there {count} in the picture.",
        f"Choose one of 1 to {len(faces)}, counted from the left, or the largest.",
        "face.number",
        number=which,
        count=len(faces),
    )


def source_detector(settings: AnimateSettings, picture: Pixels, width: int) -> FaceDetector:
    """Choose the detector for the source `picture` `(H, W, 3)` uint8 RGB: a box, all of the picture, or the cascade.

    `width` is that of the source's file, in whose pixels a box is given; `picture` may be reduced.
    """
    if settings.source_box:
        return UserBox(parse_box(settings.source_box).scaled(picture.shape[1] / width), width)
    if settings.source_crop == "none":
        height, width = picture.shape[:2]
        side = min(height, width)
        return UserBox(FaceBox(width / 2, height / 2 + _READY_DOWN * side, _READY_SIDE * side))
    return CascadeDetector()


def parse_box(box: str) -> FaceBox:
    """Parse a face box that is written as `x,y,width,height`."""
    return FaceBox.from_rectangle(*map(float, box.split(",")))


def parse_which(word: str) -> Which:
    """Parse the setting that selects one of several faces."""
    if word in ("largest", "all"):
        return "all" if word == "all" else "largest"
    return int(word)
