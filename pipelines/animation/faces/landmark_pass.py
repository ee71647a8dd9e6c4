"""Landmarks of one face on every frame of a video, each detected around those of the frame before.

That would make a frame depend on all before it. Tracking therefore restarts on a fixed grid of frames, warmed up on
some frames before, so that any span of frames comes out the same.
"""

from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from pipelines.animation.faces.onnx_landmarks import OnnxDetector
from pipelines.animation.faces.track import FaceTrack
from pipelines.animation.motion.keypoints import Floats
from pipelines.vision.types import Pixels

RESTART_FRAMES, WARM_UP_FRAMES = 64, 4
"""Frames from one restart to the next, and frames before it for warming up, which cost one detection more in 16."""

_MAX_DISTANCE = 0.7
"""How far from its tracked position a face may be detected, in sides of its box."""


def track_landmarks(
    detector: OnnxDetector,
    read: Callable[[int, int], Generator[Pixels]],
    track: FaceTrack,
    start: int,
    stop: int,
) -> Generator[Floats | None]:
    """Yield the 203 landmarks `(203, 2)` in pixels of frames `[start, stop)`; None until the face is detected.

    Reads from at most `RESTART_FRAMES + WARM_UP_FRAMES - 1` frames before `start`, once. Raises WeightsBroken,
    WeightsMissing.
    """
    first = track.frames.start
    chain_start = first + (start - first) // RESTART_FRAMES * RESTART_FRAMES
    current, upcoming = None, None
    with closing(read(max(first, chain_start - WARM_UP_FRAMES), stop)) as frames:
        for index, frame in enumerate(frames, max(first, chain_start - WARM_UP_FRAMES)):
            offset = (index - first) % RESTART_FRAMES
            if offset == 0:
                current, upcoming = upcoming, None
            if offset >= RESTART_FRAMES - WARM_UP_FRAMES:
                upcoming = _advance(detector, frame, upcoming, track, index)
            if index >= chain_start:
                current = _advance(detector, frame, current, track, index)
            if index >= start:
                yield current


def _advance(
    detector: OnnxDetector, frame: Pixels, last: Floats | None, track: FaceTrack, index: int
) -> Floats | None:
    """Detect the landmarks on `frame` around the `last` ones, or around the tracked face where there are none yet."""
    if last is not None:
        return detector.landmarks(frame, last)
    box = track.box(index)
    for face in detector.detect_faces(frame):
        if np.hypot(face.box.x - box.x, face.box.y - box.y) < _MAX_DISTANCE * box.size:
            return detector.landmarks(frame, detector.points(frame, face))
    return None
