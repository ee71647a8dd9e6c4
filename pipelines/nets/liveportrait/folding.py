"""Merging of norms and constant factors into kernels once weights are loaded, and folding of kernels for the CPU."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from pipelines.nets.kernels.scratch import Scratch, mapped_zeros
from pipelines.nets.kernels.toom_cook import Conv

NetworkT = TypeVar("NetworkT", bound=nn.Module)

LARGE = 2**16
"""Weights with at least so many values stay out of the C library's heap, which they would fragment."""


class Network(nn.Module):
    """A network that takes loaded tensors without a copy: they are laid out anew afterwards anyway."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = True) -> Any:
        """Load as torch does, with `assign` by default."""
        return super().load_state_dict(state_dict, strict=strict, assign=assign)


@runtime_checkable
class Merging(Protocol):
    """A module that must merge norms or factors into its kernels before it can compute."""

    def merge(self) -> None:
        """Merge, once."""


@runtime_checkable
class Folding(Protocol):
    """A module that can replace its kernels by faster ones for the CPU."""

    def fold(self, scratch: Scratch) -> None:
        """Fold, once."""


class ConvNorm(nn.Module):
    """A convolution followed by a batch norm, which is merged into its kernels."""

    norm: nn.Module

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.conv = conv
        channels = len(conv.bias)
        self.norm = nn.BatchNorm3d(channels) if conv.volume else nn.BatchNorm2d(channels)

    def merge(self) -> None:
        """Merge the norm, once."""
        merge_norm(self.conv, self.norm)
        del self.norm

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise a batch."""
        result: Tensor = self.conv(x)
        return result


def merge_norm(conv: nn.Module, norm: nn.Module) -> None:
    """Merge a batch norm into the convolution before it, in place."""
    scale, shift = affine(norm)
    weight, bias = cast(Tensor, conv.weight), cast(Tensor, conv.bias)
    weight.mul_(scale.view(-1, *(1,) * (weight.ndim - 1)))
    bias.mul_(scale).add_(shift)


def affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a batch norm as a scale and a shift per channel."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = cast(Tensor, norm.weight) / torch.sqrt(variance + cast(float, norm.eps))
    return scale, cast(Tensor, norm.bias) - mean * scale


def prepare(
    network: NetworkT,
    scratch: Scratch | None = None,
    refill: Callable[[str, nn.Module], None] | None = None,
) -> NetworkT:
    """Prepare a loaded network: merge its norms and, with `scratch`, fold its kernels for the CPU in float32.

    Works on one child module at a time; `refill(name, child)`, if given, first loads the child's weights again.
    With `scratch`, all weights are copied out of the mapped file.
    """
    for name, part in network.named_children():
        if refill:
            refill(name, part)
        _prepare(part, scratch)
    if scratch:
        network.register_forward_pre_hook(lambda *_: scratch.release())
    return network


def _prepare(part: nn.Module, scratch: Scratch | None) -> None:
    for module in reversed(list(part.modules())):  # children before their parents
        if isinstance(module, Merging):
            module.merge()
    for module in part.modules() if scratch else ():
        if isinstance(module, Folding):
            module.fold(cast(Scratch, scratch))
        for weight in module.parameters(recurse=False):
            large = weight.numel() >= LARGE
            weight.data = mapped_zeros(*weight.shape).copy_(weight) if large else weight.clone()
