"""The first passes over videos: where faces are, and their landmarks where published models find them."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.landmark_pass import walk
from pipelines.animation.faces.track import is_look, record_of
from pipelines.animation.liveportrait.face_views import landmark_row
from pipelines.animation.liveportrait.frame_records import SUFFIX, record_sink
from pipelines.animation.liveportrait.scene import LANDMARKS, LOOK_COLUMNS, LOOKS, Scene
from pipelines.animation.motion.keypoints import Floats
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.vision.types import Pixels

SceneOf = Callable[[RunContext], Scene]


class RowStage(OneFile):
    """A pass that keeps a row of numbers a frame."""

    suffix = SUFFIX

    def __init__(self, scene: SceneOf) -> None:
        self._scene = scene

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Keeps the rows."""
        return record_sink(path)

    def preview(self, item: Floats) -> Pixels | None:
        """There is nothing to show."""
        return None

    def value(self, item: Floats) -> float | None:
        """Nor a curve."""
        return None


class LookStage(RowStage):
    """Keeps where faces are on some frames of the videos on which that matters; of others nothing at all."""

    name, folder = "looks", LOOKS

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Floats]:
        """A row of `LOOK_COLUMNS` a video. Holds a frame of each."""
        scene = self._scene(run)
        with ExitStack() as stack:
            sides = [
                (finder.by, stack.enter_context(closing(side.read(start, stop))))
                for side, finder in scene.looked_at
            ]
            for index in range(start, stop):
                rows = [np.zeros(0, np.float32)]
                for by, frames in sides:
                    frame = next(frames)
                    rows.append(_row(by.detect_fast(frame) if is_look(index, run.frames) else []))
                yield np.concatenate(rows)


class LandmarkStage(RowStage):
    """Keeps what is needed of the landmarks of every face that is followed."""

    name, folder = "landmarks", LANDMARKS

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Floats]:
        """A row of `LANDMARK_COLUMNS` a face. Holds a frame of each."""
        scene = self._scene(run)
        faces = scene.source_finder.landmarks
        with ExitStack() as stack:
            walks = [
                stack.enter_context(closing(walk(faces, one.side.read, scene.track(number), start, stop)))
                for number, one in enumerate(scene.followed)
                if faces is not None
            ]
            for _ in range(start, stop):
                rows = [landmark_row(next(landmarks)) for landmarks in walks]
                yield np.concatenate([np.zeros(0, np.float32), *rows])


def _row(boxes: list[FaceBox]) -> Floats:
    kept = record_of(boxes)
    columns = [kept[name].astype(np.float32) for name in ("x", "y", "size", "votes")]
    return np.stack(columns, axis=1).reshape(LOOK_COLUMNS)
