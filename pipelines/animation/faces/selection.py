"""Which face is meant, and where it is: from a box that is given, published models where they are there, or by votes.

What may happen to a face is a case with a sentence, never the end of a long run: none, several, one that leaves.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pipelines.animation.faces.aligned_view import FacePlacement
from pipelines.animation.faces.cascade import ENOUGH_VOTES, FaceBox, detect_fast, vote
from pipelines.animation.faces.crop import Square
from pipelines.animation.faces.onnx_landmarks import OnnxDetector, files_in
from pipelines.animation.faces.track import FaceTrack
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings
from pipelines.vision.types import Pixels

Which = Literal["largest", "all"] | int
"""Of several faces: the largest, all of them, or one by its number from the left, beginning at 1."""

_MOST_TOLD = 4
_MEANT_APART, _MEANT_SIZE = 0.3, 1.5
_LANDMARKS_DOWN, _LANDMARKS_SIDE = 0.13, 0.8
"""Of a face's box: how far below its middle that of the landmarks lies, and how large their square is."""


class FaceDetector(Protocol):
    """Finds faces on pictures, in the terms of `FaceBox`."""

    name: str
    """For the report."""
    licence: str
    """What whoever uses it is bound to; empty where it is nothing more than the program's."""

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """The faces of `picture` `(H, W, 3)` uint8 RGB, looked for with care; only what is sure to be one."""
        ...

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """What may be faces, looked for quickly, for frames of a video on which a face is known to be."""
        ...


class CascadeDetector:
    """The built-in provider: boxes by votes of a cascade."""

    name, licence = "built-in face box", ""

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """The boxes with enough votes."""
        return [box for box in vote(picture) if box.votes >= ENOUGH_VOTES]

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """All boxes of a quick look."""
        return detect_fast(picture)


@dataclass(frozen=True)
class GivenBox:
    """A box that somebody drew; it need not be exact where the cascade, too, sees a face there."""

    box: FaceBox
    name, licence = "box that was given", ""

    def detect(self, picture: Pixels) -> list[FaceBox]:
        """The face that the box is about: as it was found, or as it was drawn. Raises BadInput for a box outside."""
        height, width = picture.shape[:2]
        if not (0 < self.box.x < width and 0 < self.box.y < height and self.box.size >= 2):
            raise BadInput(
                f"The face box lies outside the picture of {width} x {height} pixels.",
                "Give it as left, top, width and height in pixels of the picture, around the face.",
            )
        return [next((box for box in vote(picture) if self._means(box)), self.box)]

    def detect_fast(self, picture: Pixels) -> list[FaceBox]:
        """All boxes of a quick look."""
        return detect_fast(picture)

    def _means(self, found: FaceBox) -> bool:
        """Whether a box that was found is about the same face."""
        apart = math.hypot(found.x - self.box.x, found.y - self.box.y) / self.box.size
        alike = abs(math.log(found.size / self.box.size)) < math.log(_MEANT_SIZE)
        return found.votes >= ENOUGH_VOTES and apart < _MEANT_APART and alike


def best_detector(given: FaceBox | None = None, weights: Path | None = None) -> FaceDetector:
    """The best provider that is there: a box that is given, the published models, the built-in one.

    `weights` is a folder with the published files; None looks in the usual places. Loads nothing.
    """
    if given:
        return GivenBox(given)
    files = files_in(weights)
    return OnnxDetector(files) if files else CascadeDetector()


def faces_on(picture: Pixels, by: FaceDetector, which: Which, flag: str) -> list[FaceBox]:
    """The faces of `picture` that are meant, the largest first, or all from left to right.

    `flag` is how the user gives a box instead. Raises BadInput where there is none, or not so many.
    """
    found = by.detect(picture)
    if not found:
        raise BadInput(
            "No face was found on the picture.",
            f"Say where it is with {flag} left,top,width,height: from hairline to chin, from ear to ear.",
        )
    return chosen(found, which)


def find_reference(
    frames: Iterable[tuple[int, Pixels]], by: FaceDetector, which: Which, flag: str
) -> tuple[int, FaceBox]:
    """The first of `frames`, which are numbered, that shows a face, and the face that is meant. Holds one frame.

    Raises BadInput where none does.
    """
    looked_at = 0
    for index, frame in frames:
        if found := by.detect(frame):
            return index, chosen(found, "largest" if which == "all" else which)[0]
        looked_at += 1
    raise BadInput(
        f"No face was found on the driving video ({looked_at} frames were looked at).",
        f"Say where it is on the first frame with {flag} left,top,width,height, or choose another video.",
    )


def absence(track: FaceTrack) -> str | None:
    """A sentence for the frames on which the driving face is gone; None where it never is."""
    spans = track.gone
    if not spans:
        return None
    told = [f"{span.start} to {span.stop - 1}" for span in spans[:_MOST_TOLD]]
    more = f" and {len(spans) - _MOST_TOLD} more times" if len(spans) > _MOST_TOLD else ""
    return (
        f"The driving face is not seen on frames {', '.join(told)}{more}: the portrait rests there. "
        "Cut these frames out, or choose a video that shows the face throughout."
    )


def landmark_square(placed: FacePlacement) -> Square:
    """The square about the landmarks, brows to chin, of a face of which no landmarks are known, as it leans.

    What crops are made from then.
    """
    x, y = placed.to_picture() @ (0.0, _LANDMARKS_DOWN, 1.0)
    return Square(float(x), float(y), _LANDMARKS_SIDE * placed.size, placed.turn)


def chosen(found: Sequence[FaceBox], which: Which) -> list[FaceBox]:
    """Those of `found`, of which there are some, that are meant. Raises BadInput for a number that there is not."""
    if which == "all":
        return sorted(found, key=lambda box: box.x)
    if which == "largest":
        return [max(found, key=lambda box: box.size)]
    if 1 <= which <= len(found):
        return [sorted(found, key=lambda box: box.x)[which - 1]]
    several = "is one face" if len(found) == 1 else f"are {len(found)} faces"
    raise BadInput(
        f"There is no face {which}: there {several} on the picture.",
        f"Choose one of 1 to {len(found)}, counted from the left, or the largest.",
    )


_READY_SIDE, _READY_DOWN = 0.54, 0.054
"""Of a face's box in a picture that was cut out as portraits usually are: its side, and how far below the middle."""


def source_detector(settings: AnimateSettings, picture: Pixels) -> FaceDetector:
    """What finds the faces of the source `picture` `(H, W, 3)` uint8 RGB: a box, the picture as a whole, or votes."""
    if settings.source_box:
        return GivenBox(drawn_box(settings.source_box))
    if settings.source_crop == "none":
        height, width = picture.shape[:2]
        side = min(height, width)
        return GivenBox(FaceBox(width / 2, height / 2 + _READY_DOWN * side, _READY_SIDE * side))
    return CascadeDetector()


def drawn_box(box: str) -> FaceBox:
    """The face that a box means which is written as `x,y,width,height`."""
    return FaceBox.drawn(*map(float, box.split(",")))


def which_of(word: str) -> Which:
    """Which of several faces a setting means."""
    if word in ("largest", "all"):
        return "all" if word == "all" else "largest"
    return int(word)
