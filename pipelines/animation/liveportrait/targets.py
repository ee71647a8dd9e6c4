"""Target keypoints of a source portrait by the motion of a driving one, under every option of LivePortrait.

Motion is relative (the change since the driving's first frame is added to the source) or absolute. All of this is
small: after one pass over the driving for its motions, any range of frames can be computed on its own.
"""

from dataclasses import dataclass
from typing import Protocol, Self, cast

import numpy as np

from pipelines.animation.motion.keypoints import (
    EYES,
    LIPS,
    LIPS_CLOSED,
    PART,
    WHOLE,
    Floats,
    hull_ratio,
    transform_keypoints,
)
from pipelines.animation.motion.motions import Motions
from pipelines.animation.motion.smoothing import smooth
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions, Region

LIPS_OPEN_RATIO = 0.03
"""Source lips more open than this are closed first, as in the published system."""
EYES_SHUT_RATIO, EYES_OPEN_RATIO = 0.18, 0.39
"""Source eyes that are shut at first, below the first ratio, are opened to the second, as in the published system."""
_LANDMARKS_HINT = "Use a face detector that finds landmarks, or leave retargeting off."


class Retargeting(Protocol):
    """Small retargeting networks. Keypoints are (N, 21, 3), ratios (N, n), all float32."""

    def stitched(self, source: Floats, driving: Floats) -> Floats:
        """Return driving keypoints whose shoulders fit those of the source."""

    def eyes(self, source: Floats, ratios: Floats) -> Floats:
        """Return the offsets that change the openness of the eyes from the first two ratios to the third."""

    def lips(self, source: Floats, ratios: Floats) -> Floats:
        """Return the offsets that change the openness of the lips from the first ratio to the second."""


@dataclass(frozen=True)
class InputKinds:
    """Kinds of source and driving: picture or video."""

    source_video: bool
    driving_video: bool


@dataclass(frozen=True)
class Targets:
    """Target expression (N, 21, 3) and rotation (N, 3, 3) of N frames."""

    expression: Floats
    turn: Floats

    def __getitem__(self, frames: slice) -> Self:
        """Return the targets of a range of frames."""
        return type(self)(self.expression[frames], self.turn[frames])


def compute_targets(
    options: PortraitOptions, kind: InputKinds, source: Motions, driving: Motions, first: Motions
) -> Targets:
    """Compute the targets of `source` by `driving`, frame by frame; `first` is the driving's first frame.

    A source or driving of one frame stands for all frames of the other. Not smoothed.
    """
    if not options.flag_relative_motion:
        return Targets(driving.expression, driving.turn)
    expression = source.expression + driving.expression
    if kind.driving_video:
        turn: Floats = np.matmul(driving.turn @ first.turn.transpose(0, 2, 1), source.turn)
        return Targets(expression - first.expression, turn)
    # A picture has no first frame to compare with; closed lips stand in for it, except where only the eyes move.
    if kind.source_video or options.animation_region != "eyes":
        expression = expression - LIPS_CLOSED
    return Targets(expression, source.turn)


def smooth_targets(options: PortraitOptions, kind: InputKinds, whole: Targets) -> Targets:
    """Smooth the targets of all frames where a video drives a video; otherwise return them unchanged."""
    if not (kind.source_video and kind.driving_video):
        return whole
    variance = options.driving_smooth_observation_variance
    return Targets(smooth(whole.expression, variance), smooth(whole.turn, variance))


