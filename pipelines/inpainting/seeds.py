"""From a hint to the object: its box, its outline, its form and its colours on the frame that was marked."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.inpainting.background import Footage, Scene
from pipelines.inpainting.boxes import Box, Outline, crop_of, grown
from pipelines.inpainting.hints import Hint, Mask, Point
from pipelines.inpainting.silhouette import Colours, colours_of, form_of, grab_cut, moved_in

_FEWEST_MOVED = 0.08
"""Share of the box that must have moved for its outline to be told by that alone."""
_MARGIN = 0.6
_POINT_REACH = 0.15
"""Of the picture's shorter side: how far around clicks an object is looked for."""
_DOT_PX = 3


@dataclass(frozen=True, eq=False)
class Seed:
    """The object on frame `frame`: `box` and `outline` `(H, W)` at work size."""

    frame: int
    box: Box
    outline: Outline
    form: Outline
    colours: Colours
    given: Mask | None
    """The mask `(H, W)` of the video's size where the user painted one."""

    @property
    def filling(self) -> float:
        """Share of the box that is the object."""
        return float(max(0.05, self.outline.sum() / (self.box[2] * self.box[3])))


def seeds_from(hints: Sequence[Hint], footage: Footage) -> dict[int, Seed]:
    """The object as each of the checked hints shows it, by frame. Holds a hint's neighbours, and two masks a hint."""
    return {hint.frame: _seed(hint, footage) for hint in hints}


def _seed(hint: Hint, footage: Footage) -> Seed:
    """A painted mask is taken as it is; in a box, or around clicks, the object is cut out."""
    with closing(footage.scenes(hint.frame, hint.frame + 1)) as scenes:
        scene = next(scenes)
    pixels, scale = scene.view.pixels, footage.scale
    if hint.mask is not None:
        size = pixels.shape[1], pixels.shape[0]
        small = cv2.resize(hint.mask.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
        outline = (small > 0).astype(np.uint8)
        box = np.array(cv2.boundingRect(outline), np.float64)
    else:
        points = [Point(p.x * scale, p.y * scale, p.on_object) for p in hint.points]
        box = _box_around(points, scene) if hint.box is None else np.array(hint.box) * scale
        outline = _cut_out(scene, box, points)
    form = form_of(outline[crop_of(box, pixels.shape).slices])
    return Seed(hint.frame, box, outline, form, colours_of(pixels, outline), hint.mask)


def _box_around(points: list[Point], scene: Scene) -> Box:
    """The box of what lies under clicks; where nothing can be told, of all that is near them."""
    rows, columns = scene.view.pixels.shape[:2]
    reach = _POINT_REACH * min(rows, columns)
    clicked = np.array([p[:2] for p in points if p.on_object])
    low = np.maximum(clicked.min(axis=0) - reach, 0)
    high = np.minimum(clicked.max(axis=0) + reach, (columns, rows))
    region = np.concatenate([low, high - low])
    _, labels = cv2.connectedComponents(_cut_out(scene, region, points))
    under = {int(labels[int(y), int(x)]) for x, y in clicked} - {0}
    found = np.isin(labels, list(under)).astype(np.uint8)
    return np.array(cv2.boundingRect(found), np.float64) if under else region


def _cut_out(scene: Scene, box: Box, points: list[Point]) -> Outline:
    """The outline of the object in `box`, `(H, W)`; an ellipse where nothing can be told.

    What moves is the object, and nothing outlines it better; where nothing does, or where a click says that it is
    another thing that moves, GrabCut goes by the colours.
    """
    pixels = scene.view.pixels
    crop, inner = crop_of(grown(box, _MARGIN), pixels.shape), crop_of(box, pixels.shape)
    inside = np.zeros(pixels.shape[:2], np.uint8)
    inside[inner.slices] = 1
    outline = np.zeros_like(inside)
    outline[crop.slices] = moved_in(scene, crop, inner)
    outline &= inside
    refused = any(outline[int(p.y), int(p.x)] for p in points if not p.on_object)
    if refused or outline.sum() < _FEWEST_MOVED * inner.area:
        labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
        for x, y, on_object in points:
            cv2.circle(labels, (int(x), int(y)), _DOT_PX, cv2.GC_FGD if on_object else cv2.GC_BGD, -1)
        outline[crop.slices] = grab_cut(pixels[crop.slices], labels[crop.slices])
    for x, y, on_object in points:
        cv2.circle(outline, (int(x), int(y)), _DOT_PX, int(on_object), -1)
    if outline.sum() < _FEWEST_MOVED * inner.area:
        x, y, width, height = box
        cv2.ellipse(outline, ((x + width / 2, y + height / 2), (width, height), 0), 1, -1)
    return outline
