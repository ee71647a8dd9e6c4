"""A look at source and driving before a run: the faces on both, those that will be taken marked."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.selection import (
    CascadeDetector,
    FaceDetector,
    GivenBox,
    Which,
    chosen,
    drawn_box,
    source_detector,
    which_of,
)
from pipelines.animation.faces.track import LOOK_EVERY
from pipelines.animation.inputs import InputMedia, probe_portrait_inputs, read_picture
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings
from pipelines.video.reader import read_frames
from pipelines.vision.types import Pixels

HEIGHT_PX = 480
"""Of both, beside each other."""

_GAP_PX, _PAPER = 8, 255
_MEANT, _OTHER = ((20, 184, 166), 2), ((255, 255, 255), 1)
"""Colour and width of the frame about a face that is meant, and about another."""
_MOST_LOOKS = 16


@dataclass(frozen=True)
class FacePlace:
    """A face on the picture, in shares of its width and height; `number` counts from the left of its side."""

    side: Literal["source", "driving"]
    number: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class MarkedFaces:
    """Source and driving beside each other, `pixels` `(HEIGHT_PX, W, 3)` uint8 RGB, and the faces found on them."""

    pixels: Pixels
    places: tuple[FacePlace, ...]


@dataclass(frozen=True, eq=False)
class _Seen:
    """One side: its picture, all faces on it from the left, and those that are meant."""

    picture: Pixels
    faces: list[FaceBox]
    meant: list[FaceBox]

    @classmethod
    def on(cls, picture: Pixels, by: FaceDetector, which: Which) -> "_Seen":
        """What is seen on a picture; no face is meant where there are not so many."""
        faces = sorted(by.detect(picture), key=lambda box: box.x)
        try:
            return cls(picture, faces, chosen(faces, which) if faces else [])
        except BadInput:
            return cls(picture, faces, [])


def marked_faces(inputs: tuple[Path, ...], settings: AnimateSettings) -> MarkedFaces:
    """Source and driving with their faces, those that are meant marked, others to be chosen.

    Where there is none, the picture is without a mark; what is missing is said when the job is asked for. Holds a frame
    of each. Raises the errors of `probe_portrait_inputs`, BadInput for a box outside its picture.
    """
    roles = probe_portrait_inputs(inputs, salvage=settings.salvage)
    source = read_picture(roles.source) if roles.source.kind == "picture" else _first(roles.source, settings)
    sides = {"source": _Seen.on(source, source_detector(settings, source), which_of(settings.face))}
    if roles.driving.kind != "template":
        sides["driving"] = _driving(roles.driving, settings)
    shown = [_marked(seen) for seen in sides.values()]
    gap = np.full((HEIGHT_PX, _GAP_PX, 3), _PAPER, np.uint8)
    pixels = np.hstack([shown[0], *(part for each in shown[1:] for part in (gap, each))])
    starts = (0, shown[0].shape[1] + _GAP_PX)
    return MarkedFaces(
        pixels,
        tuple(
            place
            for (side, seen), start in zip(sides.items(), starts, strict=False)
            for place in _places(cast(Literal["source", "driving"], side), seen, start, pixels.shape[1])
        ),
    )


def _driving(driving: InputMedia, settings: AnimateSettings) -> _Seen:
    """The first frame that shows a face, or simply the first."""
    by: FaceDetector = (
        GivenBox(drawn_box(settings.driving_box)) if settings.driving_box else CascadeDetector()
    )
    first: _Seen | None = None
    with closing(_looks(driving, settings)) as looks:
        for frame in looks:
            seen = _Seen.on(frame, by, which_of(settings.driving_face))
            if seen.faces:
                return seen
            first = first or seen
    if first is None:
        raise BadInput("The driving has no frame to look at.", "Choose an earlier --start.")
    return first


def _looks(driving: InputMedia, settings: AnimateSettings) -> Generator[Pixels]:
    """Some of the first frames that are asked for."""
    if driving.kind == "picture":
        yield read_picture(driving)
        return
    start = _start(driving, settings)
    stop = min(driving.video.frames, start + (_MOST_LOOKS - 1) * LOOK_EVERY + 1)
    with closing(read_frames(driving.video, start, stop, salvage=settings.salvage)) as frames:
        for frame in frames:
            if (frame.index - start) % LOOK_EVERY == 0:
                yield frame.rgb()


def _first(source: InputMedia, settings: AnimateSettings) -> Pixels:
    start = _start(source, settings)
    with closing(read_frames(source.video, start, start + 1, salvage=settings.salvage)) as frames:
        return next(frames).rgb()


def _start(given: InputMedia, settings: AnimateSettings) -> int:
    """The first frame that is asked for; one beyond the end is the run's matter to refuse."""
    first = 0 if settings.start is None else given.video.timeline.first_at(Fraction(str(settings.start)))
    return min(first, given.video.frames - 1)


def _marked(seen: _Seen) -> Pixels:
    """The picture, `HEIGHT_PX` high, with a frame about each face; several are numbered from the left."""
    share = HEIGHT_PX / seen.picture.shape[0]
    size = max(1, round(seen.picture.shape[1] * share)), HEIGHT_PX
    small = cv2.resize(seen.picture, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)
    for number, box in enumerate(seen.faces, 1):
        colour, width = _MEANT if box in seen.meant else _OTHER
        left, top = (round((centre - box.size / 2) * share) for centre in (box.x, box.y))
        right, bottom = (round((centre + box.size / 2) * share) for centre in (box.x, box.y))
        cv2.rectangle(small, (left, top), (right, bottom), colour, width, cv2.LINE_AA)
        if len(seen.faces) > 1:
            place = left + 4, top - 6
            cv2.putText(small, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, 2, cv2.LINE_AA)
    return cast(Pixels, small)


def _places(
    side: Literal["source", "driving"], seen: _Seen, start_px: int, width_px: int
) -> Iterator[FacePlace]:
    """The faces of one side, which begins at `start_px` of a picture `width_px` wide."""
    share = HEIGHT_PX / seen.picture.shape[0]
    for number, box in enumerate(seen.faces, 1):
        left = (start_px + (box.x - box.size / 2) * share) / width_px
        top = (box.y - box.size / 2) * share / HEIGHT_PX
        yield FacePlace(side, number, left, top, box.size * share / width_px, box.size * share / HEIGHT_PX)
