"""The landmarks of one face on every frame of a video: each looked for around those of the frame before.

That makes a frame depend on all before it, so a walk begins anew on a fixed grid of frames, some frames early, and any
span of frames comes out the same.
"""

from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from pipelines.animation.faces.onnx_landmarks import Floats, OnnxDetector
from pipelines.animation.faces.track import FaceTrack
from pipelines.vision.types import Pixels

WALK_FRAMES, WARM_UP_FRAMES = 64, 4

_NEAR = 0.7
"""How far from where it should be a face may be found, in sides of its box."""


def walk(
    faces: OnnxDetector,
    read: Callable[[int, int], Generator[Pixels]],
    track: FaceTrack,
    start: int,
    stop: int,
) -> Generator[Floats | None]:
    """The 203 landmarks `(203, 2)` in pixels of frames `[start, stop)`; None as long as the face is not found.

    Reads from at most `WALK_FRAMES + WARM_UP_FRAMES - 1` frames before, once. Raises WeightsBroken, WeightsMissing.
    """
    first = track.frames.start
    begin = first + (start - first) // WALK_FRAMES * WALK_FRAMES
    now, coming = None, None
    with closing(read(max(first, begin - WARM_UP_FRAMES), stop)) as frames:
        for index, frame in enumerate(frames, max(first, begin - WARM_UP_FRAMES)):
            into = (index - first) % WALK_FRAMES
            if into == 0:
                now, coming = coming, None
            if into >= WALK_FRAMES - WARM_UP_FRAMES:
                coming = _next(faces, frame, coming, track, index)
            if index >= begin:
                now = _next(faces, frame, now, track, index)
            if index >= start:
                yield now


def _next(
    faces: OnnxDetector, frame: Pixels, last: Floats | None, track: FaceTrack, index: int
) -> Floats | None:
    """The landmarks on `frame`, around the `last` ones, or around the face where there are none yet."""
    if last is not None:
        return faces.landmarks(frame, last)
    box = track.box(index)
    for found in faces.detect_with_points(frame):
        if np.hypot(found.box.x - box.x, found.box.y - box.y) < _NEAR * box.size:
            return faces.landmarks(frame, faces.points(frame, found))
    return None
