"""The built-in engine `flow`: holes are filled from other frames by optical flow; no weights, no GPU.

Each hole is registered to reference frames around it (`registration`), objects that move in front of the background are
tracked separately (`moving_objects`), and what other frames show is blended (`blending`). What no frame shows is
*invented*: drawn smoothly on anchor frames and carried over from there along the camera's motion, so that it does not
flicker.

A frame depends on frames within `HALO` of it and on nothing else: neither on where a span starts nor on the number of
threads. Anchors and key frames lie on grids that start at frame 0.
"""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np

from memory.plan import Load
from memory.probe import schedulable_cores
from pipelines.inpainting.deep.reading import fills_samples
from pipelines.inpainting.engine import Fill, InPlaceEngine, Read
from pipelines.inpainting.flow.blending import Seam, WeightedMean
from pipelines.inpainting.flow.confidence import smooth_fill
from pipelines.inpainting.flow.frame_cache import KEY_EVERY, MARGIN, FrameCache
from pipelines.inpainting.flow.frame_pairs import See
from pipelines.inpainting.flow.frame_view import FrameView, rounded_levels, sample
from pipelines.inpainting.flow.hole_filler import HoleFiller, HolePatch, SearchEffort, warped_coords
from pipelines.inpainting.flow.holes import Hole, holes
from pipelines.settings import InpaintSettings
from pipelines.spans import Span, widen
from pipelines.video.colour.coding import coding_of
from pipelines.video.info import VideoInfo
from pipelines.vision.types import Deep, Floats, Mask, Pixels

EFFORTS = {
    "draft": SearchEffort(6, 12, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 0.1),
    "balanced": SearchEffort(12, 20, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 0.125),
    "high": SearchEffort(14, 20, cv2.DISOPTICAL_FLOW_PRESET_FAST, 0.2),
    "ultimate": SearchEffort(20, 20, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 0.25),
}
"""The search effort of each quality, found by trial with tests/bench/bench_flowfill.py."""

PIXEL_BYTES, DEEP_PIXEL_BYTES = 4, 7
"""Bytes that a cached frame holds per pixel: three of colour, or six of deep video, and one of coverage."""
ANCHOR_EVERY = 10
"""Frames between two anchors: what is drawn on an anchor is carried over no further than this."""
FAR = 90
"""Frames before and after from which key frames are used as references."""
HALO = FAR + ANCHOR_EVERY + MARGIN
"""Frames before and after that a frame's fill may depend on."""

_LEAST_PAD_PX = 8
"""The margin around the smallest hole, which registration compares."""
_THUMBNAIL_BYTES = 480_000
"""6 bytes a pixel; the largest thumbnail of a 16:9 video has 374 x 210."""
_RESULT_PIXEL_BYTES, _WORKER_PIXEL_BYTES = 17, 260
"""Bytes per pixel of a group's results, and of the crops that one worker holds."""
_DEEP_RESULT_BYTES, _DEEP_WORKER_BYTES = 18, 60
"""What deep video adds to both: a result and two anchors of six bytes instead of three, and samples of float32."""


class FlowEngine(InPlaceEngine):
    """The engine `flow`."""

    name = "flow"

    def __init__(self, video: VideoInfo, settings: InpaintSettings) -> None:
        super().__init__(video, settings)
        self.deep = fills_samples(video, settings)
        see = coding_of(video).proxy if self.deep else None
        self._filler = FlowFill(settings.quality, see=see)

    @property
    def load(self) -> Load:
        """The memory that filling holds beside its readers."""
        return self._filler.load

    def fill(self, read: Read, frames: Span, start: int, stop: int) -> Generator[Fill]:
        """Fill frames `[start, stop)`."""
        return self._filler.fill(read, frames, start, stop)


