"""Portraits posed by hand: head, eyes, lips and single points of the expression, one picture at a time.

A pose is what an absolute driving of one frame would ask for: the source's own motion with the requested changes
added. It is rendered like any other frame (`targets`, `networks`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.animation.faces.crop import PasteBack, inverse, limit_size, limit_source, source_square
from pipelines.animation.inputs import is_transparent, picture_at, read_picture
from pipelines.animation.liveportrait.face_finder import source_finder
from pipelines.animation.liveportrait.face_views import StillView
from pipelines.animation.liveportrait.motion_stage import source_crop, with_openness
from pipelines.animation.liveportrait.targets import InputKinds, KeypointDriver, Retargeting
from pipelines.animation.motion.keypoints import Floats, movable, rotation
from pipelines.animation.motion.motions import Motions
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions, PoseSettings, SourceCut
from pipelines.vision.types import Pixels

_PICTURES = InputKinds(source_video=False, driving_video=False)


class PosingNetworks(Retargeting, Protocol):
    """Networks that analyse and render: `pipelines.animation.liveportrait.networks.LivePortrait`, or a stand-in."""

    def motions(self, crops: Pixels) -> Motions:
        """Estimate the motions of crops (N, 256, 256, 3)."""
        ...

    def portrait(self, crops: Pixels, keypoints: Floats) -> Any:
        """Extract what frames of a source crop are rendered from."""
        ...

    def frames(self, portrait: Any, keypoints: Floats) -> Pixels:
        """Render the portrait with driving keypoints: (N, 512, 512, 3)."""
        ...


class Poser:
    """One portrait, analysed once, rendered in any number of poses. Holds the picture and its features."""

    def __init__(self, source: Path, settings: PoseSettings, networks: PosingNetworks) -> None:
        """Find the face of a picture and analyse it.

        Raises BadInput for a file that is not a picture and where no face is found; WeightsMissing where published
        face models are chosen and not installed; the errors of `probe_picture`.
        """
        media = picture_at(source).over(settings.background)
        width, height = media.video.width, media.video.height
        limit = limit_size(height, width, settings.source_max_dim)
        self.transparent = is_transparent(media)
        """Whether parts of the picture are transparent; they show `settings.background`."""
        self._networks = networks
        self._picture = limit_source(read_picture(media, (limit[1], limit[0])), settings, (width, height))
        view = matrix = None
        if settings.flag_do_crop:
            finder = source_finder(settings, limit[1] / width)
            boxes = finder.on_picture(self._picture)
            if len(boxes) > 1:
                raise BadInput(
                    "Only one face can be posed at a time.",
                    "Choose it by number with --face.",
                    "pose.one_face",
                )
            view = StillView.of(self._picture, boxes[0], finder.landmarks)
            matrix = source_square(view.square(0), settings).to_crop()
        crop = source_crop(self._picture, matrix)[None]
        self._motion = with_openness(networks.motions(crop), view, 0, 1)
        self._portrait = networks.portrait(crop, self._motion.keypoints)
        self._pasting = None
        if matrix is not None and settings.flag_stitching and settings.flag_pasteback:
            self._pasting = PasteBack.of(inverse(matrix), *self._picture.shape[:2])

    def render(self, settings: PoseSettings) -> Pixels:
        """Render the portrait in the pose of `settings`, (H, W, 3) uint8 RGB.

        As large as the source where the face is pasted back into it, (512, 512, 3) otherwise. Raises BadInput for
        eyes and lips where no landmarks show how open they are, and for a point that does not move.
        """
        pose = pose_motion(self._motion, settings)
        options = _options(settings, eyes=settings.eyes != 0, lips=settings.lips != 0)
        points = KeypointDriver(options, _PICTURES, self._motion, pose, self._networks).keypoints(
            self._motion, pose
        )
        rendered = self._networks.frames(self._portrait, points)[0]
        return rendered if self._pasting is None else self._pasting.paste(rendered, self._picture)


def pose_motion(source_motion: Motions, settings: PoseSettings) -> Motions:
    """Return the source's own motion, changed to the pose of `settings`.

    Raises BadInput for a point that does not move.
    """
    pitch, yaw, roll = (
        np.array([[angle]], np.float32) for angle in (settings.pitch, settings.yaw, settings.roll)
    )
    expression = source_motion.expression.copy()
    for key in settings.key:
        point, numbers = key.split(":")
        offset = np.array([float(number) for number in numbers.split(",")], np.float32)
        _check_movable(int(point), offset)
        expression[:, int(point)] += offset
    eyes, lips = source_motion.eyes, source_motion.lips
    if eyes is not None:
        eyes = np.maximum(0, np.full_like(eyes, eyes.mean() + settings.eyes))
    if lips is not None:
        lips = np.maximum(0, lips + np.float32(settings.lips))
    turn: Floats = rotation(pitch, yaw, roll) @ source_motion.turn
    return replace(source_motion, turn=turn, expression=expression, eyes=eyes, lips=lips)


def _check_movable(point: int, offset: Floats) -> None:
    allowed = movable(point)
    if any(offset[coordinate] != 0 and coordinate not in allowed for coordinate in range(3)):
        where = " and ".join("xyz"[coordinate] for coordinate in allowed)
        raise BadInput(
            f"Point {point} of the expression moves in {where} only."
            if allowed
            else f"Point {point} of the expression does not move.",
            "Set the other coordinates to 0." if allowed else "Choose another point.",
            "pose.point",
            point=point,
        )


def _options(settings: PoseSettings, *, eyes: bool, lips: bool) -> PortraitOptions:
    """Build options of absolute motion; eyes and lips are retargeted where the pose changes them."""
    cut = {name: getattr(settings, name) for name in SourceCut.model_fields}
    return PortraitOptions(
        **cut, flag_relative_motion=False, flag_eye_retargeting=eyes, flag_lip_retargeting=lips
    )
