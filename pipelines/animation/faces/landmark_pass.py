"""The landmarks of one face on every frame of a video: each looked for around those of the frame before.

That makes a frame depend on all before it, so a walk begins anew on a fixed grid of frames, some frames early, and any
span of frames comes out the same.
"""

from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from pipelines.animation.faces.onnx_landmarks import Floats, OnnxDetector
from pipelines.animation.faces.track import FaceTrack
from pipelines.stages import Pixels

RESTART_FRAMES, WARM_UP_FRAMES = 64, 4

_MAX_DISTANCE = 0.7
"""How far from where it should be a face may be found, in sides of its box."""


def track_landmarks(
    detector: OnnxDetector,
    read: Callable[[int, int], Generator[Pixels]],
    track: FaceTrack,
    start: int,
    stop: int,
) -> Generator[Floats | None]:
    """The 203 landmarks `(203, 2)` in pixels of frames `[start, stop)`; None as long as the face is not found.

    Reads from at most `WALK_FRAMES + WARM_UP_FRAMES - 1` frames before, once. Raises WeightsBroken, WeightsMissing.
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
    """The landmarks on `frame`, around the `last` ones, or around the face where there are none yet."""
    if last is not None:
        return detector.landmarks(frame, last)
    box = track.box(index)
    for face in detector.detect_faces(frame):
        if np.hypot(face.box.x - box.x, face.box.y - box.y) < _MAX_DISTANCE * box.size:
            return detector.landmarks(frame, detector.points(frame, face))
    return None
