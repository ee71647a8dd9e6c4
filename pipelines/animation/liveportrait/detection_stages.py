"""First passes over videos: detections of faces, and their landmarks where published models are installed."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import numpy as np

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.landmark_pass import track_landmarks
from pipelines.animation.faces.track import is_detection_frame, to_record
from pipelines.animation.liveportrait.face_views import landmark_record
from pipelines.animation.liveportrait.frame_records import SUFFIX, record_sink
from pipelines.animation.liveportrait.scene import (
    DETECTION_COLUMNS,
    DETECTIONS,
    LANDMARKS,
    Scene,
)
from pipelines.animation.motion.keypoints import Floats
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.vision.types import Pixels

SceneOf = Callable[[RunContext], Scene]


class RecordStage(OneFile):
    """Pass that keeps a row of numbers per frame."""

    suffix = SUFFIX

    def __init__(self, scene: SceneOf) -> None:
        self._scene = scene

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open the file of the rows."""
        return record_sink(path)

    def preview(self, item: Floats) -> Pixels | None:
        """Show nothing."""
        return None

    def value(self, item: Floats) -> float | None:
        """Draw no curve."""
        return None


class DetectionStage(RecordStage):
    """Keeps detections of faces on some frames of the videos in which positions matter; nothing of others."""

    name, folder = "looks", DETECTIONS

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Floats]:
        """Yield a row of `DETECTION_COLUMNS` per video. Holds a frame of each."""
        scene = self._scene(run)
        with ExitStack() as stack:
            videos = [
                (
                    partial(finder.detector.detect_fast, like=scene.found_in(media)),
                    stack.enter_context(closing(media.read(start, stop))),
                )
                for media, finder in scene.searched
            ]
            for index in range(start, stop):
                rows = [np.zeros(0, np.float32)]
                for detect, frames in videos:
                    frame = next(frames)
                    boxes = detect(frame) if is_detection_frame(index, run.frames) else []
                    rows.append(_pack(boxes))
                yield np.concatenate(rows)


class LandmarkStage(RecordStage):
    """Keeps what is needed of the landmarks of every tracked face."""

    name, folder = "landmarks", LANDMARKS

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Floats]:
        """Yield a row of `LANDMARK_COLUMNS` per face. Holds a frame of each."""
        scene = self._scene(run)
        detector = scene.source_finder.landmarks
        with ExitStack() as stack:
            streams = [
                stack.enter_context(
                    closing(track_landmarks(detector, face.media.read, scene.track(number), start, stop))
                )
                for number, face in enumerate(scene.tracked)
                if detector is not None
            ]
            for _ in range(start, stop):
                rows = [landmark_record(next(landmarks)) for landmarks in streams]
                yield np.concatenate([np.zeros(0, np.float32), *rows])


def _pack(boxes: list[FaceBox]) -> Floats:
    record = to_record(boxes)
    columns = [record[name].astype(np.float32) for name in ("x", "y", "size", "votes")]
    return np.stack(columns, axis=1).reshape(DETECTION_COLUMNS)
