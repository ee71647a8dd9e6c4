"""The hints of a job: boxes and points as they were written, and pictures that were painted."""

import re
from pathlib import PurePosixPath

from pipelines.masks.reading import mask_path, mask_settings_of, read_pixels
from pipelines.masks.sequence import read_marks
from pipelines.stages import RunContext
from pipelines.tracking.fusion import FrameSource, seeds_from
from pipelines.tracking.passes import Seeds
from pipelines.tracking.prompts import Hint, Point, checked

_LAST_NUMBER = re.compile(r"(\d+)\D*$")


def hints_of(run: RunContext) -> list[Hint]:
    """The job's hints, checked, one a frame. Holds a mask for each that was painted.

    Of a part of the video, those of the other parts are left aside: what was marked for all is tried on two seconds.
    Raises BadInput where one is empty or lies outside the picture or the frames, and as `read_marks` does.
    """
    settings, video = mask_settings_of(run), run.video
    hints = [Hint.parse(box) for box in settings.box]
    hints += [_point(text) for text in settings.point]
    if settings.track:
        marks = read_marks(mask_path(run), video)
        hints += [Hint(_frame(name, run.frames.start), mask=mask) for name, mask in marks]
    mine = [
        hint
        for hint in hints
        if run.frames.start <= hint.frame < run.frames.stop or hint.frame >= video.frames
    ]
    return checked(mine or hints, (video.width, video.height), run.frames)


def followed(run: RunContext) -> tuple[FrameSource, Seeds]:
    """The frames in which the job's object is followed, and how its hints show it. Holds a mask per hint."""
    footage = FrameSource.of(lambda start, stop: read_pixels(run, start, stop), run.frames)
    return footage, seeds_from(hints_of(run), footage)


def _point(text: str) -> Hint:
    place, _, frame = text.removeprefix("!").partition("@")
    x, y = map(float, place.split(","))
    return Hint(int(frame), points=(Point(x, y, on_object=not text.startswith("!")),))


def _frame(name: str, otherwise: int) -> int:
    """The frame that a picture's name ends with: 12 of `mask_00012.png`."""
    found = _LAST_NUMBER.search(PurePosixPath(name).stem)
    return int(found[1]) if found else otherwise
