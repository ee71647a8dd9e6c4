"""From a hint to the object: its box, its outline, its form and its colours on the frame that was marked."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.tracking.appearance import (
    Histogram,
    colour_histogram,
    grab_cut,
    moving_mask,
    silhouette_of,
)
from pipelines.tracking.background import FrameNeighbours, FrameSource
from pipelines.tracking.prompts import ObjectPrompt, Point
from pipelines.vision.boxes import Box, Outline, box_crop, grow
from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask, Pixels

_FEWEST_FOUND = 0.08
"""Share of the box from which what was found in it is taken for the object."""
_MUCH_MORE = 0.4
"""How much more, by its colours, makes what moves a part of the object: a little more is background of its colours."""
_MARGIN = 0.6
_POINT_REACH = 0.15
"""Of the picture's shorter side: how far around clicks an object is looked for."""
_DOT_PX = 3


@dataclass(frozen=True, eq=False)
class Target:
    """The object on frame `frame`: `box` and `outline` `(H, W)` at work size."""

    frame: int
    box: Box
    outline: Outline
    form: Outline
    colours: Histogram
    given: Mask | None
    """The mask `(H, W)` of the video's size where the user painted one."""
    slow: bool = False
    """Whether only a part of it, such as its rim, moves against the background."""

    @property
    def filling(self) -> float:
        """Share of the box that is the object."""
        return float(max(0.05, self.outline.sum() / (self.box[2] * self.box[3])))


def find_targets(prompts: Sequence[ObjectPrompt], source: FrameSource) -> dict[int, Target]:
    """The object as each of the checked hints shows it, by frame. Holds a hint's neighbours, and two masks a hint."""
    return {prompt.frame: _find_target(prompt, source) for prompt in prompts}


def _find_target(prompt: ObjectPrompt, source: FrameSource) -> Target:
    """A painted mask alone is taken as it is; in a box, or around clicks, the object is cut out, paint and all."""
    with closing(source.neighbourhoods(prompt.frame, prompt.frame + 1)) as neighbourhoods:
        neighbours = next(neighbourhoods)
    pixels, scale, slow = neighbours.current.pixels, source.scale, False
    points = [Point(p.x * scale, p.y * scale, p.on_object) for p in prompt.points]
    outline = _painted(prompt, pixels.shape)
    box = np.array(cv2.boundingRect(outline), np.float64)
    looked_for = prompt.box is not None or any(p.on_object for p in points)
    if looked_for:
        place = _box_around(points, neighbours) if prompt.box is None else np.array(prompt.box) * scale
        box = place if prompt.mask is None else _around_both(place, box)
        outline, slow = _cut_out(neighbours, box, points, outline)
    form = silhouette_of(outline[box_crop(box, pixels.shape).slices])
    given = None if looked_for else prompt.mask
    return Target(prompt.frame, box, outline, form, colour_histogram(pixels, outline), given, slow)


def _painted(prompt: ObjectPrompt, shape: tuple[int, ...]) -> Outline:
    """What the user painted, at work size; anything of a pixel counts."""
    if prompt.mask is None:
        return np.zeros(shape[:2], np.uint8)
    size = shape[1], shape[0]
    small = cv2.resize(prompt.mask.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    return (small > 0).astype(np.uint8)


def _around_both(first: Box, second: Box) -> Box:
    low, high = np.minimum(first[:2], second[:2]), np.maximum(first[:2] + first[2:], second[:2] + second[2:])
    return np.concatenate([low, high - low])


def _box_around(points: list[Point], neighbours: FrameNeighbours) -> Box:
    """The box of what lies under clicks; where nothing can be told, of all that is near them."""
    rows, columns = neighbours.current.pixels.shape[:2]
    reach = _POINT_REACH * min(rows, columns)
    clicked = np.array([p[:2] for p in points if p.on_object])
    low = np.maximum(clicked.min(axis=0) - reach, 0)
    high = np.minimum(clicked.max(axis=0) + reach, (columns, rows))
    region = np.concatenate([low, high - low])
    outline, _ = _cut_out(neighbours, region, points, np.zeros((rows, columns), np.uint8))
    _, labels = cv2.connectedComponents(outline)
    under = {int(labels[int(y), int(x)]) for x, y in clicked} - {0}
    found = np.isin(labels, list(under)).astype(np.uint8)
    return np.array(cv2.boundingRect(found), np.float64) if under else region


def _cut_out(
    neighbours: FrameNeighbours, box: Box, points: list[Point], painted: Outline
) -> tuple[Outline, bool]:
    """The outline of the object in `box`, `(H, W)`, an ellipse where nothing can be told; and whether it is slow.

    What is `painted` is part of it.

    What moves is the object, and nothing outlines it better. But of a slow thing only a part moves against the
    background, of a still one nothing: then GrabCut adds what the box has to itself by its colours. Where a click says
    that what moves is another thing, colours alone count.
    """
    pixels = neighbours.current.pixels
    crop, inner = box_crop(grow(box, _MARGIN), pixels.shape), box_crop(box, pixels.shape)
    inside = np.zeros(pixels.shape[:2], np.uint8)
    inside[inner.slices] = 1
    outline = np.zeros_like(inside)
    outline[crop.slices] = moving_mask(neighbours, crop, inner)
    outline &= inside
    if any(outline[int(p.y), int(p.x)] for p in points if not p.on_object):
        outline[...] = 0
    outline |= painted
    alike = _alike(pixels, crop, inside, points, painted)
    slow = bool((alike & ~outline).sum() > _MUCH_MORE * outline.sum())
    if slow:
        outline |= alike
    for x, y, on_object in points:
        cv2.circle(outline, (int(x), int(y)), _DOT_PX, int(on_object), -1)
    if outline.sum() < _FEWEST_FOUND * inner.area:
        x, y, width, height = box
        cv2.ellipse(outline, ((x + width / 2, y + height / 2), (width, height), 0), 1, -1)
    return outline, slow


def _alike(pixels: Pixels, crop: Crop, inside: Outline, points: list[Point], painted: Outline) -> Outline:
    """What lies `inside` and has other colours than the rest of `crop`."""
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    labels[painted > 0] = cv2.GC_FGD
    for x, y, on_object in points:
        cv2.circle(labels, (int(x), int(y)), _DOT_PX, cv2.GC_FGD if on_object else cv2.GC_BGD, -1)
    alike = np.zeros_like(inside)
    alike[crop.slices] = grab_cut(pixels[crop.slices], labels[crop.slices])
    return alike
