"""Selection of the face to animate: found in a box that the user gave, by published models, or by the built-in cascade.

Whatever may happen to a face is an error or a warning of its own and never ends a long run: none, several, one that
leaves.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.animation.faces.aligned_view import FacePlacement
from pipelines.animation.faces.cascade import MIN_VOTES, FaceBox, detect_by_votes, detect_fast
from pipelines.animation.faces.crop import Square
from pipelines.animation.faces.track import FaceTrack
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings
from pipelines.vision.types import Pixels

Which = Literal["largest", "all"] | int
"""Which of several faces: the largest, all, or one by its number from the left, counted from 1."""

_MAX_LISTED = 4
"""Absences that a warning lists; the others are only counted."""
_MATCH_DISTANCE, _MATCH_RATIO = 0.3, 1.5
"""A detected face is the one in the user's box if its centre is this near, in box sides, and its size within this
ratio of it."""
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

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """Detect candidates quickly, on frames of a video that is known to show a face."""
        ...


class CascadeDetector:
    """Built-in detector: boxes by votes of a cascade."""

    name, licence = "built-in face box", ""

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """Return the boxes with at least `MIN_VOTES` votes."""
        return [box for box in detect_by_votes(picture) if box.votes >= MIN_VOTES]

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """Return all boxes of one fast pass."""
        return detect_fast(picture)


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
            )
        return [next((box for box in detect_by_votes(picture) if self._matches(box)), self.box)]

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """Return all boxes of one fast pass."""
        return detect_fast(picture)

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
    faces = detector.detect(picture)
    if not faces:
        raise BadInput(
            "No face was found in the picture.",
            f"Mark it with {flag} left,top,width,height: from hairline to chin, from ear to ear.",
        )
    return select_faces(faces, which)


def find_reference(
    frames: Iterable[tuple[int, Pixels]], detector: FaceDetector, which: Which, flag: str
) -> tuple[int, FaceBox]:
    """Find the first of the numbered `frames` that shows a face, and the selected face on it. Holds one frame.

    Raises BadInput where no frame shows one.
    """
    searched = 0
    for searched, (index, frame) in enumerate(frames, 1):  # noqa: B007  reported where no frame has a face
        if faces := detector.detect(frame):
            return index, select_faces(faces, "largest" if which == "all" else which)[0]
    raise BadInput(
        f"No face was found in {searched} frames of the driving video.",
        f"Mark the face on the first frame with {flag} left,top,width,height, or choose another video.",
    )


def absence_warning(track: FaceTrack) -> str | None:
    """Return a warning that lists the frames on which the driving face is gone; None where it never is."""
    spans = track.gone
    if not spans:
        return None
    listed = [f"{span.start} to {span.stop - 1}" for span in spans[:_MAX_LISTED]]
    more = f" and {len(spans) - _MAX_LISTED} more times" if len(spans) > _MAX_LISTED else ""
    return (
        f"The driving face is not visible on frames {', '.join(listed)}{more}: the portrait rests there. "
        "Cut these frames out, or choose a video that shows the face throughout."
    )


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
