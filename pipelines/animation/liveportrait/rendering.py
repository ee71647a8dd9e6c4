"""The last pass: frames of the result, drawn in batches, while others are decoded before and put together after."""

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.animation.engine import Animated
from pipelines.animation.faces.crop import Bytes, Matrix, Pasting, cut, inverse
from pipelines.animation.liveportrait.face_views import FaceView
from pipelines.animation.liveportrait.frame_records import FrameRecords
from pipelines.animation.liveportrait.motion_stage import (
    MOTIONS,
    KeptRecord,
    Looking,
    MotionRecord,
    StillRecord,
    TemplateRecord,
    driving_crop,
    opened,
    source_crop,
    source_matrix,
)
from pipelines.animation.liveportrait.scene import Scene
from pipelines.animation.liveportrait.smoothed_targets import SmoothedTargets
from pipelines.animation.liveportrait.targets import KeypointDriver, Retargeting
from pipelines.animation.motion.keypoints import Floats
from pipelines.spans import Span, batches
from pipelines.stages import RunContext
from pipelines.video.prefetch import read_ahead


class DrawingNetworks(Looking, Retargeting, Protocol):
    """What draws: `pipelines.animation.liveportrait.networks.LivePortrait`, or what stands in for it."""

    def portrait(self, crops: Bytes, keypoints: Floats) -> Any:
        """What frames of these source crops are drawn from: of one crop for all frames, or of one for each."""
        ...

    def frames(self, portrait: Any, keypoints: Floats) -> Bytes:
        """The portrait with driving keypoints: (N, 512, 512, 3)."""
        ...


@dataclass(eq=False)
class AnimatedFace:
    """One face of the source, and how it is driven."""

    view: FaceView | None
    source: MotionRecord
    director: KeypointDriver
    aims: SmoothedTargets | None
    still: Any = None
    """What its frames are drawn from, where it stands still: made once."""


@dataclass(frozen=True, eq=False)
class FacePatch:
    """What was drawn of one face (512, 512, 3), and how a source frame is cut for it; None drawn where it is gone."""

    drawn: Bytes | None
    matrix: Matrix | None


@dataclass(frozen=True, eq=False)
class Drawn:
    """One frame, before it is put together."""

    index: int
    source: Bytes
    patches: list[FacePatch]
    seen: float
    """1 where the driving face is seen, 0 where it is gone and the portrait rests."""


