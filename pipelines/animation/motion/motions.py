"""Motion of a portrait's frames: rotation, position and expression of each. Under 1 kB per frame."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from pipelines.animation.motion.keypoints import (
    POINTS,
    Floats,
    eye_ratios,
    lip_ratios,
    rotation,
    transform_keypoints,
)
from pipelines.animation.motion.keypoints import bins_to_degrees as bins_to_degrees

SHAPES: dict[str, tuple[int, ...]] = {
    "turn": (3, 3),
    "expression": (POINTS, 3),
    "translation": (3,),
    "scale": (1,),
    "canonical": (POINTS, 3),
    "keypoints": (POINTS, 3),
    "eyes": (2,),
    "lips": (1,),
}
"""Shape of each array of `Motions` per frame, in the order of the files that store them."""


@dataclass(frozen=True)
class Motions:
    """Motion of N frames, float32. Eyes and lips are None without landmarks."""

    turn: Floats
    """(N, 3, 3): rotation of row vectors."""
    expression: Floats
    """(N, 21, 3)"""
    translation: Floats
    """(N, 3)"""
    scale: Floats
    """(N, 1)"""
    canonical: Floats
    """(N, 21, 3): keypoints of the face before rotation, expression, scale and translation."""
    keypoints: Floats
    """(N, 21, 3): keypoints after them."""
    eyes: Floats | None = None
    """(N, 2): openness of the eyes at the left and the right of the picture."""
    lips: Floats | None = None
    """(N, 1): openness of the lips."""

    def __len__(self) -> int:
        return len(self.turn)

    def __getitem__(self, frames: slice) -> Self:
        """Return the motion of a range of frames."""
        return self._map(lambda part: part[frames])

    def broadcast(self, frames: int) -> Self:
        """Repeat a single frame `frames` times without a copy; motion of as many frames is returned unchanged."""
        if len(self) == frames:
            return self
        return self._map(lambda part: np.broadcast_to(part, (frames, *part.shape[1:])))

    def parts(self) -> dict[str, Floats | None]:
        """Return every array by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def concatenate(cls, pieces: Iterable[Self]) -> Self:
        """Concatenate motions; eyes and lips where all pieces have them. Raises ValueError for none."""
        rows = [piece.parts() for piece in pieces]
        if not rows:
            raise ValueError("there is no motion to join")
        columns: dict[str, Any] = {name: _concatenate([row[name] for row in rows]) for name in rows[0]}
        return cls(**columns)

    def _map(self, change: Callable[[Floats], Floats]) -> Self:
        parts: dict[str, Any] = {
            name: None if part is None else change(part) for name, part in self.parts().items()
        }
        return type(self)(**parts)


def _concatenate(pieces: list[Floats | None]) -> Floats | None:
    present = [piece for piece in pieces if piece is not None]
    return np.concatenate(present) if len(present) == len(pieces) else None


def decode_motions(heads: dict[str, Floats], landmarks: Floats | None = None) -> Motions:
    """Decode the heads (N, n) of the motion extractor; 203 landmarks (N, 203, 2) add the openness of eyes and lips."""
    turn = rotation(*(bins_to_degrees(heads[name]) for name in ("pitch", "yaw", "roll")))
    canonical, expression = (heads[name].reshape(-1, POINTS, 3) for name in ("kp", "exp"))
    points = transform_keypoints(canonical, turn, expression, heads["scale"], heads["t"])
    ratios = (None, None) if landmarks is None else (eye_ratios(landmarks), lip_ratios(landmarks))
    return Motions(turn, expression, heads["t"], heads["scale"], canonical, points, *ratios)
