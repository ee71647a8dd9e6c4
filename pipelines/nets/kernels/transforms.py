"""Transforms of convolutions with few multiplications, exact, along one axis (Toom-Cook; Winograd 1980).

A tile of outputs is `A [(G w) * (B x)]`: B transforms the inputs x and G the kernel w, both are multiplied element by
element, and A transforms the products back. In two dimensions each transform is applied along both axes (Lavin and
Gray, CVPR 2016, arXiv:1509.09308).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import torch
from torch import Tensor

Matrix = Sequence[Sequence[Fraction | float]]


@dataclass(frozen=True)
class Transform:
    """The matrices of one axis, float64 unless stated otherwise."""

    samples: Tensor
    """B (products, window)"""
    kernel: Tensor
    """G (products, taps)"""
    results: Tensor
    """A (tile, products)"""

    @classmethod
    def of(cls, samples: Matrix, kernel: Matrix, results: Matrix) -> Self:
        """The transform with these B, G and A."""
        matrices = ([[float(value) for value in row] for row in rows] for rows in (samples, kernel, results))
        return cls(*(torch.tensor(matrix, dtype=torch.float64) for matrix in matrices))

    @property
    def tile(self) -> int:
        """Outputs of a tile."""
        return len(self.results)


def toom_cook(points: Sequence[Fraction], taps: int, *, scale_kernel: bool) -> Transform:
    """Interpolation at `points` and at infinity: a tile has `len(points) + 2 - taps` outputs.

    Each product must be divided by the differences of its point from the others. `scale_kernel`: G does so, and B and A
    hold small integers and fractions alone; otherwise B does.
    """
    tile = len(points) + 2 - taps
    samples = [_polynomial([q for q in points if q != p], len(points)) for p in points]
    kernel = [[p**k for k in range(taps)] for p in points]
    scaled = kernel if scale_kernel else samples
    for point, row in zip(points, scaled, strict=True):
        row[:] = [value / _differences(point, points) for value in row]
    infinity = [Fraction(k == taps - 1) for k in range(taps)]
    results = [[*(p**k for p in points), Fraction(k == tile - 1)] for k in range(tile)]
    return Transform.of([*samples, _polynomial(points, len(points))], [*kernel, infinity], results)


def _polynomial(roots: Sequence[Fraction], degree: int) -> list[Fraction]:
    """Coefficients of the product of (x - root), lowest first, up to x ** degree."""
    terms = [Fraction(1)]
    for root in roots:
        terms = [a - root * b for a, b in zip([Fraction(0), *terms], [*terms, Fraction(0)], strict=True)]
    return terms + [Fraction(0)] * (degree + 1 - len(terms))


def _differences(point: Fraction, points: Sequence[Fraction]) -> Fraction:
    product = Fraction(1)
    for other in points:
        product *= point - other if other != point else 1
    return product
