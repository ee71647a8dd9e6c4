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
from pipelines.tracking.appearance import form_in, grab_cut, moved_in, without_gaps
from pipelines.tracking.background import FrameNeighbours, Frames, FrameSource
from pipelines.tracking.csrt import RECORD
from pipelines.tracking.passes import Seeds, follow, hint_behind
from pipelines.tracking.prompts import Hint, checked
from pipelines.tracking.target import Seed, seeds_from
from pipelines.vision.boxes import Box, Outline, crop_of, grown, overlap
from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask

__all__ = ["RECORD", "FrameSource", "Hint", "Tracked", "checked", "follow", "masks", "seeds_from", "track"]

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


def track(frames_from: Frames, hints: Sequence[Hint], start: int, stop: int) -> Generator[Tracked]:
    """A mask for each frame of `[start, stop)`, in order; the same each time.

    `frames_from` is called several times, never for frames outside. Walks back first, where a hint lies ahead. Holds
    what two `FrameSource.scenes` hold, two masks a hint, and 33 bytes a frame.

    Raises:
        BadInput: a hint is empty, outside the picture or outside the frames, or there is none.
    """
    footage = FrameSource.of(frames_from, Span(start, stop))
    seeds = seeds_from(checked(hints, footage.size, footage.whole), footage)
    back = np.concatenate([np.zeros(0, RECORD), *follow(footage, seeds, start, stop, backward=True)])[::-1]
    with closing(follow(footage, seeds, start, stop)) as on:
        yield from masks(footage, seeds, (record[0] for record in on), back, start, stop)


def masks(
    footage: FrameSource, seeds: Seeds, on: Iterable[np.void], back: Iterable[np.void], start: int, stop: int
) -> Generator[Tracked]:
    """The masks of frames `[start, stop)` from their records in the walk on and in the walk back, both in order.

    Reads the frames' neighbours, so that the masks are the same from any start. Holds what `FrameSource.scenes` holds.
    """
    with closing(footage.scenes(start, stop)) as scenes:
        for scene, here, there in zip(scenes, on, back, strict=True):
            frame = scene.view.index
            place = _placed(here, there, _way(seeds, frame))
            mask = _mask(scene, footage, seeds[_nearest(seeds, frame)], place)
            x, y, w, h = (float(side) / footage.scale for side in place.boxes[0])
            yield Tracked(frame, (x, y, w, h), mask, place.lost > 0, place.trust)


@dataclass(frozen=True)
class _Place:
    """Where the object is, by one box, or by two that do not agree, the surer first; `lost` for so many frames."""

    boxes: tuple[Box, ...]
    lost: int
    trust: float


def _way(seeds: Seeds, frame: int) -> float:
    """How far `frame` is on the way from the hint before it, 0, to the one after, 1; either where there is but one."""
    before, after = hint_behind(seeds, frame, 1), hint_behind(seeds, frame, -1)
    if before is None or after is None:
        return 1.0 if before is None else 0.0
    return (frame - before) / max(1, after - before)


def _nearest(seeds: Seeds, frame: int) -> int:
    return min(seeds, key=lambda hint: abs(hint - frame))


def _placed(on: np.void, back: np.void, way: float) -> _Place:
    """Weigh what the two walks say: by trust, and by nearness to their hints."""
    said = [(record, weight) for record, weight in ((on, 1 - way), (back, way)) if weight > 0]
    seen = [(record, weight * float(record["trust"])) for record, weight in said if not record["lost"]]
    if not seen:
        return _Place((_mean_box(said),), min(int(record["lost"]) for record, _ in said), 0.0)
    seen.sort(key=lambda pair: -pair[1])
    boxes = tuple(record["box"].astype(np.float64) for record, _ in seen)
    trust = max(float(record["trust"]) for record, _ in seen)
    if len(seen) == 1:
        return _Place(boxes, 0, trust)
    shared = overlap(*boxes)
    if shared >= _SAME:
        return _Place((_mean_box(seen),), 0, trust)
    # Apart, so one of them is wrong; which one is said only where the other is far from its hint or not sure.
    wrong = shared < _AGREEING and seen[0][1] < _SURER * seen[1][1]
    return _Place(boxes, 1, 0.0) if wrong else _Place(boxes, 0, trust)


def _mean_box(weighed: list[tuple[np.void, float]]) -> Box:
    boxes = np.array([record["box"] for record, _ in weighed], np.float64)
    return np.average(boxes, axis=0, weights=[max(1e-6, weight) for _, weight in weighed])


def _mask(scene: FrameNeighbours, footage: FrameSource, seed: Seed, place: _Place) -> Mask:
    """The mask `(H, W)` of the video's size."""
    if seed.given is not None and scene.view.index == seed.frame:
        return seed.given
    shape = scene.view.pixels.shape
    small = np.zeros(shape[:2], np.uint8)
    for box in place.boxes if place.lost <= _LINGER_FRAMES else ():
        crop = crop_of(grown(box, _REACH), shape)
        if crop.area:
            small[crop.slices] |= np.asarray(cv2.dilate(_outline(scene, seed, box, crop), _MARGIN), np.uint8)
        if place.lost:
            small[crop_of(grown(box, _FAT), shape).slices] = 1
    if footage.scale == 1:
        return small.astype(np.bool_)
    # Anything of a pixel counts: fat, not thin.
    return cv2.resize(small * np.uint8(255), footage.size, interpolation=cv2.INTER_LINEAR) > 0


def _outline(scene: FrameNeighbours, seed: Seed, box: Box, crop: Crop) -> Outline:
    """The object in `crop`, without gaps: what moves about its box, and the form of a slow or a painted one.

    Where little moves: its form, and what GrabCut finds.
    """
    form = form_in(seed.form, box, crop)
    found = _seen(scene, seed, box, crop, form)
    # A mask with gaps leaves pieces of it.
    return without_gaps(found | form if seed.slow or seed.given is not None else found)


def _seen(scene: FrameNeighbours, seed: Seed, box: Box, crop: Crop, form: Outline) -> Outline:
    """What the frame itself shows of the object."""
    pixels = scene.view.pixels
    core, inner = crop_of(grown(box, _FAT), pixels.shape), crop_of(box, pixels.shape)
    whole = seed.filling * box[2] * box[3]
    moved = moved_in(scene, crop, core)
    if moved.sum() > _TOO_MUCH * whole:
        moved = moved_in(scene, crop, core, seed.colours)
    if moved.sum() >= _WHOLE * whole:
        return moved
    if moved.sum() >= _FEWEST_MOVED * whole:
        return moved | form
    labels = np.full(form.shape, cv2.GC_BGD, np.uint8)
    labels[inner.within(crop)] = cv2.GC_PR_BGD
    labels[form > 0] = cv2.GC_PR_FGD
    return form | moved | grab_cut(pixels[crop.slices], labels)
