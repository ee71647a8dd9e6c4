"""The hints of a job: boxes and points as they were written, and pictures that were painted."""

import re
from pathlib import PurePosixPath

from pipelines.masks.reading import mask_path, mask_settings_of, read_pixels
from pipelines.masks.sequence import read_prompt_masks
from pipelines.stages import RunContext
from pipelines.tracking.background import FrameSource
from pipelines.tracking.passes import Targets
from pipelines.tracking.prompts import ObjectPrompt, Point, check_prompts
from pipelines.tracking.target import find_targets

_LAST_NUMBER = re.compile(r"(\d+)\D*$")


def read_prompts(run: RunContext) -> list[ObjectPrompt]:
    """The job's hints, checked, one a frame. Holds a mask for each that was painted.

    Of a part of the video, those of the other parts are left aside: what was marked for all is tried on two seconds.
    Raises BadInput where one is empty or lies outside the picture or the frames, and as `read_prompt_masks` does.
    """
    settings, video = mask_settings_of(run), run.video
    prompts = [ObjectPrompt.parse(box) for box in settings.box]
    prompts += [_point(text) for text in settings.point]
    if settings.track:
        marks = read_prompt_masks(mask_path(run), video)
        prompts += [ObjectPrompt(_frame(name, run.frames.start), mask=mask) for name, mask in marks]
    mine = [
        prompt
        for prompt in prompts
        if run.frames.start <= prompt.frame < run.frames.stop or prompt.frame >= video.frames
    ]
    return check_prompts(mine or prompts, (video.width, video.height), run.frames)


def source_and_targets(run: RunContext) -> tuple[FrameSource, Targets]:
    """The frames in which the job's object is followed, and how its hints show it. Holds a mask per hint."""
    source = FrameSource.of(lambda start, stop: read_pixels(run, start, stop), run.frames)
    return source, find_targets(read_prompts(run), source)


def _point(text: str) -> ObjectPrompt:
    place, _, frame = text.removeprefix("!").partition("@")
    x, y = map(float, place.split(","))
    return ObjectPrompt(int(frame), points=(Point(x, y, on_object=not text.startswith("!")),))


def _frame(name: str, otherwise: int) -> int:
    """The frame that a picture's name ends with: 12 of `mask_00012.png`."""
    found = _LAST_NUMBER.search(PurePosixPath(name).stem)
    return int(found[1]) if found else otherwise
