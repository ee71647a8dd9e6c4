"""Pass that estimates how each face is turned and moved on every frame; it keeps these records and no pixel."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

import numpy as np

from pipelines.animation.faces.crop import Matrix, driving_input, extract_crop, source_input, source_square
from pipelines.animation.liveportrait.detection_stages import RecordStage, SceneOf
from pipelines.animation.liveportrait.driving_parts import DrivingPart
from pipelines.animation.liveportrait.face_views import FaceView, Openness
from pipelines.animation.liveportrait.frame_records import FrameRecords
from pipelines.animation.liveportrait.scene import Scene
from pipelines.animation.motion.keypoints import Floats
from pipelines.animation.motion.motions import SHAPES, Motions
from pipelines.spans import batches
from pipelines.stages import RunContext
from pipelines.video.decoders.prefetch import read_ahead
from pipelines.vision.types import Pixels

MOTIONS = "state/motion"
"""Folder of the rows."""

_OPENNESS = ("eyes", "lips")
"""Parts that are None without landmarks."""
COLUMNS = sum(int(np.prod(shape)) for shape in SHAPES.values())
"""Numbers per face and frame: 820 bytes."""


class MotionEstimator(Protocol):
    """Network that estimates motion."""

    def motions(self, crops: Pixels, landmarks: Floats | None = None) -> Motions:
        """Estimate the motions of crops (N, 256, 256, 3)."""
        ...


class MotionStage(RecordStage):
    """Keeps the motions of videos: of the driving, then of each face of the source."""

    name, folder = "motion", MOTIONS
    network = True

    def __init__(self, scene: SceneOf, networks: Callable[[RunContext], MotionEstimator]) -> None:
        super().__init__(scene)
        self._networks = networks

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Floats]:
        """Yield a row of `COLUMNS` per face. Holds a window of crops, and a batch of them."""
        scene = self._scene(run)
        if not scene.moving:
            yield from (np.zeros(0, np.float32) for _ in range(start, stop))
            return
        with closing(read_ahead(_crops(scene, start, stop), run.plan.window_frames)) as crops:
            for batch in batches(run.spans, start, stop, run.plan.batch_frames):
                batch_crops = np.stack(list(islice(crops, len(batch))))
                faces = [
                    self._networks(run).motions(batch_crops[:, face]) for face in range(batch_crops.shape[1])
                ]
                views = scene.moving
                yield from np.concatenate(
                    [
                        motions_to_rows(with_openness(motions, view, batch.start, batch.stop))
                        for motions, view in zip(faces, views, strict=True)
                    ],
                    axis=1,
                )


def motions_to_rows(motions: Motions) -> Floats:
    """Pack motions as (N, COLUMNS); NaN where the openness of eyes and lips is unknown."""
    parts = motions.parts()
    columns = []
    for name, shape in SHAPES.items():
        part = parts[name]
        size = int(np.prod(shape))
        columns.append(
            np.full((len(motions), size), np.nan, np.float32) if part is None else part.reshape(-1, size)
        )
    return np.concatenate(columns, axis=1)


def rows_to_motions(rows: Floats) -> Motions:
    """Unpack the motions that `motions_to_rows` packed."""
    parts: dict[str, Any] = {}
    first = 0
    for name, shape in SHAPES.items():
        last = first + int(np.prod(shape))
        part = np.ascontiguousarray(rows[:, first:last]).reshape(-1, *shape)
        parts[name] = None if name in _OPENNESS and np.isnan(part).any() else part
        first = last
    return Motions(**parts)


def with_openness(motions: Motions, view: FaceView | None, start: int, stop: int) -> Motions:
    """Add the openness of eyes and lips on frames `[start, stop)` to `motions`, where the view knows it."""
    openness: Openness | None = None if view is None else view.openness(start, stop)
    return motions if openness is None else replace(motions, eyes=openness[:, :2], lips=openness[:, 2:])


def source_matrix(scene: Scene, view: FaceView | None, frame: int) -> Matrix | None:
    """Return the matrix from a source frame to the crop of a face; None where the whole frame is used."""
    if view is None or not scene.crops_source:
        return None
    return source_square(view.square(frame), scene.options).to_crop()


def source_crop(frame: Pixels, matrix: Matrix | None) -> Pixels:
    """Return the network input of a source frame."""
    return driving_input(frame) if matrix is None else source_input(extract_crop(frame, matrix))


def driving_crop(frame: Pixels, window: Matrix | None) -> Pixels:
    """Return the network input of a driving frame."""
    return driving_input(frame if window is None else extract_crop(frame, window))


def _crops(scene: Scene, start: int, stop: int) -> Generator[Pixels]:
    """Yield (faces, 256, 256, 3) per frame, in the order of `Scene.moving`. Holds a frame of each video."""
    with ExitStack() as stack:
        driving = source = None
        if scene.driving and scene.driving.moves:
            driving = stack.enter_context(closing(scene.driving.read(start, stop)))
        if scene.source.moves:
            source = stack.enter_context(closing(scene.source.read(start, stop)))
        for index in range(start, stop):
            crops = [driving_crop(next(driving), scene.driving_window(index))] if driving else []
            if source:
                frame = next(source)
                crops += [
                    source_crop(frame, source_matrix(scene, view, index)) for view in scene.source_views
                ]
            yield np.stack(crops)


class MotionRecord(Protocol):
    """Motion of one face, frame by frame."""

    @property
    def first(self) -> Motions:
        """Motion of its first frame."""
        ...

    def between(self, start: int, stop: int) -> Motions:
        """Return the motion of frames `[start, stop)`, or the single one of a picture, which stands for all."""
        ...


class StillRecord:
    """Motion of a picture."""

    def __init__(self, motions: Motions) -> None:
        self.first = motions

    def between(self, start: int, stop: int) -> Motions:
        """Return the single motion."""
        return self.first


class TemplateRecord:
    """Motion of a template, whose first frame is that of the job."""

    def __init__(self, motions: Motions, start: int) -> None:
        self._motions = motions
        self.first = motions[start : start + 1]

    def between(self, start: int, stop: int) -> Motions:
        """Return the motion of the template's frames."""
        return self._motions[start:stop]


class StoredRecord:
    """Motion of face number `face`, stored by the pass; `start` is the first frame that shows it."""

    def __init__(self, rows: FrameRecords, face: int, start: int) -> None:
        self._rows, self._columns = rows, slice(face * COLUMNS, (face + 1) * COLUMNS)
        self.first = self.between(start, start + 1)

    def between(self, start: int, stop: int) -> Motions:
        """Read the stored motion."""
        return rows_to_motions(self._rows.between(start, stop)[:, self._columns])


def first_motion(scene: Scene, driving: MotionRecord, part: DrivingPart) -> Motions:
    """Return the motion of the frame from which that of a part of the driving starts."""
    if not scene.begins_anew or part == scene.parts[0]:
        return driving.first
    first = scene.first_of(part)
    return driving.between(first, first + 1)
