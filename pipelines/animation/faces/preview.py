"""Preview of source and driving before a run: the faces of both, with the selected ones marked."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np

from memory.budget import Budget
from memory.probe import probe_hardware
from memory.units import GIB
from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import limit_size
from pipelines.animation.faces.selection import (
    CascadeDetector,
    FaceDetector,
    UserBox,
    Which,
    detect_in_turn,
    parse_box,
    parse_which,
    select_faces,
    source_detector,
)
from pipelines.animation.faces.track import DETECT_EVERY
from pipelines.animation.inputs import (
    InputMedia,
    picture_bytes,
    probe_portrait_inputs,
    probe_source,
    read_picture,
)
from pipelines.errors import BadInput, NotEnoughMemory
from pipelines.settings import AnimateSettings
from pipelines.spec import task_spec
from pipelines.video.pictures.limits import check_pixels
from pipelines.video.reader import read_frames
from pipelines.vision.types import Pixels, Size

HEIGHT_PX = 480
"""Height of the two panels."""

_GAP_PX, _WHITE = 8, 255
"""Pixels between the panels, and their grey level."""
_SELECTED_STYLE, _OTHER_STYLE = ((20, 184, 166), 2), ((255, 255, 255), 1)
"""Colour and line width of the frame around a selected face, and around another one."""
_MAX_DETECTIONS = 16
"""Frames of the driving video that are searched for a face, `DETECT_EVERY` frames apart."""


@dataclass(frozen=True)
class FacePlace:
    """Face on the preview, in shares of its width and height; `number` counts from the left of its panel."""

    side: Literal["source", "driving"]
    number: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class MissingFace:
    """Side without the selected face: `faces` were found, which are too few for its number, or none at all."""

    side: Literal["source", "driving"]
    smallest_px: int | None
    """Side of the smallest face that is searched, if known."""
    faces: int = 0


@dataclass(frozen=True, eq=False)
class MarkedFaces:
    """Source and driving side by side, `pixels` `(HEIGHT_PX, W, 3)` uint8 RGB, the faces on them, and what misses."""

    pixels: Pixels
    places: tuple[FacePlace, ...]
    missing: tuple[MissingFace, ...] = ()


@dataclass(frozen=True, eq=False)
class _Side:
    """One panel: its picture, all faces on it from the left, and the selected ones."""

    picture: Pixels
    faces: list[FaceBox]
    selected: list[FaceBox]
    smallest_px: int | None = None
    """Side of the smallest face that was searched, if known."""

    @classmethod
    def on(cls, picture: Pixels, detector: FaceDetector, which: Which, number: int = 1) -> "_Side":
        """Detect the faces of the `number`-th picture; none is selected where there are too few."""
        faces = sorted(detect_in_turn(detector, picture, number), key=lambda box: box.x)
        smallest = detector.smallest_px(picture.shape[1], picture.shape[0])
        try:
            return cls(picture, faces, select_faces(faces, which) if faces else [], smallest)
        except BadInput:
            return cls(picture, faces, [], smallest)


def marked_faces(
    inputs: tuple[Path, ...], settings: AnimateSettings, most_pixels: int | None = None
) -> MarkedFaces:
    """Preview source and driving with their faces, the selected ones marked.

    A picture without the selected face stays unmarked, and its side is among the missing. Holds a frame of each.

    Raises the errors of `probe_portrait_inputs`, BadInput for a box outside its picture, OverLimit for an input of more
    than `most_pixels`, and NotEnoughMemory for a picture that the memory limit does not let be decoded.
    """
    media = probe_portrait_inputs(inputs, salvage=settings.salvage, background=settings.background)
    for video in (media.source.video, media.driving.video):
        check_pixels(video.width, video.height, most_pixels)
    sides: dict[Literal["source", "driving"], _Side] = {"source": _inspect_source(media.source, settings)}
    if media.driving.kind != "template":
        sides["driving"] = _inspect_driving(media.driving, settings)
    return _marked(sides)


def marked_source(path: Path, settings: AnimateSettings, most_pixels: int | None = None) -> MarkedFaces:
    """Preview the source alone, as `marked_faces` does. Holds one picture.

    Raises the errors of `probe_source`, and those of `marked_faces` that a source can have.
    """
    source = probe_source(path, salvage=settings.salvage, background=settings.background)
    check_pixels(source.video.width, source.video.height, most_pixels)
    return _marked({"source": _inspect_source(source, settings)})


def _marked(sides: Mapping[Literal["source", "driving"], _Side]) -> MarkedFaces:
    """Put the panels side by side, and locate the faces on them."""
    shown = [_draw_boxes(side) for side in sides.values()]
    gap = np.full((HEIGHT_PX, _GAP_PX, 3), _WHITE, np.uint8)
    pixels = np.hstack([shown[0], *(part for panel in shown[1:] for part in (gap, panel))])
    starts = (0, shown[0].shape[1] + _GAP_PX)
    return MarkedFaces(
        pixels,
        tuple(
            position
            for (side, found), start in zip(sides.items(), starts, strict=False)
            for position in _locate(side, found, start, pixels.shape[1])
        ),
        tuple(
            MissingFace(side, found.smallest_px, len(found.faces))
            for side, found in sides.items()
            if not found.selected
        ),
    )


def _inspect_source(source: InputMedia, settings: AnimateSettings) -> _Side:
    """Inspect the source as a job would: reduced where it is larger than the result, then with all its pixels."""
    width, height = source.video.width, source.video.height

    def inspect(picture: Pixels) -> _Side:
        return _Side.on(picture, source_detector(settings, picture, width), parse_which(settings.face))

    if source.kind != "picture":
        return inspect(_first_frame(source, settings))
    longest = int(task_spec("animate").tables().quality[settings.quality].values()["max_side_px"])
    down, across = limit_size(height, width, longest)
    shown = inspect(_read_within(settings, source, (across, down)))
    if shown.faces or shown.picture.shape[1] == width or picture_bytes(source) > _host_bytes(settings):
        return shown
    return inspect(read_picture(source))


def _read_within(settings: AnimateSettings, picture: InputMedia, at_least: Size | None = None) -> Pixels:
    """Read a picture as `read_picture` does. Raises NotEnoughMemory where decoding it would exceed the memory limit."""
    needed, have = picture_bytes(picture, at_least), _host_bytes(settings)
    if needed > have:
        raise NotEnoughMemory(
            f"Decoding {picture.video.path.name} takes {needed / GIB:.2f} GiB, and {have / GIB:.2f} GiB can be used.",
            "Scale the picture down, or raise --ram-limit-gb.",
            "memory.picture",
            name=picture.video.path.name,
            needed_bytes=needed,
            have_bytes=have,
        )
    return read_picture(picture, at_least)


def _host_bytes(settings: AnimateSettings) -> int:
    return Budget.of(probe_hardware(), ram_limit_gb=settings.ram_limit_gb).host_bytes


def _inspect_driving(driving: InputMedia, settings: AnimateSettings) -> _Side:
    """Inspect the first frame that shows a face, or else the first frame."""
    detector: FaceDetector = (
        UserBox(parse_box(settings.driving_box)) if settings.driving_box else CascadeDetector()
    )
    first: _Side | None = None
    with closing(_sample_frames(driving, settings)) as frames:
        for number, frame in enumerate(frames, 1):
            shown = _Side.on(frame, detector, parse_which(settings.driving_face), number)
            if shown.faces:
                return shown
            first = first or shown
    if first is None:
        raise BadInput(
            "The driving video has no frame in this part.", "Choose an earlier --start.", "part.driving_empty"
        )
    return first


def _sample_frames(driving: InputMedia, settings: AnimateSettings) -> Generator[Pixels]:
    """Yield some of the first requested frames."""
    if driving.kind == "picture":
        yield _read_within(settings, driving)
        return
    start = _first_index(driving, settings)
    stop = min(driving.video.frames, start + (_MAX_DETECTIONS - 1) * DETECT_EVERY + 1)
    with closing(read_frames(driving.video, start, stop, salvage=settings.salvage)) as frames:
        for frame in frames:
            if (frame.index - start) % DETECT_EVERY == 0:
                yield frame.rgb()


def _first_frame(source: InputMedia, settings: AnimateSettings) -> Pixels:
    start = _first_index(source, settings)
    with closing(read_frames(source.video, start, start + 1, salvage=settings.salvage)) as frames:
        return next(frames).rgb()


def _first_index(media: InputMedia, settings: AnimateSettings) -> int:
    """Return the first requested frame, within the video: a start beyond its end is refused by the run."""
    first = 0 if settings.start is None else media.video.timeline.first_at(Fraction(str(settings.start)))
    return min(first, media.video.frames - 1)


def _draw_boxes(shown: _Side) -> Pixels:
    """Draw the picture, `HEIGHT_PX` high, with a frame around each face; several are numbered from the left."""
    scale = HEIGHT_PX / shown.picture.shape[0]
    size = max(1, round(shown.picture.shape[1] * scale)), HEIGHT_PX
    small = cv2.resize(shown.picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    for number, box in enumerate(shown.faces, 1):
        colour, width = _SELECTED_STYLE if box in shown.selected else _OTHER_STYLE
        left, top = (round((centre - box.size / 2) * scale) for centre in (box.x, box.y))
        right, bottom = (round((centre + box.size / 2) * scale) for centre in (box.x, box.y))
        cv2.rectangle(small, (left, top), (right, bottom), colour, width, cv2.LINE_AA)
        if len(shown.faces) > 1:
            position = left + 4, top - 6
            cv2.putText(small, str(number), position, cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, 2, cv2.LINE_AA)
    return cast(Pixels, small)


def _locate(
    side: Literal["source", "driving"], shown: _Side, start_px: int, width_px: int
) -> Iterator[FacePlace]:
    """Yield the faces of one panel, which begins at `start_px` of a picture `width_px` wide."""
    scale = HEIGHT_PX / shown.picture.shape[0]
    for number, box in enumerate(shown.faces, 1):
        left = (start_px + (box.x - box.size / 2) * scale) / width_px
        top = (box.y - box.size / 2) * scale / HEIGHT_PX
        yield FacePlace(side, number, left, top, box.size * scale / width_px, box.size * scale / HEIGHT_PX)
