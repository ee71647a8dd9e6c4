"""Built-in engine: a portrait warped after a driving face by optical flow; no weights, no landmarks, no GPU.

Both faces are fitted to one template (`faces.alignment`), which maps positions on one to positions on the other. Flow
leads from each driving frame back to the first (`driving_flow`), the portrait is warped by it (`mesh_warp`), and an
open mouth is inserted from the driving frame (`mouth`). It is a preview: heads do not really turn, and nothing is
revealed but the mouth.

Flow starts from the previous frame's, so it is computed in chains. Each begins on a fixed grid of frames, after a
warm-up, so that any span of frames comes out the same.
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from pipelines.animation.faces.aligned_view import FacePlacement
from pipelines.animation.faces.alignment import fit
from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.inner_size import match_size
from pipelines.animation.faces.track import FaceTrack
from pipelines.animation.warp.driving_flow import DrivingFlow, Motion, blend_motions
from pipelines.animation.warp.mesh_warp import MeshWarp
from pipelines.animation.warp.motion_limits import MotionExtent, limit_motion, measure_extent
from pipelines.spans import Span
from pipelines.vision.types import Pixels

CHAIN_FRAMES = 64
"""Frames from one chain to the next, counted from the first driving frame."""
WARM_UP_FRAMES = 8
"""Frames before a chain on which its flow settles."""
HALO = CHAIN_FRAMES + WARM_UP_FRAMES - 1
"""Driving frames before a span on which its first frame may depend, besides the first of all; none after it."""

_BLEND_FRAMES = 4
"""Frames over which one chain is blended into the next, so that no step shows."""
_WINDOW_STEP, _WINDOW_GROWTH = 0.125, 1.25
"""Steps of a chain's window: in box sides, and as a ratio of sizes. Smaller motion is left to the flow."""

Read = Callable[[int, int], Generator[Pixels]]
"""Reads driving frames `[start, stop)`, `(H, W, 3)` uint8 RGB, in order."""


@dataclass(frozen=True, eq=False)
class WarpedFrame:
    """Frame of the result, `(H, W, 3)` uint8 RGB of the source's size, and how far the driving face moved."""

    pixels: Pixels
    extent: MotionExtent = field(default_factory=MotionExtent)
    presence: float = 1.0
    """1 where the driving face is there, 0 where it is gone and the portrait rests."""
    mouth: float = 1.0
    """Share of the driving face that is shown where it fits worst; 0 where an open mouth is kept closed."""
    opacity: Pixels | None = None
    """Opacity of the result, `(H, W)`, where that of the source was given."""


def first_needed(start: int, frames: Span) -> int:
    """Return the first driving frame to read for a span that begins at `start`; `frames` are all of them."""
    chain = (start - frames.start) // CHAIN_FRAMES
    return max(frames.start, frames.start + chain * CHAIN_FRAMES - WARM_UP_FRAMES)


class FlowWarp:
    """Engine `flowwarp`; keeps nothing between spans.

    Holds the source, one driving frame, some views, and maps of the source.
    """

    name = "flowwarp"

    def __init__(
        self,
        source: Pixels,
        boxes: Sequence[FaceBox],
        reference: Pixels,
        driving: FaceBox | FaceTrack,
        opacity: Pixels | None = None,
    ) -> None:
        """Prepare the faces in `boxes` of `source` `(H, W, 3)` uint8 RGB to be driven.

        `reference` is the first driving frame, on which the driving face looks as the source does at rest; `driving`
        is its box there, or its track. `opacity` `(H, W)` of the source is warped as the source is.
        """
        self._source, self._reference, self._opacity = source, reference, opacity
        self._track = driving if isinstance(driving, FaceTrack) else None
        self._placement = fit(reference, driving.first if isinstance(driving, FaceTrack) else driving)
        view = self._placement.view(reference)
        placements = [match_size(fit(source, box), source, self._placement, reference) for box in boxes]
        self._meshes = [MeshWarp(source, each, view, self._placement.lip_offset) for each in placements]

    def frames(self, read: Read, frames: Span, start: int, stop: int) -> Generator[WarpedFrame]:
        """Yield frames `[start, stop)` of the result; `frames` are all driving frames.

        Reads from `first_needed(start, frames)` to `stop`, once. A frame without motion, such as the first, equals
        the source to the bit.
        """
        begin = first_needed(start, frames)
        with closing(read(begin, stop)) as driving:
            for index, motion in self._motions(driving, frames, begin):
                if index >= start:
                    yield self._render(index, motion)

    def _motions(
        self, driving: Generator[Pixels], frames: Span, begin: int
    ) -> Generator[tuple[int, Motion | None]]:
        """Yield the motion of each frame; the next chain warms up beside this one and is blended in."""
        chain, upcoming = None, None
        for index, frame in enumerate(driving, begin):
            offset = (index - frames.start) % CHAIN_FRAMES
            if offset == 0:
                chain, upcoming = upcoming or self._chain(index), None
            elif offset == CHAIN_FRAMES - WARM_UP_FRAMES:
                upcoming = self._chain(index + WARM_UP_FRAMES)
            motion = chain.follow(frame) if chain else None
            if upcoming:
                blended_frames = offset + 1 + _BLEND_FRAMES - CHAIN_FRAMES
                motion = blend_motions(
                    motion, upcoming.follow(frame), max(0, blended_frames) / (_BLEND_FRAMES + 1)
                )
            yield index, motion

    def _chain(self, start: int) -> DrivingFlow:
        """Start a chain at frame `start`, its window where the track says that the face is."""
        flow = DrivingFlow(self._reference, self._placement)
        if self._track:
            flow.restart(self._window(self._track, start))
        return flow

    def _window(self, track: FaceTrack, start: int) -> FacePlacement:
        """Return where the face is around a chain that starts at `start`, in coarse steps."""
        reference_box, box = track.box(track.reference), track.box(start + CHAIN_FRAMES // 2)
        step = _WINDOW_STEP * reference_box.size
        right, down = (
            round((box.x - reference_box.x) / step) * step,
            round((box.y - reference_box.y) / step) * step,
        )
        growth = round(math.log(box.size / reference_box.size) / math.log(_WINDOW_GROWTH))
        placement = self._placement
        return replace(
            placement,
            x=placement.x + right,
            y=placement.y + down,
            size=placement.size * _WINDOW_GROWTH**growth,
        )

    def _render(self, index: int, motion: Motion | None) -> WarpedFrame:
        if motion is None:
            return WarpedFrame(self._source.copy(), opacity=self._opacity)
        presence = motion.confidence * (self._track.presence(index) if self._track else 1.0)
        if presence == 0:
            return WarpedFrame(self._source.copy(), presence=0.0, opacity=self._opacity)
        pixels, limited = self._source, limit_motion(motion, presence)
        mouth, opacity = 1.0, self._opacity
        for mesh in self._meshes:
            opacity = None if opacity is None else mesh.apply_to_opacity(opacity, limited)
            pixels, share = mesh.apply(pixels, limited)
            mouth = min(mouth, share)
        extent = measure_extent(motion) if presence == 1 else MotionExtent()
        return WarpedFrame(pixels, extent, presence, mouth, opacity)
