"""Values known around a hole, carried into it: the smoothest that meet them.

Over a disc the harmonic function of given border values is their mean, weighed by the inverse square of the distance
(Poisson's kernel); the same mean serves for holes of any shape. It is one product of matrices, of a size that does not
grow with the hole: values are gathered in cells.
"""

from math import prod
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.vision.types import Mask

Floats = NDArray[np.float32]
_Real = TypeVar("_Real", np.float32, np.float64)

_MOST_CELLS = 24
_OWN = 0.1
"""Squared distance, in cells, of a cell from itself."""
_TINY = 1e-12


def median(values: NDArray[_Real]) -> _Real:
    """The upper median of values `(N,)`, N at least 1: several times faster than NumPy's."""
    middle = len(values) // 2
    return cast(_Real, np.partition(values, middle)[middle])


def medians(values: NDArray[_Real], seen: Mask) -> NDArray[_Real]:
    """The upper median of what is `seen` of each row of values `(R, N)`, N at least 1; infinite where nothing is."""
    ordered = np.sort(np.where(seen, values, np.inf), axis=1)
    middle = np.minimum(np.count_nonzero(seen, axis=1) // 2, values.shape[1] - 1)
    return cast(NDArray[_Real], np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0])


class HarmonicFill:
    """From pixels `known` `(H, W)` into `into` `(H, W)`, by cells of at least `least_px` pixels.

    Holds a float32 for each pair of a cell with something known and one that is asked for: at most about 1.4 MB.
    """

    def __init__(self, known: Mask, into: Mask, least_px: int) -> None:
        self.cell_px = least_px * max(1, -(-max(known.shape) // (least_px * _MOST_CELLS)))
        rows, columns = np.nonzero(known)
        self.coords = rows * known.shape[1] + columns
        """Of what is known, in the flattened crop."""
        self.shape = -(-known.shape[0] // self.cell_px), -(-known.shape[1] // self.cell_px)
        cell = (rows // self.cell_px) * self.shape[1] + columns // self.cell_px
        self.cells, self._cell = np.unique(cell, return_inverse=True)
        # A cell beside one that is asked for is looked at when the field is enlarged.
        asked = cv2.dilate(self._any(into), np.ones((3, 3), np.uint8))
        self._into = np.flatnonzero(asked)
        here, there = (
            np.divmod(cells.astype(np.float32), self.shape[1]) for cells in (self._into, self.cells)
        )
        apart = sum(np.subtract.outer(one, other) ** 2 for one, other in zip(here, there, strict=True))
        self._kernel = cast(Floats, 1 / (apart + np.float32(_OWN)))

    def means(self, values: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Of values `(..., N, C)` of the known pixels the weighted mean in each cell, and the cells' weights."""
        count, many = len(self.cells), prod(weights.shape[:-1])
        cell = (self._cell + count * np.arange(many)[:, None]).ravel()
        weight = np.bincount(cell, weights.ravel(), many * count)
        weighted = np.moveaxis(values * weights[..., None], -1, 0)
        sums = np.stack([np.bincount(cell, channel.ravel(), many * count) for channel in weighted], axis=1)
        means = (sums / np.maximum(weight, _TINY)[:, None]).astype(np.float32)
        shape = *weights.shape[:-1], count
        return means.reshape(*shape, -1), weight.astype(np.float32).reshape(shape)

    def field(self, means: Floats, weights: Floats) -> Floats:
        """`means` `(..., cells, C)` with their weights, as pictures of cells `(..., h, w, C)`.

        0 where nothing is asked for or known.
        """
        weighed = np.concatenate((means * weights[..., None], weights[..., None]), axis=-1)
        rows = np.ascontiguousarray(np.moveaxis(weighed, -1, -2))
        # Not by BLAS, whose sums depend on its number of threads; rows times rows, which is as fast.
        found = np.einsum("...ck,ik->...ic", rows, self._kernel)
        drawn = np.zeros((*means.shape[:-2], self.shape[0] * self.shape[1], means.shape[-1]), np.float32)
        drawn[..., self._into, :] = found[..., :-1] / np.maximum(found[..., -1:], _TINY)
        return drawn.reshape(*means.shape[:-2], *self.shape, -1)

    def enlarged(self, field: Floats, shape: tuple[int, ...]) -> Floats:
        """A picture of cells at the size of the crop, `shape`."""
        size = field.shape[1] * self.cell_px, field.shape[0] * self.cell_px
        return cast(Floats, cv2.resize(field, size, interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]])

    def _any(self, flags: Mask) -> NDArray[np.uint8]:
        """Cells of which any pixel is flagged."""
        rows, columns = np.nonzero(flags)
        found = np.zeros(self.shape, np.uint8)
        found[rows // self.cell_px, columns // self.cell_px] = 1
        return found