class KeypointDriver:
    """Computes driving keypoints for any range of frames. Holds the first frames of driving and source."""

    def __init__(
        self,
        options: PortraitOptions,
        kind: InputKinds,
        source: Motions,
        driving: Motions,
        retargeting: Retargeting,
    ) -> None:
        """Take the first frames of `source` and `driving`.

        Raises BadInput where an option needs landmarks and there are none.
        """
        self._options, self._kind, self._retargeting = options, kind, retargeting
        self._source, self._driving = source[:1], driving[:1]
        self._check_landmarks()
        self._first_keypoints: Floats | None = None
        self._hull_ratio = np.float32(1)
        fits_size = options.flag_relative_motion and kind.driving_video and not kind.source_video
        if fits_size and options.driving_option == "expression-friendly":
            start = self._drive(self._source, self._driving, None)
            self._hull_ratio = np.float32(hull_ratio(self._source.keypoints[0], start[0]))
            self._first_keypoints = start

    def keypoints(self, source: Motions, driving: Motions, targets: Targets | None = None) -> Floats:
        """Compute the driving keypoints (N, 21, 3), as they enter the warp, for these frames of `source` and `driving`.

        `targets` are the smoothed targets of these frames, if they are smoothed. A source or driving of one frame
        stands for all frames of the other.
        """
        frames = max(len(source), len(driving))
        source, driving = source.broadcast(frames), driving.broadcast(frames)
        points, still = self._drive(source, driving, targets), source.keypoints
        if self._first_keypoints is not None:
            points = still + self._hull_ratio * (points - self._first_keypoints)
        points = (
            self._retarget(source, driving, points)
            if self._options.retargets
            else self._stitch(source, points)
        )
        result: Floats = still + (points - still) * np.float32(self._options.driving_multiplier)
        return result

    def _check_landmarks(self) -> None:
        options, kind = self._options, self._kind
        retargets_eyes = options.flag_source_video_eye_retargeting and kind.source_video
        if (retargets_eyes or options.retargets) and self._source.eyes is None:
            raise BadInput(
                "No landmarks were found that show how open the source's eyes and lips are.",
                _LANDMARKS_HINT,
                "face.source_landmarks",
            )
        if options.retargets and self._driving.eyes is None:
            raise BadInput(
                "No landmarks were found that show how open the driving's eyes and lips are.",
                _LANDMARKS_HINT,
                "face.driving_landmarks",
            )

    def _drive(self, source: Motions, driving: Motions, targets: Targets | None) -> Floats:
        """Move the source's keypoints by the driving's motion, neither stitched nor retargeted."""
        options, first = self._options, self._driving
        relative_picture = options.flag_relative_motion and not self._kind.source_video
        targets = targets or compute_targets(options, self._kind, source, driving, first)
        scale, translation = source.scale, source.translation
        if relative_picture and options.animation_region == "all":
            scale = scale * driving.scale / first.scale
        if relative_picture and options.moves_all:
            translation = translation + driving.translation - first.translation
        elif options.moves_all and not options.flag_relative_motion:
            translation = driving.translation
        turn = targets.turn if options.moves_all else source.turn
        expression = source.expression.copy()
        _copy_region(expression, targets.expression, options.animation_region, all_points=relative_picture)
        return transform_keypoints(source.canonical, turn, expression, scale, translation)

    def _stitch(self, source: Motions, points: Floats) -> Floats:
        """Stitch, normalise the lips, and keep the eyes of a source video open."""
        options, still = self._options, source.keypoints
        if options.flag_stitching:
            points = self._retargeting.stitched(still, points)
        if options.flag_normalize_lip and options.flag_relative_motion and source.lips is not None:
            closing = self._retargeting.lips(
                still, np.concatenate([source.lips, np.zeros_like(source.lips)], axis=1)
            )
            points = points + np.where(source.lips[:, :, None] >= LIPS_OPEN_RATIO, closing, np.float32(0))
        if options.flag_source_video_eye_retargeting and self._kind.source_video:
            eyes, first = cast(Floats, source.eyes), cast(Floats, self._source.eyes)
            openness = first.mean() if first.mean() >= EYES_SHUT_RATIO else EYES_OPEN_RATIO
            ratios = np.concatenate([eyes, np.full((len(eyes), 1), openness, np.float32)], axis=1)
            points = points + self._retargeting.eyes(still, ratios)
        return points

    def _retarget(self, source: Motions, driving: Motions, points: Floats) -> Floats:
        """Open eyes and lips as the driving does. This gives up relative motion, as in the published system."""
        options, still = self._options, source.keypoints
        points = still if options.flag_relative_motion else points
        if options.flag_eye_retargeting:
            # The driving's left eye sets both, as in the published system.
            ratios = np.concatenate([cast(Floats, source.eyes), cast(Floats, driving.eyes)[:, :1]], axis=1)
            points = points + self._retargeting.eyes(still, ratios)
        if options.flag_lip_retargeting:
            ratios = np.concatenate([cast(Floats, source.lips), cast(Floats, driving.lips)], axis=1)
            points = points + self._retargeting.lips(still, ratios)
        return self._retargeting.stitched(still, points) if options.flag_stitching else points


def _copy_region(expression: Floats, target: Floats, region: Region, *, all_points: bool) -> None:
    """Copy the points of `target` that move in `region` into `expression`: all of them, or those that may follow it."""
    if region in ("all", "exp") and all_points:
        expression[:] = target
    elif region in ("all", "exp"):
        expression[:, WHOLE] = target[:, WHOLE]
        for point, coordinate in PART:
            expression[:, point, coordinate] = target[:, point, coordinate]
    elif region in ("lip", "eyes"):
        chosen = LIPS if region == "lip" else EYES
        expression[:, chosen] = target[:, chosen]
