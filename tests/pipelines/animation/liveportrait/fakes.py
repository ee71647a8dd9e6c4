"""Fake networks, fast and exact to the bit: they draw a crop enlarged, tinted by its keypoints."""

from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np

from pipelines.animation.motion.motions import Motions, decode_motions


class FakePortrait:
    """Has the interface of `LivePortrait`; keeps a tally of its calls."""

    made: ClassVar[list["FakePortrait"]] = []

    def __init__(self, weights: Any = None, *, device: str = "cpu", half: bool | None = None) -> None:
        self.seen: list[int] = []
        self.drawn: list[int] = []
        self.portraits: list[int] = []
        self.let: list[str] = []
        self.crops: list[Any] = []
        FakePortrait.made.append(self)

    def motions(self, crops: Any, landmarks: Any = None) -> Motions:
        self.seen.append(len(crops))
        self.crops += list(crops)
        means = crops.reshape(len(crops), -1, 3).mean(axis=1, dtype=np.float64)
        corner = crops[:, :128, :128].reshape(len(crops), -1, 3).mean(axis=1, dtype=np.float64)
        spread = np.linspace(-1, 1, 63)
        bins = np.arange(66)
        heads = {
            name: -np.abs(bins - (33 + corner[:, i : i + 1] / 20))
            for i, name in enumerate(("pitch", "yaw", "roll"))
        }
        heads |= {
            "kp": np.sin(spread * 9)[None] + means[:, :1] / 900,
            "exp": np.cos(spread * 5)[None] * means[:, 1:2] / 300,
            "t": means / 255 - 0.4,
            "scale": 1.4 + means[:, 2:] / 1000,
        }
        return decode_motions({name: head.astype(np.float32) for name, head in heads.items()}, landmarks)

    def portrait(self, crops: Any, keypoints: Any) -> Any:
        assert len(crops) == len(keypoints)
        self.portraits.append(len(crops))
        return SimpleNamespace(crops=crops)

    before_drawing: ClassVar[Any] = staticmethod(lambda frames: None)
    """Called with the size of a batch; may raise."""

    def frames(self, portrait: Any, keypoints: Any) -> Any:
        assert len(portrait.crops) in (1, len(keypoints))
        self.before_drawing(len(keypoints))
        self.drawn.append(len(keypoints))
        crops = np.broadcast_to(portrait.crops, (len(keypoints), *portrait.crops.shape[1:]))
        tints = (np.abs(keypoints).sum(axis=(1, 2), dtype=np.float64) * 1000).astype(np.int64)
        pictures = [cv2.resize(crop, (512, 512)) for crop in crops]
        return np.stack([p ^ np.uint8(tint % 64) for p, tint in zip(pictures, tints, strict=True)])

    def stitched(self, source: Any, driving: Any) -> Any:
        return driving + np.float32(0.01) * source

    def eyes(self, source: Any, ratios: Any) -> Any:
        return np.broadcast_to(ratios.sum(axis=1)[:, None, None], source.shape).astype(np.float32) / 10

    def lips(self, source: Any, ratios: Any) -> Any:
        return np.broadcast_to(ratios.sum(axis=1)[:, None, None], source.shape).astype(np.float32) / 7

    def release(self, stage: str) -> bool:
        self.let.append(stage)
        return stage == "motion"
