"""What the networks of LivePortrait need less of once their weights are in: norms and factors go into kernels."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from pipelines.nets.kernels.scratch import Scratch, own_memory
from pipelines.nets.kernels.toom_cook import Conv

NetworkT = TypeVar("NetworkT", bound=nn.Module)

LARGE = 2**16
"""Numbers from which on weights stay out of the C library's heap."""


class Network(nn.Module):
    """A network that takes the weights it is given, not a copy: they are laid out anew anyway."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = True) -> Any:
        """As torch's, with `assign` by default."""
        return super().load_state_dict(state_dict, strict=strict, assign=assign)


@runtime_checkable
class Merging(Protocol):
    """A module that computes only after something of it went into kernels."""

    def merge(self) -> None:
        """Do it, once."""


@runtime_checkable
class Folding(Protocol):
    """A module that can exchange its kernels for what a processor needs."""

    def fold(self, scratch: Scratch) -> None:
        """Do it, once."""


class ConvNorm(nn.Module):
    """A convolution and the batch norm after it, which is merged into its kernels."""

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
        """The convolution of a batch, normed."""
        result: Tensor = self.conv(x)
        return result


def merge_norm(conv: nn.Module, norm: nn.Module) -> None:
    """Put a batch norm into the convolution before it."""
    scale, shift = affine(norm)
    weight, bias = cast(Tensor, conv.weight), cast(Tensor, conv.bias)
    weight.mul_(scale.view(-1, *(1,) * (weight.ndim - 1)))
    bias.mul_(scale).add_(shift)


def affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A batch norm as a factor and a summand for each channel."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = cast(Tensor, norm.weight) / torch.sqrt(variance + cast(float, norm.eps))
    return scale, cast(Tensor, norm.bias) - mean * scale


def ready(
    network: NetworkT,
    scratch: Scratch | None = None,
    refill: Callable[[str, nn.Module], None] | None = None,
) -> NetworkT:
    """`network`, whose weights are in, as it is used: merged and, with `scratch`, for processors and float32 alone.

    Part after part, each of which `refill`, if there is one, gives its weights again by its name.
    With `scratch`, weights are memory of their own in the end.
    """
    for name, part in network.named_children():
        if refill:
            refill(name, part)
        _ready(part, scratch)
    if scratch:
        network.register_forward_pre_hook(lambda *_: scratch.forget())
    return network


def _ready(part: nn.Module, scratch: Scratch | None) -> None:
    for module in reversed(list(part.modules())):  # what is inside before what is around it
        if isinstance(module, Merging):
            module.merge()
    for module in part.modules() if scratch else ():
        if isinstance(module, Folding):
            module.fold(cast(Scratch, scratch))
        for weight in module.parameters(recurse=False):
            large = weight.numel() >= LARGE
            weight.data = own_memory(*weight.shape).copy_(weight) if large else weight.clone()
