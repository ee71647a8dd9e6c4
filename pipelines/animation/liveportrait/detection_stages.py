"""The first passes over videos: where faces are, and their landmarks where published models find them."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.landmark_pass import track_landmarks
from pipelines.animation.faces.track import is_detection_frame, to_record
from pipelines.animation.liveportrait.face_views import landmark_record
from pipelines.animation.liveportrait.frame_records import SUFFIX, RecordSink
from pipelines.animation.liveportrait.scene import DETECTION_COLUMNS, DETECTIONS, LANDMARKS, Scene
from pipelines.animation.motion.keypoints import Floats
from pipelines.stages import OneFile, Pixels, RunContext, Sink

SceneOf = Callable[[RunContext], Scene]


class RecordStage(OneFile):
    """A pass that keeps a row of numbers a frame."""

    suffix = SUFFIX

    def __init__(self, scene: SceneOf) -> None:
        self._scene = scene

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Keeps the rows."""
        return RecordSink(path)

    def preview(self, item: Floats) -> Pixels | None:
        """There is nothing to show."""
        return None

    def value(self, item: Floats) -> float | None:
        """Nor a curve."""
        return None


class DetectionStage(RecordStage):
    """Keeps where faces are on some frames of the videos on which that matters; of others nothing at all."""

    name, folder = "looks", DETECTIONS

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Floats]:
        """A row of `LOOK_COLUMNS` a video. Holds a frame of each."""
        scene = self._scene(run)
        with ExitStack() as stack:
            searched_media = [
                (finder.detector, stack.enter_context(closing(media.read(start, stop))))
                for media, finder in scene.searched
            ]
            for index in range(start, stop):
                rows = [np.zeros(0, np.float32)]
                for detector, frames in searched_media:
                    frame = next(frames)
                    rows.append(
                        _row(detector.detect_fast(frame) if is_detection_frame(index, run.frames) else [])
                    )
                yield np.concatenate(rows)


class LandmarkStage(RecordStage):
    """Keeps what is needed of the landmarks of every face that is followed."""

    name, folder = "landmarks", LANDMARKS

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Floats]:
        """A row of `LANDMARK_COLUMNS` a face. Holds a frame of each."""
        scene = self._scene(run)
        faces = scene.source_finder.landmarks
        with ExitStack() as stack:
            walks = [
                stack.enter_context(
                    closing(track_landmarks(faces, one.media.read, scene.track(number), start, stop))
                )
                for number, one in enumerate(scene.tracked)
                if faces is not None
            ]
            for _ in range(start, stop):
                rows = [landmark_record(next(landmarks)) for landmarks in walks]
                yield np.concatenate([np.zeros(0, np.float32), *rows])


def _row(boxes: list[FaceBox]) -> Floats:
    kept = to_record(boxes)
    columns = [kept[name].astype(np.float32) for name in ("x", "y", "size", "votes")]
    return np.stack(columns, axis=1).reshape(DETECTION_COLUMNS)
