"""A portrait posed by hand: head, eyes, lips and single points of its expression, one picture at a time.

A pose is what an absolute driving of one frame would ask for: the source's own motion, with what was asked for added.
From there on it is drawn as any frame is (`driving`, `liveportrait`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.animation.faces.crop import PasteBack, inverse, limit_size, limit_source, source_square
from pipelines.animation.inputs import picture_at, read_picture
from pipelines.animation.liveportrait.face_finder import source_finder
from pipelines.animation.liveportrait.face_views import StillView
from pipelines.animation.liveportrait.motion_stage import source_crop, with_openness
from pipelines.animation.liveportrait.targets import InputKinds, KeypointDriver, Retargeting
from pipelines.animation.motion.keypoints import Floats, movable, rotation
from pipelines.animation.motion.motions import Motions
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions, PoseSettings, SourceCut
from pipelines.stages import Pixels

_STILL = InputKinds(source_video=False, driving_video=False)


class PosingNetworks(Retargeting, Protocol):
    """What looks and draws: `pipelines.animation.liveportrait.networks.LivePortrait`, or what stands in for it."""

    def motions(self, crops: Pixels) -> Motions:
        """The motions of crops (N, 256, 256, 3)."""
        ...

    def portrait(self, crops: Pixels, keypoints: Floats) -> Any:
        """What frames of a source crop are drawn from."""
        ...

    def frames(self, portrait: Any, keypoints: Floats) -> Pixels:
        """The portrait with driving keypoints: (N, 512, 512, 3)."""
        ...


class Poser:
    """One portrait, looked at once, in any number of poses. Holds the picture, and what it is drawn from."""

    def __init__(self, source: Path, settings: PoseSettings, networks: PosingNetworks) -> None:
        """Find the face of a picture and look at it.

        Raises BadInput for what is no picture and where no face is found; WeightsMissing where published face models
        are asked for that are not there; the errors of `probe_picture`.
        """
        media = picture_at(source)
        full = read_picture(media)
        self._networks = networks
        self._picture = limit_source(full, settings)
        view = matrix = None
        if settings.flag_do_crop:
            height, width = full.shape[:2]
            scale = limit_size(height, width, settings.source_max_dim)[1] / width
            finder = source_finder(settings, scale)
            boxes = finder.on_picture(self._picture)
            if len(boxes) > 1:
                raise BadInput("One face is posed at a time.", "Choose it by --face and its number.")
            view = StillView.of(self._picture, boxes[0], finder.landmarks)
            matrix = source_square(view.square(0), settings).to_crop()
        crop = source_crop(self._picture, matrix)[None]
        self._still = with_openness(networks.motions(crop), view, 0, 1)
        self._portrait = networks.portrait(crop, self._still.keypoints)
        self._pasting = None
        if matrix is not None and settings.flag_stitching and settings.flag_pasteback:
            self._pasting = PasteBack.of(inverse(matrix), *self._picture.shape[:2])

    def posed(self, settings: PoseSettings) -> Pixels:
        """The portrait in the pose of `settings`, (H, W, 3) uint8 RGB.

        As large as the source where the face is put back into it, (512, 512, 3) otherwise. Raises BadInput for eyes and
        lips where no landmarks tell how open they are, and for a point that does not move.
        """
        pose = posed(self._still, settings)
        options = _options(settings, eyes=settings.eyes != 0, lips=settings.lips != 0)
        points = KeypointDriver(options, _STILL, self._still, pose, self._networks).keypoints(
            self._still, pose
        )
        drawn = self._networks.frames(self._portrait, points)[0]
        return drawn if self._pasting is None else self._pasting.paste(drawn, self._picture)


def posed(source_motion: Motions, settings: PoseSettings) -> Motions:
    """The motion of one frame that asks `still`, the source's own, for the pose of `settings`. Raises BadInput."""
    pitch, yaw, roll = (
        np.array([[angle]], np.float32) for angle in (settings.pitch, settings.yaw, settings.roll)
    )
    expression = source_motion.expression.copy()
    for key in settings.key:
        point, numbers = key.split(":")
        move = np.array([float(number) for number in numbers.split(",")], np.float32)
        _check_movable(int(point), move)
        expression[:, int(point)] += move
    eyes, lips = source_motion.eyes, source_motion.lips
    if eyes is not None:
        eyes = np.maximum(0, np.full_like(eyes, eyes.mean() + settings.eyes))
    if lips is not None:
        lips = np.maximum(0, lips + np.float32(settings.lips))
    turn: Floats = rotation(pitch, yaw, roll) @ source_motion.turn
    return replace(source_motion, turn=turn, expression=expression, eyes=eyes, lips=lips)


def _check_movable(point: int, move: Floats) -> None:
    allowed = movable(point)
    if any(move[coordinate] != 0 and coordinate not in allowed for coordinate in range(3)):
        where = " and ".join("xyz"[coordinate] for coordinate in allowed)
        raise BadInput(
            f"Point {point} of the expression moves in {where} only."
            if allowed
            else f"Point {point} of the expression does not move.",
            "Leave the other numbers 0." if allowed else "Choose another point.",
        )


def _options(settings: PoseSettings, *, eyes: bool, lips: bool) -> PortraitOptions:
    """Absolute motion of all; eyes and lips are opened where that was asked for."""
    cut = {name: getattr(settings, name) for name in SourceCut.model_fields}
    return PortraitOptions(
        **cut, flag_relative_motion=False, flag_eye_retargeting=eyes, flag_lip_retargeting=lips
    )
