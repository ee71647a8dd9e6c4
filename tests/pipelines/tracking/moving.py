"""Clips with known truth: a textured disc over a panned picture."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import cv2
import numpy as np
from skimage import data

from pipelines.vision.types import Mask, Pixels

WIDTH, HEIGHT, RADIUS = 240, 136, 18


@dataclass
class Clip:
    """Frames, where the disc shows on each, and what was read of them."""

    frames: list[Pixels]
    truth: list[Mask]
    read: list[int] = field(default_factory=list)

    def frames_from(self, start: int, stop: int) -> Generator[Pixels]:
        for index in range(start, stop):
            self.read.append(index)
            yield self.frames[index]

    def box(self, frame: int) -> tuple[float, float, float, float]:
        rows, columns = np.nonzero(self.truth[frame])
        return (
            float(columns.min()),
            float(rows.min()),
            float(np.ptp(columns) + 1),
            float(np.ptp(rows) + 1),
        )


def disc_clip(
    frames: int,
    place: Callable[[int], tuple[float, float]],
    *,
    pan: float = 1.0,
    bar: tuple[int, int] | None = None,
    scale: float = 1.0,
) -> Clip:
    """The disc's middle is at `place(frame)`; the picture moves `pan` pixels to the left with each frame.

    A `bar` from one column to another stands in front. All lengths are multiplied by `scale`.
    """
    noise = np.random.default_rng(0)
    picture = cv2.resize(data.astronaut(), None, fx=scale, fy=scale)
    texture = cv2.resize(data.coffee()[100:164, 200:264], None, fx=scale, fy=scale)
    width, height, radius = (round(side * scale) for side in (WIDTH, HEIGHT, RADIUS))
    clip = Clip([], [])
    for index in range(frames):
        left = round(scale * (10 + pan * index))
        frame = picture[20 : 20 + height, left : left + width].copy()
        across, down = (round(scale * side) for side in place(index))
        mask = np.zeros((height, width), np.uint8)
        cv2.circle(mask, (across, down), radius, 1, -1)
        rows, columns = np.nonzero(mask)
        frame[rows, columns] = texture[(rows - down) % len(texture), (columns - across) % len(texture)]
        if bar:
            frame[:, bar[0] : bar[1]] = (40, 90, 60)
            mask[:, bar[0] : bar[1]] = 0
        frame = (frame + noise.integers(-4, 5, frame.shape)).clip(0, 255).astype(np.uint8)
        clip.frames.append(frame)
        clip.truth.append(mask > 0)
    return clip


def recall(mask: Mask, truth: Mask, dilation_px: int = 4) -> float:
    """How much of the truth the mask covers, dilated as it is before anything is removed."""
    side = 2 * dilation_px + 1
    near = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return float(((near > 0) & truth).sum() / truth.sum())
