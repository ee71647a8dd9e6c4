"""A look at source and driving before a run: the faces that will be taken, marked on both."""

from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from pipelines.animation.bending import drawn_box, source_faces, which_of
from pipelines.animation.face_boxes import FaceBox, Pixels
from pipelines.animation.face_track import LOOK_EVERY
from pipelines.animation.faces import GivenFace, Provider, VotedFaces, faces_on, find_reference
from pipelines.animation.roles import Given, read_picture, roles_in
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings
from pipelines.video.reader import read_frames

HEIGHT_PX = 480
"""Of both, beside each other."""

_GAP_PX, _PAPER = 8, 255
_COLOUR = (20, 184, 166)
_MOST_LOOKS = 16


def marked_faces(inputs: tuple[Path, ...], settings: AnimateSettings) -> Pixels:
    """Source and driving beside each other, `(HEIGHT_PX, W, 3)` uint8 RGB, each with the faces that are meant.

    Where there is none, the picture is without a mark; what is missing is said when the job is asked for. Holds a frame
    of each. Raises the errors of `roles_in`.
    """
    roles = roles_in(inputs, salvage=settings.salvage)
    source = read_picture(roles.source) if roles.source.kind == "picture" else _first(roles.source, settings)
    shown = [_marked(source, _meant(source, settings))]
    if roles.driving.kind != "template":
        shown.append(_marked(*_driving(roles.driving, settings)))
    gap = np.full((HEIGHT_PX, _GAP_PX, 3), _PAPER, np.uint8)
    return np.hstack([shown[0], *(part for each in shown[1:] for part in (gap, each))])


def _meant(source: Pixels, settings: AnimateSettings) -> list[FaceBox]:
    try:
        return faces_on(source, source_faces(settings, source), which_of(settings.face), "--source-box")
    except BadInput:
        return []


def _driving(driving: Given, settings: AnimateSettings) -> tuple[Pixels, list[FaceBox]]:
    """The frame that tells which face drives, and that face; the first frame where none shows one."""
    by: Provider = GivenFace(drawn_box(settings.driving_box)) if settings.driving_box else VotedFaces()
    with closing(_looks(driving, settings)) as looks:
        first, pixels = next(looks)
        last = [pixels]

        def remembered() -> Generator[tuple[int, Pixels]]:
            yield first, pixels
            for index, frame in looks:
                last[0] = frame
                yield index, frame

        try:
            _, box = find_reference(remembered(), by, which_of(settings.driving_face), "--driving-box")
        except BadInput:
            return pixels, []
        return last[0], [box]


def _looks(driving: Given, settings: AnimateSettings) -> Generator[tuple[int, Pixels]]:
    """Some of the first frames that are asked for."""
    if driving.kind == "picture":
        yield 0, read_picture(driving)
        return
    start = _start(driving, settings)
    stop = min(driving.video.frames, start + (_MOST_LOOKS - 1) * LOOK_EVERY + 1)
    with closing(read_frames(driving.video, start, stop, salvage=settings.salvage)) as frames:
        for frame in frames:
            if (frame.index - start) % LOOK_EVERY == 0:
                yield frame.index, frame.rgb()


def _first(source: Given, settings: AnimateSettings) -> Pixels:
    start = _start(source, settings)
    with closing(read_frames(source.video, start, start + 1, salvage=settings.salvage)) as frames:
        return next(frames).rgb()


def _start(given: Given, settings: AnimateSettings) -> int:
    """The first frame that is asked for; one beyond the end is the run's matter to refuse."""
    first = 0 if settings.start is None else given.video.timeline.first_at(Fraction(str(settings.start)))
    return min(first, given.video.frames - 1)


def _marked(picture: Pixels, boxes: list[FaceBox]) -> Pixels:
    """`picture`, `HEIGHT_PX` high, with a frame about each of `boxes`; several are numbered from the left."""
    share = HEIGHT_PX / picture.shape[0]
    size = max(1, round(picture.shape[1] * share)), HEIGHT_PX
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)
    for number, box in enumerate(sorted(boxes, key=lambda box: box.x), 1):
        left, top = (round((centre - box.size / 2) * share) for centre in (box.x, box.y))
        right, bottom = (round((centre + box.size / 2) * share) for centre in (box.x, box.y))
        cv2.rectangle(small, (left, top), (right, bottom), _COLOUR, 2, cv2.LINE_AA)
        if len(boxes) > 1:
            place = left + 4, top - 6
            cv2.putText(small, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, _COLOUR, 2, cv2.LINE_AA)
    return cast(Pixels, small)
