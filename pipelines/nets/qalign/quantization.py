"""Matrices that are stored in a narrower type than the computation's: as in the file, in 8 bits or in 4.

All three are filled from a matrix `(out, in)` of any floating type and multiply like `nn.Linear` without a bias. Values
are dequantized when they are used, one matrix at a time, so activations keep their type.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.qalign.config import Quant, group_of

_AT_ONCE = 2**22
"""Weights that are quantized at a time: limits the float32 copies to 16 MiB each."""


class Plain(nn.Module):
    """Unquantized weights, in the type of the file or of the computation, whichever is narrower."""

    weight: Tensor

    def __init__(self, columns: int, rows: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(rows, columns, dtype=dtype))

    def fill(self, weight: Tensor) -> None:
        """Copy `weight`."""
        self.weight.copy_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in)` -> `(..., out)`."""
        return functional.linear(x, self.weight.to(x.dtype))


class Int8(nn.Module):
    """8 bits, symmetric: each row is rounded to steps of 1/127 of its largest weight."""

    weight: Tensor
    scale: Tensor

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(rows, columns, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(rows, 1))

    def fill(self, weight: Tensor) -> None:
        """Quantize `weight`, some rows at a time."""
        for rows, wide in _parts(weight, self.weight.device):
            scale = (wide.abs().amax(1, keepdim=True) / 127).clamp_min(torch.finfo(torch.float32).tiny)
            self.scale[rows] = scale
            self.weight[rows] = wide.div_(scale).round_().to(torch.int8)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in)` -> `(..., out)`."""
        return functional.linear(x, self.weight.to(x.dtype).mul_(self.scale.to(x.dtype)))


class Int4(nn.Module):
    """4 bits: 16 levels from the smallest to the largest weight of each group of a row; two weights per byte."""

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
        """Quantize `weight` by blocks of rows; the first half of a row fills the lower bits, the second the upper."""
        for rows, wide in _parts(weight, self.weight.device):
            wide = torch.unflatten(wide, 1, (self.step.shape[1], -1))
            least, most = wide.aminmax(dim=2, keepdim=True)
            # Codes are chosen for the step and minimum as stored in float16, not as computed.
            self.least[rows] = least.half()
            self.step[rows] = ((most - least) / 15).half()
            step = self.step[rows].float().clamp_min(torch.finfo(torch.float32).tiny)
            codes = wide.sub_(self.least[rows].float()).div_(step).round_().clamp_(0, 15).to(torch.uint8)
            low, high = codes.flatten(1).chunk(2, dim=1)
            self.weight[rows] = low | high << 4

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in)` -> `(..., out)`."""
        rows, half = self.weight.shape
        wide = torch.empty(rows, 2 * half, dtype=x.dtype, device=x.device)
        wide[:, :half], wide[:, half:] = self.weight & 15, self.weight >> 4
        grouped = torch.unflatten(wide, 1, (self.step.shape[1], -1))
        grouped.mul_(self.step.to(x.dtype)).add_(self.least.to(x.dtype))
        return functional.linear(x, wide)


def matrix(columns: int, rows: int, dtype: torch.dtype, quant: Quant | None) -> nn.Module:
    """Return an empty matrix of this kind; an odd width cannot be packed in 4 bits and gets 8."""
    if quant is None:
        return Plain(columns, rows, dtype)
    return Int4(columns, rows) if quant == "int4" and columns % 2 == 0 else Int8(columns, rows)


def fill_weight(module: nn.Module, weight: Tensor) -> None:
    """Copy `weight` to a matrix of this file or to a norm, quantized as the module needs it."""
    if isinstance(module, Plain | Int8 | Int4):
        module.fill(weight)
    else:
        cast(Tensor, module.weight).copy_(weight)


def _parts(weight: Tensor, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows of `weight`, copied to `device` in float32."""
    step = max(1, _AT_ONCE // weight.shape[1])
    for start in range(0, len(weight), step):
        rows = slice(start, start + step)
        yield rows, weight[rows].to(device, torch.float32, copy=True)
