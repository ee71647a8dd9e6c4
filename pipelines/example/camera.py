"""Frames of the example clip: a camera that pans slowly over two landscapes, and the faults on its way."""

from collections.abc import Generator
from typing import cast

import cv2
import numpy as np

from pipelines.example.faults import FAULTS, FRAMES, HEIGHT, WIDTH, Fault, Kind, fault_at
from pipelines.example.paper import Camera, Point
from pipelines.example.scenery import Scenery, day, night
from pipelines.vision.types import Pixels

_PAN_PX = 1.2
"""Pixels per frame of the pan."""
_JERK_PX = (14.0, 3.0)
"""Pixels per frame of the jerk, right and down, where it is fastest."""
_EXPOSURES = 14
"""Moments per frame that motion blur averages: at the fastest jerk they lie a pixel apart."""
_SHAKE_PX = (7.0, 4.0)
"""Amplitude of the shake in pixels, right and down."""
_MIN_RADIUS_PX, _MAX_RADIUS_PX, _SOFT_RADIUS_PX = 2.4, 7.0, 1.1
"""Radius of a blurred point: at either end of the defocused stretch, in its middle, and in the soft stretch."""
_DARKEST = 0.2, -22.0
"""Gain and offset where it is darkest: shadows are lost, the sky is left."""
_FADE_FRAMES = 4
"""Frames over which it gets dark, and light again."""


def frames() -> Generator[Pixels]:
    """Yield all frames in order, `(360, 640, 3)` uint8 RGB; a frozen frame equals the one before.

    Holds one landscape (at most 30 MB; 120 MB while it is drawn) and a frame.
    """
    cut = _fault("cut").start
    yield from _shoot(day(), 0, cut)
    yield from _shoot(night(), cut, FRAMES)


def _shoot(scene: Scenery, start: int, stop: int) -> Generator[Pixels]:
    for frame in range(start, stop):
        frozen = fault_at(frame, "frozen")
        yield _render(scene, frozen.start - 1 if frozen else frame)


def _render(scene: Scenery, frame: int) -> Pixels:
    """Render frame `frame` of `scene` with its fault."""
    fault = fault_at(frame)
    if fault is None:
        return _view(scene, frame)
    match fault.kind:
        case "motion_blur":
            return _motion_blur(scene, frame)
        case "defocus":
            strength = np.sin(np.pi * (frame - fault.start + 0.5) / (fault.stop - fault.start))
            return _defocus(
                _view(scene, frame), _MIN_RADIUS_PX + (_MAX_RADIUS_PX - _MIN_RADIUS_PX) * float(strength)
            )
        case "soft":
            return _defocus(_view(scene, frame), _SOFT_RADIUS_PX)
        case "dark":
            return _darken(_view(scene, frame), fault, frame)
        case _:
            return _view(scene, frame)


def _view(scene: Scenery, time: float) -> Pixels:
    """Render the scene at a frame number, which may lie between two.

    Time and pan count from the scene's first frame.
    """
    cut = _fault("cut").start
    if time < cut:
        return scene.render(Camera(_PAN_PX * time, *_jerk(time)), time)
    return scene.render(Camera(_PAN_PX * (time - cut), *_shake(time)), time - cut)


def _jerk(time: float) -> Point:
    """Return how far the jerk has turned the camera: right, ever slower; down, and up again."""
    fault = _fault("motion_blur")
    length = fault.stop - fault.start
    elapsed = min(max(0.0, time - fault.start), length)
    return _JERK_PX[0] * elapsed * (1 - elapsed / (3 * length)), _JERK_PX[1] * min(elapsed, length - elapsed)


def _shake(time: float) -> Point:
    fault = _fault("shake")
    if time not in fault:
        return 0.0, 0.0
    phase = time - fault.start + 1
    return _SHAKE_PX[0] * np.sin(2.1 * phase), _SHAKE_PX[1] * np.sin(2.9 * phase)


def _motion_blur(scene: Scenery, frame: int) -> Pixels:
    """Average what the camera sees while the shutter is open."""
    total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for k in range(_EXPOSURES):
        cv2.accumulate(_view(scene, frame + k / _EXPOSURES), total)
    return cast(Pixels, cv2.convertScaleAbs(total, alpha=1 / _EXPOSURES))


def _defocus(picture: Pixels, radius_px: float) -> Pixels:
    """Spread each point over a disc."""
    reach = int(np.ceil(radius_px))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius_px + 0.5 - np.hypot(rows, columns), 0, 1)
    return cast(Pixels, cv2.filter2D(picture, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE))


def _darken(picture: Pixels, fault: Fault, frame: int) -> Pixels:
    share = min(1.0, (frame - fault.start + 1) / _FADE_FRAMES, (fault.stop - frame) / _FADE_FRAMES)
    gain, offset = 1 + (_DARKEST[0] - 1) * share, _DARKEST[1] * share
    levels = np.clip(np.arange(256) * gain + offset, 0, 255).round().astype(np.uint8)
    return cast(Pixels, cv2.LUT(picture, levels))


def _fault(kind: Kind) -> Fault:
    return next(fault for fault in FAULTS if fault.kind == kind)
