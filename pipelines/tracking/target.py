"""From a prompt to the tracking target: the object's box, outline, silhouette and colours on the marked frame."""

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
"""Share of the box that a segmented outline must fill; a smaller one is replaced by an ellipse in the box."""
_SLOW_SHARE = 0.4
"""If colour adds more than this share to what moves, only a part of the object moves: less is similar background."""
_MARGIN = 0.6
"""Enlargement of the box in which the background's colours are learnt."""
_LEAST_FILLING = 0.05
"""Lower limit of the share of its box that an object fills: areas are divided by it."""
_POINT_REACH = 0.15
"""Distance around clicks in which the object is searched, as a share of the frame's shorter side."""
_DOT_PX = 3
"""Radius of what a click marks as object or background."""


@dataclass(frozen=True, eq=False)
class Target:
    """The object on frame `frame`: its `box`, `outline` `(H, W)` {0, 1}, `silhouette` and `colours` at work size."""

    frame: int
    box: Box
    outline: Outline
    silhouette: Outline
    colours: Histogram
    painted: Mask | None
    """The mask `(H, W)` at the video's size if the user painted it; used unchanged on its frame."""
    slow: bool = False
    """Whether only a part of the object, such as its rim, moves against the background."""

    @property
    def filling(self) -> float:
        """Share of the box that the object fills."""
        return float(max(_LEAST_FILLING, self.outline.sum() / (self.box[2] * self.box[3])))


def find_targets(prompts: Sequence[ObjectPrompt], source: FrameSource) -> dict[int, Target]:
    """Find the target of each checked prompt, by frame. Holds two masks per prompt, and the neighbours of one."""
    return {prompt.frame: _find_target(prompt, source) for prompt in prompts}


def _find_target(prompt: ObjectPrompt, source: FrameSource) -> Target:
    """Use a painted mask alone as it is; in a box, or around clicks, segment the object."""
    with closing(source.neighbourhoods(prompt.frame, prompt.frame + 1)) as neighbourhoods:
        neighbours = next(neighbourhoods)
    pixels, scale, slow = neighbours.current.pixels, source.scale, False
    points = [Point(p.x * scale, p.y * scale, p.on_object) for p in prompt.points]
    outline = _painted(prompt, pixels.shape)
    box = np.array(cv2.boundingRect(outline), np.float64)
    segmented = prompt.box is not None or any(p.on_object for p in points)
    if segmented:
        region = _box_around(points, neighbours) if prompt.box is None else np.array(prompt.box) * scale
        box = region if prompt.mask is None else _union_box(region, box)
        outline, slow = _segment(neighbours, box, points, outline)
    silhouette = silhouette_of(outline[box_crop(box, pixels.shape).slices])
    painted = None if segmented else prompt.mask
    return Target(prompt.frame, box, outline, silhouette, colour_histogram(pixels, outline), painted, slow)


def _painted(prompt: ObjectPrompt, shape: tuple[int, ...]) -> Outline:
    """The painted mask at work size; a pixel counts if any part of it is painted."""
    if prompt.mask is None:
        return np.zeros(shape[:2], np.uint8)
    size = shape[1], shape[0]
    small = cv2.resize(prompt.mask.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    return (small > 0).astype(np.uint8)


def _union_box(first: Box, second: Box) -> Box:
    low, high = np.minimum(first[:2], second[:2]), np.maximum(first[:2] + first[2:], second[:2] + second[2:])
    return np.concatenate([low, high - low])


def _box_around(points: list[Point], neighbours: FrameNeighbours) -> Box:
    """The box of the object under clicks; if none can be segmented, the region around them."""
    rows, columns = neighbours.current.pixels.shape[:2]
    reach = _POINT_REACH * min(rows, columns)
    clicked = np.array([p[:2] for p in points if p.on_object])
    low = np.maximum(clicked.min(axis=0) - reach, 0)
    high = np.minimum(clicked.max(axis=0) + reach, (columns, rows))
    region = np.concatenate([low, high - low])
    outline, _ = _segment(neighbours, region, points, np.zeros((rows, columns), np.uint8))
    _, labels = cv2.connectedComponents(outline)
    under = {int(labels[int(y), int(x)]) for x, y in clicked} - {0}
    found = np.isin(labels, list(under)).astype(np.uint8)
    return np.array(cv2.boundingRect(found), np.float64) if under else region


def _segment(
    neighbours: FrameNeighbours, box: Box, points: list[Point], painted: Outline
) -> tuple[Outline, bool]:
    """Segment the object in `box`; returns its outline `(H, W)` {0, 1}, and whether the object is slow.

    What moves is the object, and nothing outlines it better. But only a part of a slow object moves against the
    background, and nothing of a still one: then GrabCut adds what differs from the surroundings in colour. If a
    negative click says that what moves is another object, colour alone decides. What is `painted` is always part of
    the outline. If nothing is found, the outline is an ellipse in the box.
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
    by_colour = _segment_by_colour(pixels, crop, inside, points, painted)
    slow = bool((by_colour & ~outline).sum() > _SLOW_SHARE * outline.sum())
    if slow:
        outline |= by_colour
    for x, y, on_object in points:
        cv2.circle(outline, (int(x), int(y)), _DOT_PX, int(on_object), -1)
    if outline.sum() < _FEWEST_FOUND * inner.area:
        x, y, width, height = box
        cv2.ellipse(outline, ((x + width / 2, y + height / 2), (width, height), 0), 1, -1)
    return outline, slow


def _segment_by_colour(
    pixels: Pixels, crop: Crop, inside: Outline, points: list[Point], painted: Outline
) -> Outline:
    """Segment what lies `inside` and differs in colour from the rest of `crop`."""
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    labels[painted > 0] = cv2.GC_FGD
    for x, y, on_object in points:
        cv2.circle(labels, (int(x), int(y)), _DOT_PX, cv2.GC_FGD if on_object else cv2.GC_BGD, -1)
    by_colour = np.zeros_like(inside)
    by_colour[crop.slices] = grab_cut(pixels[crop.slices], labels[crop.slices])
    return by_colour
