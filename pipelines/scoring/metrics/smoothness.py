"""Published verdict rules for any sequence of scores: windows, artifact frames, motion smoothness, blur record.

Follows VMBench's Motion Smoothness Score (Q-Align scores of sliding windows, jumps between frames) and the blur
record built on it. Independent of the scorer: everything takes plain numbers, one score per frame, in a single pass,
so that memory does not grow with the video. Thresholds and weights are the published ones.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import PurePath
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import BadInput

T = TypeVar("T")
Severity = Literal["none", "mild", "moderate", "severe", "failed"]
Movement = float | Mapping[str, Any] | None

MOVEMENT_FRAMES = 10
"""Frames at the start of the video on which the movement that sets the threshold is measured."""

RECOMMENDATIONS: dict[Severity, tuple[str, ...]] = {
    "none": ("The video is fine as it is.",),
    "mild": ("Sharpening afterwards is enough.",),
    "moderate": ("Use a stabiliser.", "Record at a higher frame rate.", "Add light."),
    "severe": ("Record again if you can.", "Stabilise the camera.", "Check the focus."),
    "failed": (),
}


def windows(items: Iterable[T], width: int) -> Iterator[list[T]]:
    """Yield one window of `width` items around each item, in order; holds `width + 1` items.

    The window of item `i` has `(width - 1) // 2` items before it and `width // 2` after. A window that would start
    before the first item repeats only that item. One that would end after the last item repeats its oldest item in
    front, or, if it spans the whole short sequence, the last item at the end.

    Raises:
        ValueError: `width` is below 1.
    """
    if width < 1:
        raise ValueError(f"a window needs at least 1 frame, not {width}")
    left, right = (width - 1) // 2, width // 2
    held: deque[T] = deque(maxlen=width)
    count = 0
    for count, item in enumerate(items, 1):
        if count == 1:
            first = item
        held.append(item)
        if count <= left:
            yield [first] * width
        if count >= width:
            yield list(held)
    for i in range(max(left, count - right), count):
        rest = list(held)[i - left - count :]
        missing = width - len(rest)
        yield rest + [rest[-1]] * missing if i == left else [rest[0]] * missing + rest


def threshold_for(movement: Movement) -> float:
    """Return the largest jump between neighbouring scores that still counts as smooth, given the movement.

    `movement` is a number from 0 to 1, None if unknown, or a record of tracked motion, of which the subject's own
    motion counts, or the background's if no subject was found.
    """
    if isinstance(movement, Mapping):
        movement = _own_motion(movement)
    if movement is None or movement < 0.1:
        return 0.01
    if movement < 0.3:
        return 0.015
    return 0.025 if movement < 0.5 else 0.03


def _own_motion(record: Mapping[str, Any]) -> float | None:
    background, subject = record.get("background_motion"), record.get("subject_motion")
    if subject is None or np.isnan(subject):
        return background
    own = float(subject) - float(background or 0.0)
    return own if own > 0 else float(subject)


def camera_movement(frames: Iterable[NDArray[np.uint8]]) -> float:
    """Compute the mean change between the first frames, 0 to 1. It measures pixel change, despite its published name.

    Args:
        frames: RGB `(H, W, 3)` or luma `(H, W)`, uint8; at most `MOVEMENT_FRAMES` are read, two are held.
    """
    lumas = (
        cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) if f.ndim == 3 else f for f in islice(frames, MOVEMENT_FRAMES)
    )
    return mean_change(float(np.mean(cv2.absdiff(a, b))) for a, b in pairwise(lumas))


def mean_change(differences: Iterable[float]) -> float:
    """Compute the same from the mean absolute luma differences (0 to 255) between the first frames."""
    found = list(islice(differences, MOVEMENT_FRAMES - 1))
    return min(1.0, float(np.mean(found)) / 255) if found else 0.0


@dataclass
class Smoothness:
    """Statistics for the blur record, accumulated score by score.

    Holds sums, and the first `kept` artifact frames (all if `kept` is None).
    """

    threshold: float = 0.025
    kept: int | None = None
    frames: int = 0
    artifact_count: int = 0
    artifacts: list[int] = field(default_factory=list)
    largest_jump: float = 0.0
    _total: float = 0.0
    _last: float = 0.0
    _last_is_artifact: bool = False

    def add(self, score: float) -> None:
        """Add the next frame's score."""
        score = float(score)
        jump = abs(score - self._last) if self.frames else 0.0
        is_artifact = jump > self.threshold
        if is_artifact and not self._last_is_artifact:
            self._mark(self.frames - 1)
        if is_artifact:
            self._mark(self.frames)
        self.largest_jump = max(self.largest_jump, jump)
        self._total += score
        self._last, self._last_is_artifact = score, is_artifact
        self.frames += 1

    def _mark(self, frame: int) -> None:
        self.artifact_count += 1
        if self.kept is None or len(self.artifacts) < self.kept:
            self.artifacts.append(frame)

    @property
    def mean(self) -> float:
        """Mean score; 0 if there is none."""
        return self._total / self.frames if self.frames else 0.0

    @property
    def ratio(self) -> float:
        """Share of artifact frames."""
        return self.artifact_count / self.frames if self.frames else 0.0

    @property
    def score(self) -> float:
        """The Motion Smoothness Score: share of frames without an artifact. Raises BadInput without frames."""
        if not self.frames:
            raise BadInput(
                "A video without frames has no smoothness score.",
                "Check the file, or the start and end times.",
                "part.no_frames",
            )
        return 1 - self.ratio

    @property
    def severity(self) -> Severity:
        """Severity, by the share of artifact frames and the largest jump."""
        steps: tuple[tuple[Severity, float, float], ...] = (
            ("severe", 0.3, 2.0),
            ("moderate", 0.1, 1.5),
            ("mild", 0.05, 1.0),
        )
        for name, ratio, times in steps:
            if self.ratio > ratio or self.largest_jump > times * self.threshold:
                return name
        return "none"

    @property
    def strength(self) -> float:
        """Blur strength, 0 to 1, published as "confidence". Without artifacts it is a fifth of `1 - mean`."""
        ratio_part = min(1.0, 2 * self.ratio)
        jump_part = min(1.0, 10 * self.largest_jump)
        return min(1.0, 0.4 * ratio_part + 0.4 * jump_part + 0.2 * max(0.0, 1 - self.mean))


