"""A job's prompts: boxes and points from its settings, and painted mask images."""

import re
from pathlib import PurePosixPath

from pipelines.masks.reading import mask_path, mask_settings_of, read_pixels
from pipelines.masks.sequence import read_prompt_masks
from pipelines.stages import RunContext
from pipelines.tracking.background import FrameSource
from pipelines.tracking.passes import Targets
from pipelines.tracking.prompts import ObjectPrompt, Point, check_prompts
from pipelines.tracking.target import find_targets

_LAST_NUMBER = re.compile("([0-9]+)[^0-9]*$")
_MOST_DIGITS = 9
"""More digits than the number of any frame has."""


def read_prompts(run: RunContext) -> list[ObjectPrompt]:
    """Read and check the job's prompts, merged to one per frame. Holds a mask for each painted one.

    If the job covers a part of the video, prompts of other parts are ignored, so that prompts for a whole video can be
    tried on two seconds of it. Raises BadInput for a prompt that is empty or outside the picture or the frames, and the
    errors of `read_prompt_masks`.
    """
    settings, video = mask_settings_of(run), run.video
    prompts = [ObjectPrompt.parse(box) for box in settings.box]
    prompts += [_point(text) for text in settings.point]
    if settings.track:
        painted = read_prompt_masks(mask_path(run), video)
        prompts += [ObjectPrompt(_frame(name, run.frames.start), mask=mask) for name, mask in painted]
    inside = [
        prompt
        for prompt in prompts
        if run.frames.start <= prompt.frame < run.frames.stop or prompt.frame >= video.frames
    ]
    return check_prompts(inside or prompts, (video.width, video.height), run.frames)


def source_and_targets(run: RunContext) -> tuple[FrameSource, Targets]:
    """Return the frames in which the job's object is tracked, and its targets by frame. Holds a mask per prompt."""
    source = FrameSource.of(lambda start, stop: read_pixels(run, start, stop), run.frames)
    return source, find_targets(read_prompts(run), source)


def _point(text: str) -> ObjectPrompt:
    position, _, frame = text.removeprefix("!").partition("@")
    x, y = map(float, position.split(","))
    return ObjectPrompt(int(frame), points=(Point(x, y, on_object=not text.startswith("!")),))


def _frame(name: str, otherwise: int) -> int:
    """Return the frame number at the end of a file name (12 for `mask_00012.png`), or `otherwise`."""
    found = _LAST_NUMBER.search(PurePosixPath(name).stem)
    # A longer number is outside the video whatever follows; int() refuses one of thousands of digits.
    return int(found[1].lstrip("0")[: _MOST_DIGITS + 1] or 0) if found else otherwise
