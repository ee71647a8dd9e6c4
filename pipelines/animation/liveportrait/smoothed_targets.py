"""Targets of a source video's faces, smoothed over the whole job in a file beside its records."""

from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from pipelines.animation.liveportrait.driving_parts import by_part
from pipelines.animation.liveportrait.motion_stage import MotionRecord, first_motion
from pipelines.animation.liveportrait.scene import Scene
from pipelines.animation.liveportrait.targets import Targets, compute_targets
from pipelines.animation.motion.keypoints import POINTS, Floats
from pipelines.animation.motion.smoothing import read_smoothed, smooth_file
from pipelines.storage.atomic import atomic_write
from pipelines.storage.sealed import is_as_sealed, seal

_EXPRESSION, _TURN = POINTS * 3, 9
"""Numbers per frame: of the expression, and of the rotation matrix."""


class SmoothedTargets:
    """Smoothed targets of one face. Holds the records of one span; the file takes 584 bytes per frame."""

    def __init__(self, path: Path, start: int) -> None:
        self._path, self._start = path, start

    @classmethod
    def of(
        cls,
        scene: Scene,
        face: int,
        source: MotionRecord,
        driving: MotionRecord,
        check_interrupt: Callable[[], None],
    ) -> "SmoothedTargets":
        """Open the targets of face number `face`, smoothing them first unless that was done.

        `check_interrupt` may raise.
        """
        path = scene.run.folder / "state" / f"aims-{face}.bin"
        if not is_as_sealed(path):
            with atomic_write(path) as part:
                variance = scene.options.driving_smooth_observation_variance
                smooth_file(_blocks(scene, source, driving, check_interrupt), variance, part)
            seal(path)
        return cls(path, scene.frames.start)

    def between(self, start: int, stop: int) -> Targets:
        """Read the targets of frames `[start, stop)`."""
        rows = read_smoothed(self._path, _EXPRESSION + _TURN, start - self._start, stop - self._start)
        return Targets(rows[:, :_EXPRESSION].reshape(-1, POINTS, 3), rows[:, _EXPRESSION:].reshape(-1, 3, 3))


def _blocks(
    scene: Scene, source: MotionRecord, driving: MotionRecord, check_interrupt: Callable[[], None]
) -> Generator[Floats]:
    for span in scene.run.spans:
        check_interrupt()
        for part, inside in by_part(scene.parts, span):
            start, count = span.start + inside.start, inside.stop - inside.start
            still, moving = source.between(start, start + count), driving.between(start, start + count)
            first = first_motion(scene, driving, part)
            targets = compute_targets(scene.options, scene.kind, still, moving, first)
            yield np.concatenate(
                [targets.expression.reshape(count, -1), targets.turn.reshape(count, -1)], axis=1
            )
