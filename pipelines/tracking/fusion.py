"""From prompts to a mask per frame that follows the object, and a flag where the object is lost.

Two tracking passes leave a small record per frame: forwards from each prompt to the next, and backwards from each
to the one before. They are fused, the nearer prompt counting more, and the mask is drawn. Removal wants recall
rather than precision, so masks are larger than the object.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.spans import Span
from pipelines.tracking.appearance import fill_interior, grab_cut, moving_mask, place_silhouette
from pipelines.tracking.background import FrameNeighbours, Frames, FrameSource
from pipelines.tracking.csrt import RECORD
from pipelines.tracking.passes import Targets, pass_records, prompt_behind
from pipelines.tracking.prompts import ObjectPrompt, check_prompts
from pipelines.tracking.target import Target, find_targets
from pipelines.vision.boxes import Box, Outline, box_crop, grow, iou
from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask

_MARGIN_SHARE, _SEARCH_SHARE = 0.25, 0.6
"""Enlargement of the box that is masked while the object is lost, and of the crop in which its outline is searched.

A tracked box enlarged by 25 % covered 87 % of the object on average in a trial over 80 frames with one prompt.
"""
_LEAST_MOVING, _WHOLE, _TOO_MUCH = 0.25, 0.6, 2.5
"""Moving area relative to the target's: below the first GrabCut helps, from the second on it is the object alone, and
above the third it includes other objects.
"""
_LINGER_FRAMES = 12
"""How long the expected box of a lost object is masked: a needless mask costs the background behind it."""
_SAME_IOU, _CONFLICT_IOU, _DECISIVE = 0.6, 0.3, 3.0
"""Overlap of the passes' boxes at which they agree and below which they conflict, and the weight ratio that decides."""
_DILATION = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
"""Covers an outline's soft border."""


@dataclass(frozen=True, eq=False)
class Tracked:
    """A tracked object on one frame: `mask` `(H, W)` bool and `box` `(x, y, width, height)` in pixels of the video.

    If it is `lost`, a prompt on this frame helps; the mask then covers its expected box for a while. `confidence` is
    0 to 1.
    """

    frame: int
    box: tuple[float, float, float, float]
    mask: Mask
    lost: bool
    confidence: float


def track(frames_from: Frames, prompts: Sequence[ObjectPrompt], start: int, stop: int) -> Generator[Tracked]:
    """Track an object: yield its mask for each frame of `[start, stop)`, in order; deterministic.

    `frames_from` is called several times, never for frames outside. The backward pass runs first. Holds what two
    `FrameSource.neighbourhoods` hold, two masks per prompt, and 33 bytes per frame.

    Raises:
        BadInput: there is no prompt, or one is empty, outside the picture or outside the frames.
    """
    source = FrameSource.of(frames_from, Span(start, stop))
    targets = find_targets(check_prompts(prompts, source.size, source.span), source)
    records = pass_records(source, targets, start, stop, backward=True)
    back = np.concatenate([np.zeros(0, RECORD), *records])[::-1]
    with closing(pass_records(source, targets, start, stop)) as forward:
        yield from fused_masks(source, targets, (record[0] for record in forward), back, start, stop)


def fused_masks(
    source: FrameSource,
    targets: Targets,
    forward: Iterable[np.void],
    backward: Iterable[np.void],
    start: int,
    stop: int,
) -> Generator[Tracked]:
    """Yield the masks of frames `[start, stop)` from their records in both passes, all in order.

    The masks are the same from any start. Holds what `FrameSource.neighbourhoods` holds.
    """
    with closing(source.neighbourhoods(start, stop)) as neighbourhoods:
        for neighbours, record, other in zip(neighbourhoods, forward, backward, strict=True):
            frame = neighbours.current.index
            fused = _fuse(record, other, _progress(targets, frame))
            mask = _draw_mask(neighbours, source, targets[_nearest_prompt(targets, frame)], fused)
            x, y, w, h = (float(side) / source.scale for side in fused.boxes[0])
            yield Tracked(frame, (x, y, w, h), mask, fused.lost > 0, fused.confidence)


@dataclass(frozen=True)
class _Fused:
    """The object's position: one box, or two that conflict, the more likely first; `lost` for so many frames."""

    boxes: tuple[Box, ...]
    lost: int
    confidence: float