class Drawing:
    """Draws any frames of a job whose records are all there. Holds what a still portrait is drawn from."""

    def __init__(self, scene: Scene, networks: DrawingNetworks, run: RunContext) -> None:
        """Looks at pictures, smooths where a video drives a video. Raises BadInput where landmarks are missing."""
        self._scene, self._networks = scene, networks
        rows = FrameRecords(scene.job, MOTIONS)
        self._driving = driving_record(scene, networks)
        first = 1 if scene.driving and scene.driving.moves else 0
        self._faces = [
            self._face(number, view, rows, first + number, run)
            for number, view in enumerate(scene.source_views)
        ]
        self._pastings: dict[int, Pasting] = {}

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)` of the result. Holds a window of drawn ones, and a batch."""
        driving = self._scene.driving
        with ExitStack() as stack:
            drawn = stack.enter_context(
                closing(read_ahead(self._drawn(run, start, stop), run.plan.window_frames))
            )
            followed = stack.enter_context(closing(driving.read(start, stop))) if driving else None
            for one in drawn:
                shown = next(followed) if followed else None
                yield Animated(one.index, one.source, shown, self._put_together(one), (one.seen,))

    def _drawn(self, run: RunContext, start: int, stop: int) -> Generator[Drawn]:
        """The frames, drawn batch by batch."""
        with closing(self._scene.source.read(start, stop)) as sources:
            for batch in batches(run.spans, start, stop, run.plan.batch_frames):
                run.check_interrupt()
                frames = [next(sources) for _ in range(len(batch))]
                faces = [self._patches(face, batch, frames) for face in self._faces]
                for index, frame, *patches in zip(
                    range(batch.start, batch.stop), frames, *faces, strict=True
                ):
                    yield Drawn(index, frame, patches, self._seen(index))

    def _patches(self, face: AnimatedFace, batch: Span, frames: list[Bytes]) -> list[FacePatch]:
        """One face on the frames of a batch."""
        scene, first = self._scene, batch.start
        still, driving = (
            face.source.between(first, batch.stop),
            self._driving.between(first, batch.stop),
        )
        aims = face.aims.between(first, batch.stop) if face.aims else None
        points = face.director.keypoints(still, driving, aims)
        rest = still.stretched(len(batch)).keypoints
        points = _rested(rest, points, [self._seen(index) for index in range(first, batch.stop)])
        if not scene.source.moves:
            matrix = source_matrix(scene, face.view, first)
            if face.still is None:
                face.still = self._networks.portrait(source_crop(frames[0], matrix)[None], still.keypoints)
            return [FacePatch(drawn, matrix) for drawn in self._networks.frames(face.still, points)]
        return self._moving_patches(face, first, frames, rest, points)

    def _moving_patches(
        self, face: AnimatedFace, first: int, frames: list[Bytes], still: Floats, points: Floats
    ) -> list[FacePatch]:
        """Those of a source that moves, each drawn from a cut-out of its own frame."""
        indices = range(first, first + len(frames))
        matrices = [source_matrix(self._scene, face.view, index) for index in indices]
        there = [i for i, index in enumerate(indices) if self._is_there(face.view, index)]
        drawn: list[Bytes | None] = [None] * len(frames)
        if there:
            crops = np.stack([source_crop(frames[i], matrices[i]) for i in there])
            portrait = self._networks.portrait(crops, still[there])
            for i, picture in zip(there, self._networks.frames(portrait, points[there]), strict=True):
                drawn[i] = picture
        return [FacePatch(*patch) for patch in zip(drawn, matrices, strict=True)]

    def _is_there(self, view: FaceView | None, index: int) -> bool:
        return view is None or not self._scene.crops_source or view.presence(index) > 0

    def _seen(self, index: int) -> float:
        """How far the driving face is there; one that is taken as it is always is."""
        view = self._scene.driving_view
        return 1.0 if view is None else view.presence(index)

    def _put_together(self, one: Drawn) -> Bytes:
        """The result of a frame: what was drawn, put back into the source where that is asked for."""
        if not self._scene.pastes:
            patch = one.patches[0]
            if patch.drawn is not None or patch.matrix is None:
                return one.source if patch.drawn is None else patch.drawn
            return cut(one.source, patch.matrix)
        result = one.source
        for number, patch in enumerate(one.patches):
            if patch.drawn is not None and patch.matrix is not None:
                result = self._pasting(number, patch.matrix).paste(patch.drawn, result)
        return result

    def _pasting(self, number: int, matrix: Matrix) -> Pasting:
        source = self._scene.source
        if source.moves:
            return Pasting.of(inverse(matrix), source.height, source.width)
        if number not in self._pastings:
            self._pastings[number] = Pasting.of(inverse(matrix), source.height, source.width)
        return self._pastings[number]

    def _face(
        self, number: int, view: FaceView | None, rows: FrameRecords, column: int, run: RunContext
    ) -> AnimatedFace:
        scene, start = self._scene, self._scene.frames.start
        source: MotionRecord
        if scene.source.picture is None:
            source = KeptRecord(rows, column, scene.source_start)
        else:
            crop = source_crop(scene.source.picture, source_matrix(scene, view, start))
            source = StillRecord(opened(self._networks.motions(crop[None]), view, start, start + 1))
        director = KeypointDriver(
            scene.options, scene.kind, source.first, self._driving.first, self._networks
        )
        smooths = scene.kind.source_video and scene.kind.driving_video
        aims = (
            SmoothedTargets.of(scene, number, source, self._driving, run.check_interrupt) if smooths else None
        )
        return AnimatedFace(view, source, director, aims)


def _rested(still: Floats, points: Floats, seen: list[float]) -> Floats:
    """`points`, nearer to `still` the less of the driving face is seen, and as they are where it is."""
    if min(seen) == 1:
        return points
    shares = np.array(seen, np.float32)[:, None, None]
    return np.where(shares == 1, points, still + shares * (points - still))


def driving_record(scene: Scene, networks: Looking) -> MotionRecord:
    """How the driving moves: as a pass kept it, as a template says, or as a picture is, which is looked at."""
    template, driving, start = scene.material.template, scene.driving, scene.frames.start
    if template is not None:
        motions = template.motions
        return TemplateRecord(motions, start) if scene.kind.driving_video else StillRecord(motions)
    if driving is None or driving.picture is None:
        return KeptRecord(FrameRecords(scene.job, MOTIONS), 0, scene.driving_start)
    crop = driving_crop(driving.picture, scene.driving_window)
    return StillRecord(opened(networks.motions(crop[None]), scene.driving_view, start, start + 1))
