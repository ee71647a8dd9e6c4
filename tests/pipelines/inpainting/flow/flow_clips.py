"""Clips whose truth is known: a camera over a drawn picture, a thing that moves before it, holes that move."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import cv2
import numpy as np

from pipelines.inpainting.engine import Fill
from pipelines.inpainting.flow.engine import FlowFill
from pipelines.spans import Span
from pipelines.vision.types import Mask, Pixels

SIZE = (160, 96)
HIDDEN = (0, 255, 0)


def picture(seed: int, width: int = 420, height: int = 200) -> Pixels:
    """Shapes of all sizes and colours on a soft ground."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(40, 200, (5, 9, 3)).astype(np.float32)
    drawn = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    for _ in range(300):
        point = int(rng.integers(width)), int(rng.integers(height))
        colour = tuple(int(c) for c in rng.integers(40, 216, 3))
        cv2.circle(drawn, point, int(rng.integers(2, 12)), colour, int(rng.choice([-1, 1, 2])), cv2.LINE_AA)
    return drawn


def pan(drawn: Pixels, frames: int, step: float = 2.5) -> list[Pixels]:
    """A camera that moves over the picture, by fractions of a pixel, and turns a little."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    views = []
    for i in range(frames):
        motion = cv2.getRotationMatrix2D((80, 48), 0.05 * i, 1)
        motion[:, 2] += (20 + step * i, 40 + 0.3 * i)
        views.append(cv2.warpAffine(drawn, motion, SIZE, flags=how, borderMode=cv2.BORDER_REFLECT))
    return views


def disc(x: float, y: float, radius: float) -> Mask:
    across, down = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return (across - x) ** 2 + (down - y) ** 2 < radius**2


def moving_discs(frames: int, radius: float = 14) -> list[Mask]:
    return [disc(80 + 40 * np.sin(0.2 * i), 48 + 15 * np.cos(0.3 * i), radius) for i in range(frames)]


@dataclass
class Clip:
    """Frames as they are, and masks; the engine sees the frames with the masks painted over."""

    truth: list[Pixels]
    masks: list[Mask]
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
        self.asked.append((start, stop))
        for truth, mask in zip(self.truth[start:stop], self.masks[start:stop], strict=True):
            yield np.where(mask[..., None], np.uint8(HIDDEN), truth), mask

    def filled(
        self, start: int = 0, stop: int | None = None, *, quality: str = "balanced", workers: int = 1
    ) -> list[Fill]:
        engine, whole = FlowFill(quality, workers), Span(0, len(self.truth))
        return list(engine.fill(self.read, whole, start, whole.stop if stop is None else stop))

    def psnr(self, found: Callable[[int], Pixels]) -> float:
        """Within the holes, all frames together, dB."""
        off = [
            (found(i).astype(float) - t)[m]
            for i, (t, m) in enumerate(zip(self.truth, self.masks, strict=True))
        ]
        return float(10 * np.log10(255**2 / np.mean(np.concatenate(off) ** 2)))

    def telea(self, index: int) -> Pixels:
        """The frame alone, filled by OpenCV."""
        frame, mask = next(self.read(index, index + 1))
        return cv2.inpaint(frame, mask.astype(np.uint8), 5, cv2.INPAINT_TELEA)


def same(one: list[Fill], other: list[Fill]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a.pixels, b.pixels) and np.array_equal(a.invented, b.invented)
        for a, b in zip(one, other, strict=True)
    )