def _progress(targets: Targets, frame: int) -> float:
    """Position of `frame` between the prompt before it, 0, and the one after, 1; 0 or 1 if there is only one."""
    before, after = prompt_behind(targets, frame, 1), prompt_behind(targets, frame, -1)
    if before is None or after is None:
        return 1.0 if before is None else 0.0
    return (frame - before) / max(1, after - before)


def _nearest_prompt(targets: Targets, frame: int) -> int:
    return min(targets, key=lambda prompt: abs(prompt - frame))


def _fuse(forward: np.void, backward: np.void, progress: float) -> _Fused:
    """Fuse the records of both passes, weighted by confidence and by nearness to their prompts."""
    votes = [
        (record, weight) for record, weight in ((forward, 1 - progress), (backward, progress)) if weight > 0
    ]
    seen = [(record, weight * float(record["trust"])) for record, weight in votes if not record["lost"]]
    if not seen:
        return _Fused((_mean_box(votes),), min(int(record["lost"]) for record, _ in votes), 0.0)
    seen.sort(key=lambda pair: -pair[1])
    boxes = tuple(record["box"].astype(np.float64) for record, _ in seen)
    confidence = max(float(record["trust"]) for record, _ in seen)
    if len(seen) == 1:
        return _Fused(boxes, 0, confidence)
    shared = iou(*boxes)
    if shared >= _SAME_IOU:
        return _Fused((_mean_box(seen),), 0, confidence)
    # One of them is wrong; which one is clear only if it is far from its prompt or not confident.
    wrong = shared < _CONFLICT_IOU and seen[0][1] < _DECISIVE * seen[1][1]
    return _Fused(boxes, 1, 0.0) if wrong else _Fused(boxes, 0, confidence)


def _mean_box(weighed: list[tuple[np.void, float]]) -> Box:
    boxes = np.array([record["box"] for record, _ in weighed], np.float64)
    return np.average(boxes, axis=0, weights=[max(1e-6, weight) for _, weight in weighed])


def _draw_mask(neighbours: FrameNeighbours, source: FrameSource, target: Target, fused: _Fused) -> Mask:
    """Draw the mask `(H, W)` at the video's size."""
    if target.painted is not None and neighbours.current.index == target.frame:
        return target.painted
    shape = neighbours.current.pixels.shape
    small = np.zeros(shape[:2], np.uint8)
    for box in fused.boxes if fused.lost <= _LINGER_FRAMES else ():
        crop = box_crop(grow(box, _SEARCH_SHARE), shape)
        if crop.area:
            small[crop.slices] |= np.asarray(
                cv2.dilate(_outline(neighbours, target, box, crop), _DILATION), np.uint8
            )
        if fused.lost:
            small[box_crop(grow(box, _MARGIN_SHARE), shape).slices] = 1
    if source.scale == 1:
        return small.astype(np.bool_)
    # A pixel is masked if any part of it is: removal wants recall.
    return cv2.resize(small * np.uint8(255), source.size, interpolation=cv2.INTER_LINEAR) > 0


def _outline(neighbours: FrameNeighbours, target: Target, box: Box, crop: Crop) -> Outline:
    """The object's outline in `crop`, filled: its visible parts, and the silhouette of a slow or painted object."""
    silhouette = place_silhouette(target.silhouette, box, crop)
    found = _visible_parts(neighbours, target, box, crop, silhouette)
    # Gaps in the mask would leave pieces of the object.
    return fill_interior(found | silhouette if target.slow or target.painted is not None else found)


def _visible_parts(
    neighbours: FrameNeighbours, target: Target, box: Box, crop: Crop, silhouette: Outline
) -> Outline:
    """What moves of the object; with little motion, its silhouette and GrabCut's result as well."""
    pixels = neighbours.current.pixels
    core, inner = box_crop(grow(box, _MARGIN_SHARE), pixels.shape), box_crop(box, pixels.shape)
    whole = target.filling * box[2] * box[3]
    moved = moving_mask(neighbours, crop, core)
    if moved.sum() > _TOO_MUCH * whole:
        moved = moving_mask(neighbours, crop, core, target.colours)
    if moved.sum() >= _WHOLE * whole:
        return moved
    if moved.sum() >= _LEAST_MOVING * whole:
        return moved | silhouette
    labels = np.full(silhouette.shape, cv2.GC_BGD, np.uint8)
    labels[inner.slices_in(crop)] = cv2.GC_PR_BGD
    labels[silhouette > 0] = cv2.GC_PR_FGD
    return silhouette | moved | grab_cut(pixels[crop.slices], labels)
