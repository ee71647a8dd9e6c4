"""The Q-Align network: squares to features, windows and whole videos to scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memory.compute import compute_device
from pipelines.scoring.qalign.memory_layout import Layout
from pipelines.scoring.qalign.windows import Features
from pipelines.vision.types import Pixels

if TYPE_CHECKING:
    from pipelines.nets.qalign.config import Task
    from pipelines.nets.qalign.model import QAlign


class NetworkScorer:
    """Q-Align on a device, with one score task. Holds the network."""

    def __init__(self, network: "QAlign", task: "Task", device: str) -> None:
        self.side = network.config.vision.image_side
        self._network = network
        self._task = task
        self._device = device

    @classmethod
    def load(cls, files: Mapping[str, Path], task: "Task", layout: Layout) -> "NetworkScorer":
        """Load the weights with the given layout. Raises WeightsMissing, WeightsBroken."""
        import torch

        from pipelines.nets.qalign.model import load

        dtype = torch.float16 if compute_device(layout.device).has_float16 else torch.float32
        network = load(files, layout.device, dtype, layout.quant, place=layout.place)
        return cls(network, task, layout.device)

    def encode(self, squares: Sequence[Pixels]) -> Sequence[Features]:
        """Encode squares `(side, side, 3)` uint8 RGB; returns `(queries + 1, width)` tokens each, on the device."""
        import torch

        from pipelines.nets.qalign.vision import normalised

        pixels = torch.from_numpy(np.stack(squares)).to(self._device)
        return list(self._network.encode_frames(normalised(pixels)))

    def score(self, windows: Sequence[Sequence[Features]]) -> list[float]:
        """Score windows of equal length, from 0 (bad) to 1 (excellent)."""
        import torch

        tokens = torch.cat([features for window in windows for features in window])
        scores: list[float] = self._network.scores(
            tokens.view(len(windows), -1, tokens.shape[1]), self._task
        ).tolist()
        return scores

    def to_host(self, features: Features) -> NDArray[Any]:
        """Copy features to host memory."""
        copy: NDArray[Any] = features.cpu().numpy().copy()
        return copy

    def score_video(self, features: Sequence[NDArray[Any]]) -> float:
        """Score frames sampled from a whole video together, from 0 to 1."""
        import torch

        return self.score([[torch.from_numpy(frame).to(self._device) for frame in features]])[0]
