"""The film of the example clip: a camera that goes slowly along two landscapes, and what goes wrong meanwhile."""

from collections.abc import Generator
from typing import cast

import cv2
import numpy as np

from pipelines.example.faults import FAULTS, FRAMES, HEIGHT, WIDTH, Fault, Kind, fault_at
from pipelines.example.paper import Camera, Point
from pipelines.example.scenery import Scenery, day, night
from pipelines.vision.types import Pixels

_PAN = 1.2
"""Pixels a frame that the camera goes."""
_JERK = (14.0, 3.0)
"""Pixels a frame that the jerk turns the camera, right and down, where it is fastest."""
_EXPOSURES = 14
"""Moments of a frame that motion blur is the mean of."""
_SHAKE = (7.0, 4.0)
_LEAST_PX, _MOST_PX, _SOFT_PX = 2.4, 7.0, 1.1
"""Radius of a point that is out of focus: at either end of the defocused stretch, in its middle; in the soft one."""
_DARK = 0.2, -22.0
"""Gain and offset where it is darkest: the shadows are lost, the sky is left."""
_FADE_FRAMES = 4


def frames() -> Generator[Pixels]:
    """All frames in order, `(360, 640, 3)` uint8 RGB; a frozen frame equals the one before.

    Holds a landscape (at most 30 MB; 120 MB while it is made) and a frame.
    """
    cut = _fault("cut").start
    yield from _take(day(), 0, cut)
    yield from _take(night(), cut, FRAMES)


def _take(scene: Scenery, start: int, stop: int) -> Generator[Pixels]:
    for frame in range(start, stop):
        frozen = fault_at(frame, "frozen")
        yield _shot(scene, frozen.start - 1 if frozen else frame)


def _shot(scene: Scenery, frame: int) -> Pixels:
    """What the camera makes of `scene` at frame `frame`."""
    fault = fault_at(frame)
    if fault is None:
        return _seen(scene, frame)
    match fault.kind:
        case "motion_blur":
            return _exposed(scene, frame)
        case "defocus":
            swell = np.sin(np.pi * (frame - fault.start + 0.5) / (fault.stop - fault.start))
            return _defocused(_seen(scene, frame), _LEAST_PX + (_MOST_PX - _LEAST_PX) * float(swell))
        case "soft":
            return _defocused(_seen(scene, frame), _SOFT_PX)
        case "dark":
            return _darkened(_seen(scene, frame), fault, frame)
        case _:
            return _seen(scene, frame)


def _seen(scene: Scenery, moment: float) -> Pixels:
    """The scene at a frame number, also between two; time and way are counted from the scene's first frame."""
    cut = _fault("cut").start
    if moment < cut:
        return scene.picture(Camera(_PAN * moment, *_jerked(moment)), moment)
    return scene.picture(Camera(_PAN * (moment - cut), *_shaken(moment)), moment - cut)


def _jerked(moment: float) -> Point:
    """How far the jerk has turned the camera: right, slower and slower; down, and up again."""
    fault = _fault("motion_blur")
    length = fault.stop - fault.start
    gone = min(max(0.0, moment - fault.start), length)
    return _JERK[0] * gone * (1 - gone / (3 * length)), _JERK[1] * min(gone, length - gone)


def _shaken(moment: float) -> Point:
    fault = _fault("shake")
    if moment not in fault:
        return 0.0, 0.0
    phase = moment - fault.start + 1
    return _SHAKE[0] * np.sin(2.1 * phase), _SHAKE[1] * np.sin(2.9 * phase)


def _exposed(scene: Scenery, frame: int) -> Pixels:
    """The mean of what is seen while the shutter is open."""
    light = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for k in range(_EXPOSURES):
        cv2.accumulate(_seen(scene, frame + k / _EXPOSURES), light)
    return cast(Pixels, cv2.convertScaleAbs(light, alpha=1 / _EXPOSURES))


def _defocused(picture: Pixels, radius_px: float) -> Pixels:
    """Each point spread over a disc."""
    reach = int(np.ceil(radius_px))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius_px + 0.5 - np.hypot(rows, columns), 0, 1)
    return cast(Pixels, cv2.filter2D(picture, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE))


def _darkened(picture: Pixels, fault: Fault, frame: int) -> Pixels:
    share = min(1.0, (frame - fault.start + 1) / _FADE_FRAMES, (fault.stop - frame) / _FADE_FRAMES)
    gain, offset = 1 + (_DARK[0] - 1) * share, _DARK[1] * share
    levels = np.clip(np.arange(256) * gain + offset, 0, 255).round().astype(np.uint8)
    return cast(Pixels, cv2.LUT(picture, levels))


def _fault(kind: Kind) -> Fault:
    return next(fault for fault in FAULTS if fault.kind == kind)
