"""All-pairs correlation of two frames' features: RAFT's pyramid and its lookup (Teed and Deng, ECCV 2020, 3.2)."""

import torch
from torch import Tensor
from torch.nn import functional

from memory.units import MIB

LEVELS, RADIUS = 4, 4
"""Levels of the pyramid, and the radius of a lookup window in positions of a level, as published."""
WINDOW = 2 * RADIUS + 1
CHANNELS = LEVELS * WINDOW**2
ON_DEMAND_BYTES = 64 * MIB
"""Limit of the features that are gathered at a time for an on-demand lookup."""


class Correlation:
    """Correlations of all positions of n frames with all positions of n others, at four scales.

    Pooling is linear, so a level of the pyramid is the correlation with pooled features. These are kept, padded by a
    ring of zeros that stands for everything outside. Holds 1.4 times the features, and unless `on_demand` about
    1.5 (h w)^2 floats per frame.
    """

    def __init__(self, here: Tensor, there: Tensor, *, on_demand: bool = False) -> None:
        """`here` and `there`: (n, c, h, w) float32 features."""
        self._shape = here.shape[0], here.shape[2], here.shape[3]
        self._here = here.permute(0, 2, 3, 1).flatten(1, 2) / here.shape[1] ** 0.5
        self._there: list[Tensor] = []
        self._sizes: list[tuple[int, int]] = []
        for level in range(LEVELS):
            there = functional.avg_pool2d(there, 2) if level else there
            self._sizes.append((there.shape[2], there.shape[3]))
            self._there.append(functional.pad(there, (1, 1, 1, 1)).permute(0, 2, 3, 1).flatten(1, 2))
        # (n, p, q) each: correlation of position p here with position q of the padded level there.
        self._volumes = (
            None if on_demand else [torch.bmm(self._here, level.transpose(1, 2)) for level in self._there]
        )

    def lookup(self, coordinates: Tensor) -> Tensor:
        """Sample correlations in windows of 9x9 around coordinates, at each level.

        Args:
            coordinates: (n, 2, h, w) float32, x before y, in positions of the finest level.

        Returns:
            (n, 324, h, w), channels last; channels are ordered by level, then x, then y.
        """
        frames, height, width = self._shape
        centres = coordinates.permute(0, 2, 3, 1).reshape(frames, height * width, 2)
        found = centres.new_empty(frames, height * width, LEVELS, WINDOW, WINDOW)
        for level, size in enumerate(self._sizes):
            start = centres / 2**level - RADIUS
            corner = start.floor()
            fraction = (start - corner)[..., None, None]
            window = self._window(level, _indices(corner, size))
            # All 81 samples of a window lie at the same fraction between positions: two lerps for all.
            along_x = torch.lerp(window[:, :, :-1], window[:, :, 1:], fraction[:, :, 0])
            torch.lerp(along_x[..., :-1], along_x[..., 1:], fraction[:, :, 1], out=found[:, :, level])
        return found.view(frames, height, width, CHANNELS).permute(0, 3, 1, 2)

    def _window(self, level: int, indices: Tensor) -> Tensor:
        """Return the correlations at indices (n, p, 100) into a padded level, as (n, p, 10, 10)."""
        if self._volumes is not None:
            found = self._volumes[level].gather(2, indices)
        else:
            found = torch.stack([self._computed(level, n, which) for n, which in enumerate(indices)])
        return found.view(*found.shape[:2], WINDOW + 1, WINDOW + 1)

    def _computed(self, level: int, frame: int, indices: Tensor) -> Tensor:
        here, there = self._here[frame], self._there[level][frame]
        at_once = max(1, ON_DEMAND_BYTES // (indices.shape[1] * there.shape[1] * there.element_size()))
        return torch.cat(
            [
                torch.bmm(there[which], some[..., None])[..., 0]
                for some, which in zip(torch.split(here, at_once), torch.split(indices, at_once), strict=True)
            ]
        )


def _indices(corner: Tensor, size: tuple[int, int]) -> Tensor:
    """Return indices of 10x10 windows at corners (n, p, 2) into a padded level of `size`: (n, p, 100), y fastest."""
    height, width = size
    steps = torch.arange(WINDOW + 1, device=corner.device)
    # Padding shifts coordinates by one, and whatever lies outside falls on the ring. Clamped as floats: a diverging
    # flow must not overflow an integer.
    x = (corner[..., :1].clamp(-WINDOW - 2, width + 1).long() + (steps + 1)).clamp_(0, width + 1)
    y = (corner[..., 1:].clamp(-WINDOW - 2, height + 1).long() + (steps + 1)).clamp_(0, height + 1)
    return (y[..., None, :] * (width + 2) + x[..., :, None]).flatten(2)
