"""Harmonic fill: extending values known around a hole into it as smoothly as possible.

On a disc, the harmonic function with given border values is their mean weighted by the inverse square of the
distance (Poisson's kernel); the same mean is used for holes of any shape. Values are gathered in cells, so it is
one matrix product whose size does not grow with the hole.
"""

from math import prod
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.vision.types import Floats, Mask

_Real = TypeVar("_Real", np.float32, np.float64)

_MOST_CELLS = 24
"""Cells along the longer side of a crop, which bounds the size of the product."""
_OWN = 0.1
"""Squared distance in cells that is used from a cell to itself, instead of 0."""
_TINY = 1e-12


def median(values: NDArray[_Real]) -> _Real:
    """Return the upper median of values `(N,)`, N at least 1; several times faster than NumPy's median."""
    middle = len(values) // 2
    return cast(_Real, np.partition(values, middle)[middle])


def medians(values: NDArray[_Real], seen: Mask) -> NDArray[_Real]:
    """Return the upper median of the `seen` values of each row `(R, N)`, N at least 1; infinite if there are none."""
    ordered = np.sort(np.where(seen, values, np.inf), axis=1)
    middle = np.minimum(np.count_nonzero(seen, axis=1) // 2, values.shape[1] - 1)
    return cast(NDArray[_Real], np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0])


class HarmonicFill:
    """Fills pixels `into` `(H, W)` from pixels `known` `(H, W)`, in cells of at least `least_px` pixels a side.

    Holds a float32 for each pair of a known cell and a filled one: at most about 1.4 MB.
    """

    def __init__(self, known: Mask, into: Mask, least_px: int) -> None:
        self.cell_px = least_px * max(1, -(-max(known.shape) // (least_px * _MOST_CELLS)))
        rows, columns = np.nonzero(known)
        self.indices = rows * known.shape[1] + columns
        """Indices of the known pixels in the flattened crop."""
        self.shape = -(-known.shape[0] // self.cell_px), -(-known.shape[1] // self.cell_px)
        cell = (rows // self.cell_px) * self.shape[1] + columns // self.cell_px
        self.cells, self._cell = np.unique(cell, return_inverse=True)
        # Enlarging a field interpolates between a filled cell and its neighbours.
        filled = cv2.dilate(self._any(into), np.ones((3, 3), np.uint8))
        self._into = np.flatnonzero(filled)
        filled_cells, known_cells = (
            np.divmod(cells.astype(np.float32), self.shape[1]) for cells in (self._into, self.cells)
        )
        squared_distance = sum(
            np.subtract.outer(one, other) ** 2 for one, other in zip(filled_cells, known_cells, strict=True)
        )
        self._kernel = cast(Floats, 1 / (squared_distance + np.float32(_OWN)))

    def means(self, values: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Average values `(..., N, C)` of the known pixels in each cell; returns means and the cells' weights."""
        count, many = len(self.cells), prod(weights.shape[:-1])
        cell = (self._cell + count * np.arange(many)[:, None]).ravel()
        weight = np.bincount(cell, weights.ravel(), many * count)
        weighted = np.moveaxis(values * weights[..., None], -1, 0)
        sums = np.stack([np.bincount(cell, channel.ravel(), many * count) for channel in weighted], axis=1)
        means = (sums / np.maximum(weight, _TINY)[:, None]).astype(np.float32)
        shape = *weights.shape[:-1], count
        return means.reshape(*shape, -1), weight.astype(np.float32).reshape(shape)

    def field(self, means: Floats, weights: Floats) -> Floats:
        """Fill a field of cells `(..., h, w, C)` from `means` `(..., cells, C)` and their weights.

        0 where nothing is to be filled or nothing is known.
        """
        weighed = np.concatenate((means * weights[..., None], weights[..., None]), axis=-1)
        rows = np.ascontiguousarray(np.moveaxis(weighed, -1, -2))
        # Not by BLAS, whose sums depend on its number of threads; einsum over contiguous rows is as fast.
        found = np.einsum("...ck,ik->...ic", rows, self._kernel)
        drawn = np.zeros((*means.shape[:-2], self.shape[0] * self.shape[1], means.shape[-1]), np.float32)
        drawn[..., self._into, :] = found[..., :-1] / np.maximum(found[..., -1:], _TINY)
        return drawn.reshape(*means.shape[:-2], *self.shape, -1)

    def enlarged(self, field: Floats, shape: tuple[int, ...]) -> Floats:
        """Interpolate a field of cells to the size of the crop, `shape`."""
        size = field.shape[1] * self.cell_px, field.shape[0] * self.cell_px
        return cast(Floats, cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]])

    def _any(self, flags: Mask) -> NDArray[np.uint8]:
        """Cells in which any pixel is flagged {0, 1}."""
        rows, columns = np.nonzero(flags)
        found = np.zeros(self.shape, np.uint8)
        found[rows // self.cell_px, columns // self.cell_px] = 1
        return found