def artifact_frames(scores: Iterable[float], threshold: float = 0.025) -> list[int]:
    """List the frames on either side of each jump above `threshold`, in order."""
    return gather(scores, threshold).artifacts


def motion_smoothness(scores: Iterable[float], movement: Movement = None) -> float:
    """Compute the Motion Smoothness Score, 0 to 1, higher is smoother. Raises BadInput if there are no scores."""
    return gather(scores, threshold_for(movement)).score


def gather(scores: Iterable[float], threshold: float, kept: int | None = None) -> Smoothness:
    """Accumulate `scores` in a single pass."""
    found = Smoothness(threshold, kept)
    for score in scores:
        found.add(score)
    return found


def blur_record(path: PurePath | str, found: Smoothness, movement: float, window: int) -> dict[str, Any]:
    """Make the published result record of one video as plain JSON values; severity is a code, not a sentence."""
    severity = found.severity
    return {
        "video_path": str(path),
        "video_name": PurePath(path).name,
        "blur_detected": found.ratio > 0.05 or found.largest_jump > found.threshold,
        "confidence": found.strength,
        "blur_severity": severity,
        "blur_ratio": found.ratio,
        "blur_frame_count": found.artifact_count,
        "total_frames": found.frames,
        "avg_quality": found.mean,
        "max_quality_drop": found.largest_jump,
        "threshold": found.threshold,
        "blur_frames": found.artifacts,
        "recommendations": list(RECOMMENDATIONS[severity]),
        "camera_movement": movement,
        "window_size": window,
    }


def failed_record(path: PurePath | str, error: str) -> dict[str, Any]:
    """Make the record of a video that could not be scored."""
    return {
        "video_path": str(path),
        "video_name": PurePath(path).name,
        "blur_detected": False,
        "confidence": 0.0,
        "blur_severity": "failed",
        "error": error,
    }
