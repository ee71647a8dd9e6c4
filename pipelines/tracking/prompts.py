"""Prompts that mark an object on a frame: a box, clicked points or a painted mask."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipelines.errors import BadInput
from pipelines.spans import Span
from pipelines.storage.names import quoted
from pipelines.vision.types import Mask

_NUMBER = r"\s*(-?[0-9]{1,9}(?:\.[0-9]{1,20})?)\s*"
_BOX = re.compile(",".join([_NUMBER] * 4) + r"@\s*([0-9]{1,9})\s*")
_LEAST_SIDE_PX = 4
"""Smaller boxes are slips of the mouse."""


class Point(NamedTuple):
    """A click in pixels of the video; `on_object` is false for a negative click, on what is not the object."""

    x: float
    y: float
    on_object: bool = True


@dataclass(frozen=True, eq=False)
class ObjectPrompt:
    """A prompt on frame `frame`: a box `(x, y, width, height)`, points, a mask `(H, W)` bool, or several of these.

    All in pixels of the video. A mask alone is used as it is. With a box or points the object is segmented in their
    region, and a mask beside them is part of the object.
    """

    frame: int
    box: tuple[float, float, float, float] | None = None
    points: tuple[Point, ...] = ()
    mask: Mask | None = None

    @classmethod
    def parse(cls, text: str) -> "ObjectPrompt":
        """Parse a box as written on the command line: `x,y,width,height@frame`.

        Raises:
            BadInput: `text` is not a box.
        """
        match = _BOX.fullmatch(text)
        if not match:
            raise BadInput(
                f"{quoted(text)} is not a box.",
                "Write x,y,width,height@frame, for example 120,80,60,140@0.",
                "mark.not_a_box",
                text=quoted(text),
            )
        x, y, width, height = (float(match[k]) for k in range(1, 5))
        return cls(int(match[5]), box=(x, y, width, height))


def check_prompts(prompts: Sequence[ObjectPrompt], size: tuple[int, int], frames: Span) -> list[ObjectPrompt]:
    """Check prompts against a video of `size` (width, height), of which `frames` are used.

    Returns them in order of their frames, those of the same frame merged.

    Raises:
        BadInput: there is no prompt, or one is empty, outside the picture or outside the frames.
    """
    if not prompts:
        raise BadInput(
            "No prompt marks the object.",
            "Give a mask, or mark the object on a frame with a box, points or paint.",
            "mask.nothing",
        )
    found: dict[int, ObjectPrompt] = {}
    for prompt in prompts:
        _check(prompt, size, frames)
        found[prompt.frame] = _merge(found[prompt.frame], prompt) if prompt.frame in found else prompt
    for prompt in found.values():
        if prompt.box is None and prompt.mask is None and not any(p.on_object for p in prompt.points):
            raise BadInput(
                f"The prompt at frame {prompt.frame} marks nothing.",
                "Draw a box, paint, or click on the object itself.",
                "mark.nothing",
                frame=prompt.frame,
            )
    return [found[frame] for frame in sorted(found)]


def _check(prompt: ObjectPrompt, size: tuple[int, int], frames: Span) -> None:
    width, height = size
    if not frames.start <= prompt.frame < frames.stop:
        raise BadInput(
            f"The prompt at frame {prompt.frame} is outside the frames {frames.start} to {frames.stop - 1}.",
            "Mark a frame that is processed, or change --start and --end.",
            "mark.outside_part",
            frame=prompt.frame,
            start=frames.start,
            stop=frames.stop - 1,
        )
    picture = f"the picture of {width}x{height} pixels"
    if prompt.box is not None:
        x, y, w, h = prompt.box
        if w < _LEAST_SIDE_PX or h < _LEAST_SIDE_PX:
            raise BadInput(
                f"The box at frame {prompt.frame} is {w:g}x{h:g} pixels.",
                "Draw it around the object.",
                "mark.small_box",
                frame=prompt.frame,
            )
        if x < 0 or y < 0 or x + w > width or y + h > height:
            raise BadInput(
                f"The box {x:g},{y:g},{w:g},{h:g} at frame {prompt.frame} is not inside {picture}.",
                "A box is x,y,width,height in pixels of the displayed picture, from its upper left corner.",
                "mark.box_outside",
                frame=prompt.frame,
            )
    for x, y, _ in prompt.points:
        if not (0 <= x < width and 0 <= y < height):
            raise BadInput(
                f"The point {x:g},{y:g} at frame {prompt.frame} is not inside {picture}.",
                "Click on the picture.",
                "mark.point_outside",
                frame=prompt.frame,
            )
    if prompt.mask is not None:
        rows, columns = prompt.mask.shape
        if (columns, rows) != size:
            raise BadInput(
                f"The mask at frame {prompt.frame} has {columns}x{rows} pixels, and the video {width}x{height}.",
                "Paint on a frame at its full size.",
                "mark.size",
                frame=prompt.frame,
                width=columns,
                height=rows,
                video_width=width,
                video_height=height,
            )
        if not prompt.mask.any():
            raise BadInput(
                f"The mask at frame {prompt.frame} is empty.",
                "Paint over the object.",
                "mark.nothing",
                frame=prompt.frame,
            )


def _merge(first: ObjectPrompt, second: ObjectPrompt) -> ObjectPrompt:
    """Merge two prompts of one frame: the union of their masks, all points, and a box around both boxes."""
    boxes = [prompt.box for prompt in (first, second) if prompt.box is not None]
    masks = [prompt.mask for prompt in (first, second) if prompt.mask is not None]
    left, top = (min((b[k] for b in boxes), default=0.0) for k in (0, 1))
    right, bottom = (max((b[k] + b[k + 2] for b in boxes), default=0.0) for k in (0, 1))
    return ObjectPrompt(
        first.frame,
        (left, top, right - left, bottom - top) if boxes else None,
        (*first.points, *second.points),
        np.logical_or.reduce(masks) if masks else None,
    )
