"""From hints to a mask per frame: a fat region that follows the object, and a word where it was lost.

Two walks leave a small record per frame, forwards from each hint to the next and backwards from each to the one
before; a pass over the frames then weighs the two, the nearer hint more, and draws the mask. Removing an object
wants all of it rather than nothing else, so masks are larger than what they cover.
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

_FAT, _REACH = 0.25, 0.6
_FEWEST_MOVED, _WHOLE, _TOO_MUCH = 0.25, 0.6, 2.5
"""Of the share of its box that the object filled when it was shown: too little, all of it, and more than that."""
_LINGER_FRAMES = 12
"""How long a lost object is masked where it should be: a mask over nothing costs what is behind it."""
_SAME, _AGREEING, _SURER = 0.6, 0.3, 3.0
_MARGIN = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


@dataclass(frozen=True, eq=False)
class Tracked:
    """The object on one frame: `mask` `(H, W)` bool, and a box `(x, y, width, height)` in pixels of the video.

    Where it is `lost`, a hint at this frame helps; the mask then covers where it should be, for a while. `trust` is
    0 to 1.
    """

    frame: int
    box: tuple[float, float, float, float]
    mask: Mask
    lost: bool
    trust: float


def track(frames_from: Frames, prompts: Sequence[ObjectPrompt], start: int, stop: int) -> Generator[Tracked]:
    """A mask for each frame of `[start, stop)`, in order; the same each time.

    `frames_from` is called several times, never for frames outside. Walks back first, where a hint lies ahead. Holds
    what two `FrameSource.neighbourhoods` hold, two masks a hint, and 33 bytes a frame.

    Raises:
        BadInput: a hint is empty, outside the picture or outside the frames, or there is none.
    """
    source = FrameSource.of(frames_from, Span(start, stop))
    targets = find_targets(check_prompts(prompts, source.size, source.whole), source)
    back = np.concatenate([np.zeros(0, RECORD), *pass_records(source, targets, start, stop, backward=True)])[
        ::-1
    ]
    with closing(pass_records(source, targets, start, stop)) as on:
        yield from fused_masks(source, targets, (record[0] for record in on), back, start, stop)


def fused_masks(
    source: FrameSource,
    targets: Targets,
    on: Iterable[np.void],
    back: Iterable[np.void],
    start: int,
    stop: int,
) -> Generator[Tracked]:
    """The masks of frames `[start, stop)` from their records in the walk on and in the walk back, both in order.

    Reads the frames' neighbours, so that the masks are the same from any start. Holds what
    `FrameSource.neighbourhoods` holds.
    """
    with closing(source.neighbourhoods(start, stop)) as neighbourhoods:
        for neighbours, here, there in zip(neighbourhoods, on, back, strict=True):
            frame = neighbours.current.index
            fused = _fuse(here, there, _progress(targets, frame))
            mask = _draw_mask(neighbours, source, targets[_nearest_prompt(targets, frame)], fused)
            x, y, w, h = (float(side) / source.scale for side in fused.boxes[0])
            yield Tracked(frame, (x, y, w, h), mask, fused.lost > 0, fused.trust)


@dataclass(frozen=True)
class _Fused:
    """Where the object is, by one box, or by two that do not agree, the surer first; `lost` for so many frames."""

    boxes: tuple[Box, ...]
    lost: int
    trust: float


def _progress(targets: Targets, frame: int) -> float:
    """How far `frame` is on the way from the hint before it, 0, to the one after, 1; either where there is but one."""
    before, after = prompt_behind(targets, frame, 1), prompt_behind(targets, frame, -1)
    if before is None or after is None:
        return 1.0 if before is None else 0.0
    return (frame - before) / max(1, after - before)


def _nearest_prompt(targets: Targets, frame: int) -> int:
    return min(targets, key=lambda prompt: abs(prompt - frame))


def _fuse(on: np.void, back: np.void, progress: float) -> _Fused:
    """Weigh what the two walks say: by trust, and by nearness to their hints."""
    said = [(record, weight) for record, weight in ((on, 1 - progress), (back, progress)) if weight > 0]
    seen = [(record, weight * float(record["trust"])) for record, weight in said if not record["lost"]]
    if not seen:
        return _Fused((_mean_box(said),), min(int(record["lost"]) for record, _ in said), 0.0)
    seen.sort(key=lambda pair: -pair[1])
    boxes = tuple(record["box"].astype(np.float64) for record, _ in seen)
    trust = max(float(record["trust"]) for record, _ in seen)
    if len(seen) == 1:
        return _Fused(boxes, 0, trust)
    shared = iou(*boxes)
    if shared >= _SAME:
        return _Fused((_mean_box(seen),), 0, trust)
    # Apart, so one of them is wrong; which one is said only where the other is far from its hint or not sure.
    wrong = shared < _AGREEING and seen[0][1] < _SURER * seen[1][1]
    return _Fused(boxes, 1, 0.0) if wrong else _Fused(boxes, 0, trust)


def _mean_box(weighed: list[tuple[np.void, float]]) -> Box:
    boxes = np.array([record["box"] for record, _ in weighed], np.float64)
    return np.average(boxes, axis=0, weights=[max(1e-6, weight) for _, weight in weighed])


def _draw_mask(neighbours: FrameNeighbours, source: FrameSource, target: Target, fused: _Fused) -> Mask:
    """The mask `(H, W)` of the video's size."""
    if target.given is not None and neighbours.current.index == target.frame:
        return target.given
    shape = neighbours.current.pixels.shape
    small = np.zeros(shape[:2], np.uint8)
    for box in fused.boxes if fused.lost <= _LINGER_FRAMES else ():
        crop = box_crop(grow(box, _REACH), shape)
        if crop.area:
            small[crop.slices] |= np.asarray(
                cv2.dilate(_outline(neighbours, target, box, crop), _MARGIN), np.uint8
            )
        if fused.lost:
            small[box_crop(grow(box, _FAT), shape).slices] = 1
    if source.scale == 1:
        return small.astype(np.bool_)
    # Anything of a pixel counts: fat, not thin.
    return cv2.resize(small * np.uint8(255), source.size, interpolation=cv2.INTER_LINEAR) > 0


def _outline(neighbours: FrameNeighbours, target: Target, box: Box, crop: Crop) -> Outline:
    """The object in `crop`, without gaps: what moves about its box, and the form of a slow or a painted one.

    Where little moves: its form, and what GrabCut finds.
    """
    form = place_silhouette(target.form, box, crop)
    found = _visible_parts(neighbours, target, box, crop, form)
    # A mask with gaps leaves pieces of it.
    return fill_interior(found | form if target.slow or target.given is not None else found)


def _visible_parts(
    neighbours: FrameNeighbours, target: Target, box: Box, crop: Crop, form: Outline
) -> Outline:
    """What the frame itself shows of the object."""
    pixels = neighbours.current.pixels
    core, inner = box_crop(grow(box, _FAT), pixels.shape), box_crop(box, pixels.shape)
    whole = target.filling * box[2] * box[3]
    moved = moving_mask(neighbours, crop, core)
    if moved.sum() > _TOO_MUCH * whole:
        moved = moving_mask(neighbours, crop, core, target.colours)
    if moved.sum() >= _WHOLE * whole:
        return moved
    if moved.sum() >= _FEWEST_MOVED * whole:
        return moved | form
    labels = np.full(form.shape, cv2.GC_BGD, np.uint8)
    labels[inner.slices_in(crop)] = cv2.GC_PR_BGD
    labels[form > 0] = cv2.GC_PR_FGD
    return form | moved | grab_cut(pixels[crop.slices], labels)
