"""Last pass: frames of the result, rendered in batches, with decoding before and compositing after them."""

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.animation.engine import Animated
from pipelines.animation.faces.crop import Matrix, PasteBack, extract_crop, inverse
from pipelines.animation.liveportrait.driving_parts import DrivingPart, by_part
from pipelines.animation.liveportrait.face_views import FaceView
from pipelines.animation.liveportrait.frame_records import FrameRecords
from pipelines.animation.liveportrait.motion_stage import (
    MOTIONS,
    MotionEstimator,
    MotionRecord,
    StillRecord,
    StoredRecord,
    TemplateRecord,
    driving_crop,
    first_motion,
    source_crop,
    source_matrix,
    with_openness,
)
from pipelines.animation.liveportrait.scene import Scene
from pipelines.animation.liveportrait.smoothed_targets import SmoothedTargets
from pipelines.animation.liveportrait.targets import KeypointDriver, Retargeting
from pipelines.animation.motion.keypoints import Floats
from pipelines.animation.motion.motions import Motions
from pipelines.spans import Span, batches
from pipelines.stages import RunContext
from pipelines.video.decoders.prefetch import read_ahead
from pipelines.vision.types import Pixels


class RenderingNetworks(MotionEstimator, Retargeting, Protocol):
    """Networks that render: `pipelines.animation.liveportrait.networks.LivePortrait`, or a stand-in."""

    def portrait(self, crops: Pixels, keypoints: Floats) -> Any:
        """Extract what frames are rendered from: one source crop for all frames, or one for each."""
        ...

    def frames(self, portrait: Any, keypoints: Floats) -> Pixels:
        """Render the portrait with driving keypoints: (N, 512, 512, 3)."""
        ...


@dataclass(eq=False)
class AnimatedFace:
    """One face of the source, and its driver on a part of the driving."""

    view: FaceView | None
    source: MotionRecord
    driver: KeypointDriver
    part: DrivingPart
    targets: SmoothedTargets | None
    portrait: Any = None
    """Features of a still source, from which all its frames are rendered; extracted once."""