class FlowFill:
    """Fills holes by flow. One object may fill any number of videos; it keeps nothing between them.

    Frames are uint8 RGB; with `see`, they are R'G'B' codes of 16 bits, which `see` turns into uint8 RGB.
    """

    def __init__(self, quality: str = "balanced", workers: int | None = None, see: See | None = None) -> None:
        self._quality = quality
        self._see = see
        self._effort = EFFORTS[quality]
        self._workers = workers or schedulable_cores()

    @property
    def load(self) -> Load:
        """The memory that filling holds beside its readers."""
        return load(self._quality, self._workers, deep=self._see is not None)

    def fill(self, read: Read, frames: Span, start: int, stop: int) -> Generator[Fill]:
        """Fill frames `[start, stop)`; outside the masks they are what was read, to the bit.

        Reads up to `HALO` frames more on either side, within `frames`, twice. Holds what `load` says.
        """
        first = max(frames.start, start // ANCHOR_EVERY * ANCHOR_EVERY)
        last = min(frames.stop, (stop - 1) // ANCHOR_EVERY * ANCHOR_EVERY + ANCHOR_EVERY + 1)
        reach = self._effort.reach
        with (
            FrameCache(read, frames, Span(first, last), reach, FAR, self._see) as cache,
            ThreadPoolExecutor(self._workers) as pool,
        ):
            groups = _AnchoredFill(cache, self._effort, pool)
            for begin in range(start // ANCHOR_EVERY * ANCHOR_EVERY, stop, ANCHOR_EVERY):
                group = Span(max(begin, frames.start), min(begin + ANCHOR_EVERY + 1, last))
                cache.advance(group)
                yield from groups.fills(Span(max(begin, start), min(begin + ANCHOR_EVERY, stop)))


def load(quality: str, workers: int, *, deep: bool = False) -> Load:
    """Return what filling holds beside its readers, for the planner; pixels are those of the work size.

    That is frames of a window and key frames, a group's anchors and results, thumbnails of a fixed size, and for each
    worker the crops of one hole, as if it were as large as the frame.
    """
    views = 2 * EFFORTS[quality].reach + ANCHOR_EVERY + 1 + 2 * FAR // KEY_EVERY + 1
    results, worker = _RESULT_PIXEL_BYTES * (ANCHOR_EVERY + 1), _WORKER_PIXEL_BYTES
    if deep:
        results, worker = results + _DEEP_RESULT_BYTES, worker + _DEEP_WORKER_BYTES
    return Load(
        fixed=_THUMBNAIL_BYTES * (2 * HALO + ANCHOR_EVERY),
        per_pixel=(DEEP_PIXEL_BYTES if deep else PIXEL_BYTES) * views + results + worker * workers,
    )


class _AnchoredFill:
    """Fills frames group by group; holds the patches and anchors of one group."""

    def __init__(self, cache: FrameCache, effort: SearchEffort, pool: ThreadPoolExecutor) -> None:
        self._cache, self._effort, self._pool = cache, effort, pool
        self._patches: dict[int, list[HolePatch]] = {}
        self._anchors: dict[int, Pixels | Deep] = {}

    def fills(self, group: Span) -> Generator[Fill]:
        """Fill the frames of `group`, which lies between two points of the anchor grid."""
        for held in (self._patches, self._anchors):
            for index in [i for i in held if i < group.start - ANCHOR_EVERY]:
                del held[index]
        indices = range(group.start, group.stop)
        self._paint(indices)
        anchors = {i: self._anchors_of(i) for i in indices if self._has_unseen(i)}
        self._paint({anchor for pair in anchors.values() for anchor in pair})
        for anchor in sorted({anchor for pair in anchors.values() for anchor in pair}):
            if anchor not in self._anchors:
                self._anchors[anchor] = self._draw_anchor(anchor)
        completed = self._pool.map(lambda i: self._complete(i, anchors.get(i, ())), indices)
        for index, patches in zip(indices, completed, strict=True):
            view = self._cache.view(index)
            yield Fill(_paste(view, patches), _invented(view, patches))

    def _paint(self, indices: Iterable[int]) -> None:
        """Compute the patches of frames that have none yet, all holes in parallel."""
        wanted = [i for i in sorted(indices) if i not in self._patches]
        views = {i: self._cache.view(i) for i in wanted}
        parts = [(views[i], hole) for i in wanted if views[i].has_hole for hole in self._holes(views[i])]
        if parts:
            # Computed in parallel and in advance, because many frames ask for each of them.
            near = widen(
                Span(wanted[0], wanted[-1] + 1), self._effort.reach, self._effort.reach, self._cache.whole
            )
            deque(self._pool.map(self._cache.moving, range(near.start, near.stop)), maxlen=0)
        patches = self._pool.map(
            lambda part: HoleFiller(self._cache, part[0], part[1], self._effort).fill(), parts
        )
        self._patches.update((i, []) for i in wanted)
        for (view, _), patch in zip(parts, patches, strict=True):
            self._patches[view.index].append(patch)

    def _holes(self, view: FrameView) -> list[Hole]:
        thumbnail, factor = self._cache.thumbnail(view.index), self._cache.reduction
        pad = max(_LEAST_PAD_PX, round(self._effort.pad_share * min(thumbnail.gray.shape)))
        return holes(view.hole, thumbnail.hole, factor, pad)

    def _has_unseen(self, index: int) -> bool:
        return any(patch.missing.any() for patch in self._patches[index])

    def _anchors_of(self, index: int) -> tuple[int, ...]:
        """Return the anchors before and after: grid points, or the ends of the shot where those are nearer."""
        shot = self._cache.shot(index, ANCHOR_EVERY)
        before = index // ANCHOR_EVERY * ANCHOR_EVERY
        after = before + ANCHOR_EVERY
        return tuple(sorted({max(shot.start, before), min(shot.stop - 1, after)}))

    def _draw_anchor(self, index: int) -> Pixels | Deep:
        """Fill the holes of a frame, drawing what no frame shows from its surroundings."""
        view = self._cache.view(index)
        return _paste(view, (_with_drawn(view, p, _known(view, p), ~p.missing) for p in self._patches[index]))

    def _complete(self, index: int, anchors: tuple[int, ...]) -> list[HolePatch]:
        """Return the patches of a frame, completed from its anchors where no frame shows the background."""
        return [
            self._carry(index, patch, anchors) if patch.missing.any() else patch
            for patch in self._patches[index]
        ]

    def _carry(self, index: int, patch: HolePatch, anchors: tuple[int, ...]) -> HolePatch:
        missing, hole, view = patch.missing, patch.hole, self._cache.view(index)
        known = _known(view, patch)
        beside = hole.beside(missing) & ~patch.in_front
        seam = Seam(hole, known, beside, missing)
        mean, samples, near = WeightedMean(missing.shape), [], []
        for anchor in anchors:
            camera = self._cache.motion(index, anchor)
            if camera is None:
                continue
            coords = warped_coords(hole, camera)
            outside = np.zeros_like(self._cache.view(anchor).covered)
            samples.append(sample(FrameView(anchor, self._anchors[anchor], outside), coords))
            near.append(np.float32(ANCHOR_EVERY - abs(anchor - index) + 0.5))
        for (colours, real), found, nearness in zip(samples, seam.match(samples), near, strict=True):
            if found is not None:
                mean.add(found.relight(colours), real * found.weight * nearness)
        carried = missing & mean.seen
        return _with_drawn(view, patch, np.where(carried[..., None], mean.colours, known), ~missing | carried)


def _with_drawn(view: FrameView, patch: HolePatch, colours: Floats, known: Mask) -> HolePatch:
    """Draw what is unknown from the background around it; an object in front would bleed into it."""
    drawn = smooth_fill(colours, known & ~patch.in_front, deep=view.pixels.dtype != np.uint8)
    return replace(patch, colours=np.where(known[..., None], colours, drawn))


def _known(view: FrameView, patch: HolePatch) -> Floats:
    """Return the crop: what the frame shows, and the patch in its hole."""
    pixels = view.levels(patch.hole.full.slices).astype(np.float32)
    return np.where(patch.hole.inside[..., None], patch.colours, pixels)


def _paste(view: FrameView, patches: Iterable[HolePatch]) -> Pixels | Deep:
    """Copy the frame with the patches in its holes."""
    pixels = view.pixels.copy()
    for patch in patches:
        crop, inside = pixels[patch.hole.full.slices], patch.hole.inside
        crop[inside] = rounded_levels(patch.colours[inside], crop)
    return pixels


def _invented(view: FrameView, patches: Iterable[HolePatch]) -> Mask:
    found = np.zeros(view.covered.shape, np.bool_)
    for patch in patches:
        found[patch.hole.full.slices] |= patch.missing
    return found
