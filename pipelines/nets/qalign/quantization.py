"""Matrices that are kept narrower than they are computed with: as stored, in 8 bits or in 4.

All three are filled from a matrix `(out, in)` of any floating type and multiply like `nn.Linear` without a bias. The
numbers are widened where they are used, one matrix at a time, so activations keep their type.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.qalign.config import Quant, group_of

_AT_ONCE = 2**22
"""Weights that are packed at once: the wide copies that packing takes stay small."""


class Plain(nn.Module):
    """The numbers as they are, or in the type of the file where that is narrower than the one computed with."""

    weight: Tensor

    def __init__(self, columns: int, rows: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(rows, columns, dtype=dtype))

    def fill(self, weight: Tensor) -> None:
        """Take the numbers of `weight`."""
        self.weight.copy_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return functional.linear(x, self.weight.to(x.dtype))


class Int8(nn.Module):
    """Steps of 1/127 of the largest weight of each row, to the nearest."""

    weight: Tensor
    scale: Tensor

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(rows, columns, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(rows, 1))

    def fill(self, weight: Tensor) -> None:
        """Pack `weight`, some rows at a time."""
        for rows, wide in _parts(weight, self.weight.device):
            scale = (wide.abs().amax(1, keepdim=True) / 127).clamp_min(torch.finfo(torch.float32).tiny)
            self.scale[rows] = scale
            self.weight[rows] = wide.div_(scale).round_().to(torch.int8)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return functional.linear(x, self.weight.to(x.dtype).mul_(self.scale.to(x.dtype)))


class Int4(nn.Module):
    """16 steps from the least to the largest weight of each group of a row; two weights a byte."""

    weight: Tensor
    step: Tensor
    least: Tensor

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        if columns % 2:
            raise ValueError(f"two weights share a byte, so {columns} columns cannot be packed")
        groups = columns // group_of(columns)
        self.register_buffer("weight", torch.empty(rows, columns // 2, dtype=torch.uint8))
        self.register_buffer("step", torch.empty(rows, groups, 1, dtype=torch.float16))
        self.register_buffer("least", torch.empty(rows, groups, 1, dtype=torch.float16))

    def fill(self, weight: Tensor) -> None:
        """Pack `weight`, some rows at a time. The first half of a row is in the lower bits, the second in the upper."""
        for rows, wide in _parts(weight, self.weight.device):
            wide = torch.unflatten(wide, 1, (self.step.shape[1], -1))
            least, most = wide.aminmax(dim=2, keepdim=True)
            # Codes are chosen for the step and the least weight as they are kept, not as they were.
            self.least[rows] = least.half()
            self.step[rows] = ((most - least) / 15).half()
            step = self.step[rows].float().clamp_min(torch.finfo(torch.float32).tiny)
            codes = wide.sub_(self.least[rows].float()).div_(step).round_().clamp_(0, 15).to(torch.uint8)
            low, high = codes.flatten(1).chunk(2, dim=1)
            self.weight[rows] = low | high << 4

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        rows, half = self.weight.shape
        wide = torch.empty(rows, 2 * half, dtype=x.dtype, device=x.device)
        wide[:, :half], wide[:, half:] = self.weight & 15, self.weight >> 4
        grouped = torch.unflatten(wide, 1, (self.step.shape[1], -1))
        grouped.mul_(self.step.to(x.dtype)).add_(self.least.to(x.dtype))
        return functional.linear(x, wide)


def matrix(columns: int, rows: int, dtype: torch.dtype, quant: Quant | None) -> nn.Module:
    """An empty matrix of the wanted kind; one of an odd width, of which no byte could hold two, has 8 bits for 4."""
    if quant is None:
        return Plain(columns, rows, dtype)
    return Int4(columns, rows) if quant == "int4" and columns % 2 == 0 else Int8(columns, rows)


def filled(module: nn.Module, weight: Tensor) -> None:
    """Give a matrix of this module, or a norm's row of weights, its numbers."""
    if isinstance(module, Plain | Int8 | Int4):
        module.fill(weight)
    else:
        cast(Tensor, module.weight).copy_(weight)


def _parts(weight: Tensor, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of `weight` after the other, as copies in float32 on `device`."""
    step = max(1, _AT_ONCE // weight.shape[1])
    for start in range(0, len(weight), step):
        rows = slice(start, start + step)
        yield rows, weight[rows].to(device, torch.float32, copy=True)