@dataclass(frozen=True, eq=False)
class FacePatch:
    """Rendered crop of one face, (512, 512, 3), or None where it is gone; and the matrix of the crop."""

    rendered: Pixels | None
    matrix: Matrix | None


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One frame before compositing."""

    index: int
    source: Pixels
    patches: list[FacePatch]
    presence: float
    """1 where the driving face is there, 0 where it is gone and the portrait rests."""


class Rendering:
    """Renders any frames of a job whose records are complete. Holds the features of a still portrait."""

    def __init__(self, scene: Scene, networks: RenderingNetworks, run: RunContext) -> None:
        """Analyse pictures, and smooth where a video drives a video. Raises BadInput where landmarks are missing."""
        self._scene, self._networks = scene, networks
        rows = FrameRecords(scene.run, MOTIONS)
        self._driving = driving_record(scene, networks)
        first = 1 if scene.driving and scene.driving.moves else 0
        self._faces = [
            self._prepare_face(number, view, rows, first + number, run)
            for number, view in enumerate(scene.source_views)
        ]
        self._paste_backs: dict[int, PasteBack] = {}

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Yield frames `[start, stop)` of the result. Holds a window of rendered frames, and a batch."""
        driving = self._scene.driving
        with ExitStack() as stack:
            rendered = stack.enter_context(
                closing(read_ahead(self._render(run, start, stop), run.plan.window_frames))
            )
            driving_frames = stack.enter_context(closing(driving.read(start, stop))) if driving else None
            for item in rendered:
                driving_frame = next(driving_frames) if driving_frames else None
                yield Animated(
                    item.index, item.source, driving_frame, self._composite(item), (item.presence,)
                )

    def _render(self, run: RunContext, start: int, stop: int) -> Generator[RenderedFrame]:
        """Render the frames batch by batch."""
        with closing(self._scene.source.read(start, stop)) as sources:
            for batch in batches(run.spans, start, stop, run.plan.batch_frames):
                run.check_interrupt()
                frames = [next(sources) for _ in range(len(batch))]
                faces = [self._render_face(face, batch, frames) for face in self._faces]
                for index, frame, *patches in zip(
                    range(batch.start, batch.stop), frames, *faces, strict=True
                ):
                    yield RenderedFrame(index, frame, patches, self._scene.presence(index))

    def _render_face(self, face: AnimatedFace, batch: Span, frames: list[Pixels]) -> list[FacePatch]:
        """Render one face on the frames of a batch."""
        scene, first = self._scene, batch.start
        source = face.source.between(first, batch.stop)
        driving = self._driving.between(first, batch.stop)
        targets = face.targets.between(first, batch.stop) if face.targets else None
        points = np.concatenate(
            [
                self._driver(face, part).keypoints(
                    _part_of(source, frames), _part_of(driving, frames), targets[frames] if targets else None
                )
                for part, frames in by_part(scene.parts, batch)
            ]
        )
        rest_keypoints = source.broadcast(len(batch)).keypoints
        presence = [scene.presence(index) for index in range(first, batch.stop)]
        points = _blend_to_rest(rest_keypoints, points, presence)
        if not scene.source.moves:
            matrix = source_matrix(scene, face.view, first)
            if face.portrait is None:
                face.portrait = self._networks.portrait(
                    source_crop(frames[0], matrix)[None], source.keypoints
                )
            return [FacePatch(rendered, matrix) for rendered in self._networks.frames(face.portrait, points)]
        return self._render_moving_face(face, first, frames, rest_keypoints, points)

    def _render_moving_face(
        self, face: AnimatedFace, first: int, frames: list[Pixels], rest_keypoints: Floats, points: Floats
    ) -> list[FacePatch]:
        """Render a face of a source video, each frame from a crop of its own."""
        indices = range(first, first + len(frames))
        matrices = [source_matrix(self._scene, face.view, index) for index in indices]
        visible = [i for i, index in enumerate(indices) if self._is_visible(face.view, index)]
        rendered: list[Pixels | None] = [None] * len(frames)
        if visible:
            crops = np.stack([source_crop(frames[i], matrices[i]) for i in visible])
            portrait = self._networks.portrait(crops, rest_keypoints[visible])
            for i, picture in zip(visible, self._networks.frames(portrait, points[visible]), strict=True):
                rendered[i] = picture
        return [FacePatch(*patch) for patch in zip(rendered, matrices, strict=True)]

    def _is_visible(self, view: FaceView | None, index: int) -> bool:
        return view is None or not self._scene.crops_source or view.presence(index) > 0

    def _driver(self, face: AnimatedFace, part: DrivingPart) -> KeypointDriver:
        """Return the driver of a face on a part of the driving; keeps the last one."""
        if face.part != part:
            face.driver, face.part = self._new_driver(face.source, part), part
        return face.driver

    def _new_driver(self, source: MotionRecord, part: DrivingPart) -> KeypointDriver:
        scene = self._scene
        first = first_motion(scene, self._driving, part)
        return KeypointDriver(scene.options, scene.kind, source.first, first, self._networks)

    def _composite(self, item: RenderedFrame) -> Pixels:
        """Composite a frame: its patches, pasted back into the source where that is chosen."""
        if not self._scene.pastes:
            patch = item.patches[0]
            if patch.rendered is not None or patch.matrix is None:
                return item.source if patch.rendered is None else patch.rendered
            return extract_crop(item.source, patch.matrix)
        result = item.source
        for number, patch in enumerate(item.patches):
            if patch.rendered is not None and patch.matrix is not None:
                result = self._paste_back(number, patch.matrix).paste(patch.rendered, result)
        return result

    def _paste_back(self, number: int, matrix: Matrix) -> PasteBack:
        source = self._scene.source
        if source.moves:
            return PasteBack.of(inverse(matrix), source.height, source.width)
        if number not in self._paste_backs:
            self._paste_backs[number] = PasteBack.of(inverse(matrix), source.height, source.width)
        return self._paste_backs[number]

    def _prepare_face(
        self, number: int, view: FaceView | None, rows: FrameRecords, column: int, run: RunContext
    ) -> AnimatedFace:
        scene, start = self._scene, self._scene.frames.start
        source: MotionRecord
        if scene.source.picture is None:
            source = StoredRecord(rows, column, scene.source_start)
        else:
            crop = source_crop(scene.source.picture, source_matrix(scene, view, start))
            source = StillRecord(with_openness(self._networks.motions(crop[None]), view, start, start + 1))
        driver = self._new_driver(source, scene.parts[0])
        smooth = scene.kind.source_video and scene.kind.driving_video
        targets = (
            SmoothedTargets.of(scene, number, source, self._driving, run.check_interrupt) if smooth else None
        )
        return AnimatedFace(view, source, driver, scene.parts[0], targets)


def _part_of(motions: Motions, frames: slice) -> Motions:
    """Return the motions of some frames; those of a single frame stand for all."""
    return motions if len(motions) == 1 else motions[frames]


def _blend_to_rest(rest_keypoints: Floats, points: Floats, presence: list[float]) -> Floats:
    """Blend `points` to `rest_keypoints` by the presence of the driving face; bit-identical where that is 1."""
    if min(presence) == 1:
        return points
    alpha = np.array(presence, np.float32)[:, None, None]
    return np.where(alpha == 1, points, rest_keypoints + alpha * (points - rest_keypoints))


def driving_record(scene: Scene, networks: MotionEstimator) -> MotionRecord:
    """Return the motion of the driving: stored by a pass, read from a template, or estimated from a picture."""
    template, driving, start = scene.inputs.template, scene.driving, scene.frames.start
    if template is not None:
        motions = template.motions
        return TemplateRecord(motions, start) if scene.kind.driving_video else StillRecord(motions)
    if driving is None or driving.picture is None:
        return StoredRecord(FrameRecords(scene.run, MOTIONS), 0, scene.driving_start)
    crop = driving_crop(driving.picture, scene.driving_window(start))
    return StillRecord(with_openness(networks.motions(crop[None]), scene.driving_view, start, start + 1))
