"""Recurrent flow completion: flows inside holes from those around them (ProPainter, ICCV 2023, section 3.1)."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from pipelines.nets import checkpoint
from pipelines.nets.kernels.deform_conv import WIDTH, Alignment
from pipelines.nets.kernels.upsample import Upsample
from pipelines.nets.kernels.winograd import Conv2d, Convolution

REACH_PX = 5.0
"""How far the offsets of an alignment reach, at an eighth of the size."""
DILATION = 2
"""Flows between the taps of a convolution over time."""


class SpaceTime(nn.Module):
    """A 3x3 convolution in space, then one of three taps over time: one flow at a time, five are held."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Sequential(nn.Conv3d(inside, outside, (1, 3, 3)))
        self.conv2 = nn.Sequential(nn.Conv3d(outside, outside, (3, 1, 1)))

    def forward(self, features: Iterable[Tensor]) -> Iterator[Tensor]:
        """From (1, inside, h, w) each to (1, outside, h / stride, w / stride) each, activated, in order."""
        weight, bias = _parameters(self.conv1)
        space = Convolution(weight[:, :, 0], bias) if self.stride == 1 else None
        inner = (
            _leaky(space(x) if space else functional.conv2d(x, weight[:, :, 0], bias, self.stride, 1))
            for x in features
        )
        over_time, time_bias = _parameters(self.conv2)
        # A convolution over time is one over the channels of the flows that its taps fall on.
        across = torch.cat(torch.unbind(over_time, 2), 1)
        for taps in _taps(inner):
            yield _leaky(functional.conv2d(taps, across, time_bias))


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.get_parameter("0.weight"), layer.get_parameter("0.bias")


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu_(x, 0.2)


def _taps(features: Iterable[Tensor]) -> Iterator[Tensor]:
    """For each feature, the channels of those before, at and after it; zeros before the first and after the last."""
    held: deque[Tensor] = deque(maxlen=2 * DILATION + 1)
    for feature in features:
        if not held:
            held.extend([torch.zeros_like(feature)] * DILATION)
        held.append(feature)
        if len(held) == held.maxlen:
            yield torch.cat(list(held)[::DILATION], 1)
    for _ in range(DILATION if held else 0):
        held.append(torch.zeros_like(held[-1]))
        if len(held) == held.maxlen:
            yield torch.cat(list(held)[::DILATION], 1)


class Recurrence(nn.Module):
    """Features carried backward, then forward, through all flows."""

    def __init__(self) -> None:
        super().__init__()
        self.deform_align = nn.ModuleDict(
            {name: Alignment(2 * WIDTH, 3 * WIDTH, REACH_PX) for name in ("backward_", "forward_")}
        )
        self.backbone = nn.ModuleDict(
            {
                name: nn.Sequential(
                    Conv2d(inside * WIDTH, WIDTH, 3),
                    nn.LeakyReLU(0.1, inplace=True),
                    Conv2d(WIDTH, WIDTH, 3),
                )
                for name, inside in (("backward_", 2), ("forward_", 3))
            }
        )
        self.fusion = nn.Conv2d(2 * WIDTH, WIDTH, 1)

    def forward(self, features: list[Tensor]) -> Iterator[Tensor]:
        """(1, 128, h, w) each, in order; nothing comes before all went by once. Holds as much again."""
        returned = list(self._carried("backward_", ((x,) for x in reversed(features))))
        returned.reverse()
        pairs = zip(features, returned, strict=True)
        for index, carried in enumerate(self._carried("forward_", pairs)):
            fused = self.fusion(torch.cat((returned[index], carried), 1))
            yield fused.add_(features[index])

    def _carried(self, name: str, visits: Iterable[tuple[Tensor, ...]]) -> Iterator[Tensor]:
        """Walk in the order of `visits`: a feature each, and what else the step is to see."""
        align, backbone = self.deform_align[name], self.backbone[name]
        last: Tensor | None = None
        older: Tensor | None = None
        for seen in visits:
            here = seen[0]
            if last is None:
                aligned = torch.zeros_like(here)
            else:
                before = torch.zeros_like(here) if older is None else older
                aligned = align(torch.cat((last, before), 1), torch.cat((last, here, before), 1))
            older, last = last, aligned + backbone(torch.cat((*seen, aligned), 1))
            yield last


class FlowCompletion(nn.Module):
    """The network of the published `recurrent_flow_completion.pth`, without the head that only training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample = nn.Sequential(nn.Conv3d(3, 32, (1, 5, 5)))
        self.encoder1 = nn.ModuleDict({"0": SpaceTime(32, 32, 1), "2": SpaceTime(32, 64, 2)})
        self.encoder2 = nn.ModuleDict({"0": SpaceTime(64, 64, 1), "2": SpaceTime(64, WIDTH, 2)})
        self.mid_dilation = nn.ModuleDict({name: nn.Conv3d(WIDTH, WIDTH, (1, 3, 3)) for name in "024"})
        self.feat_prop_module = Recurrence()
        self.decoder2 = _decoder(WIDTH, WIDTH, 64)
        self.decoder1 = _decoder(64, 64, 32)
        self.upsample = _decoder(32, 32, 2)

    @torch.inference_mode()
    def complete(
        self, forward: Tensor, backward: Tensor, masks: Tensor, *, out: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both flows with their holes filled; outside the masks they are the given ones.

        Args:
            forward: (L, 2, H, W): flow i lies on frame i and points to frame i + 1; on any device, of any
                floating type. Sides are multiples of 8.
            backward: (L, 2, H, W): flow i lies on frame i + 1 and points to frame i.
            masks: (L + 1, 1, H, W), one per frame, 1 where flow is not known, else 0.
            out: where results go, shaped like `forward` and `backward`: these themselves, or others.

        Returns:
            The completed flows, in `out` where given. One flow at a time visits the device of the network;
            features of all flows stay there: 32 values per pixel and flow, and 150 values per pixel.
        """
        results = out or (torch.empty_like(forward), torch.empty_like(backward))
        self._direction(forward, masks[:-1], results[0], range(len(forward)))
        self._direction(backward, masks[1:], results[1], range(len(backward))[::-1])
        return results

    def _direction(self, flows: Tensor, masks: Tensor, out: Tensor, order: range) -> None:
        known = (torch.cat((flows[i] * (1 - masks[i]), masks[i]))[None] for i in order)
        for index, predicted in zip(order, self.predict(known), strict=True):
            found = predicted[0].to(flows)
            out[index] = found * masks[index] + flows[index] * (1 - masks[index])

    @torch.inference_mode()
    def predict(self, known: Iterable[Tensor]) -> Iterator[Tensor]:
        """Flow everywhere, one at a time and in the order of what is known: nothing comes before all was read.

        Args:
            known: (1, 3, H, W) each: flow with zeros in its hole, and the mask of the hole.

        Yields:
            (1, 2, H, W) each, in pixels.
        """
        shallow: list[Tensor] = []
        deep = list(self._encoded(known, shallow))
        shallow.reverse()
        for feature in self.feat_prop_module(deep):
            yield self._decoded(feature, shallow.pop())

    def _encoded(self, known: Iterable[Tensor], shallow: list[Tensor]) -> Iterator[Tensor]:
        """(1, 128, H/8, W/8) each; those of a quarter of the size go to `shallow`."""
        weight, bias = _parameters(self.downsample)

        def halved() -> Iterator[Tensor]:
            for one in known:
                x = one.to(weight).contiguous(memory_format=torch.channels_last)
                x = functional.pad(x, (2, 2, 2, 2), "replicate")
                yield _leaky(functional.conv2d(x, weight[:, :, 0], bias, 2))

        def kept(features: Iterable[Tensor]) -> Iterator[Tensor]:
            for feature in features:
                shallow.append(feature)
                yield feature

        quarters = kept(self.encoder1["2"](self.encoder1["0"](halved())))
        for x in self.encoder2["2"](self.encoder2["0"](quarters)):
            yield self._widened(x)

    def _widened(self, x: Tensor) -> Tensor:
        """See further around with every step less apart."""
        for name, apart in (("0", 3), ("2", 2), ("4", 1)):
            weight, bias = (self.mid_dilation[name].get_parameter(which) for which in ("weight", "bias"))
            x = _leaky(functional.conv2d(x, weight[:, :, 0], bias, padding=apart, dilation=apart))
        return x

    def _decoded(self, feature: Tensor, shallow: Tensor) -> Tensor:
        x = _leaky(self.decoder2(feature)).add_(shallow)
        flow: Tensor = self.upsample(_leaky(self.decoder1(x)))
        return flow


def _decoder(inside: int, between: int, outside: int) -> nn.Sequential:
    """Twice the size; the activation after it is the caller's."""
    return nn.Sequential(
        Conv2d(inside, between, 3), nn.LeakyReLU(0.2, inplace=True), Upsample(between, outside)
    )


def load_flow_completion(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> FlowCompletion:
    """The network from the published `recurrent_flow_completion.pth`. Raises WeightsBroken where it does not fit."""
    tensors = {
        name: tensor for name, tensor in checkpoint.read(path).items() if not name.startswith("edgeDetector.")
    }
    network = FlowCompletion().eval()
    checkpoint.fill(network, tensors, path.name)
    return convert_conv2d_weight_memory_format(network.to(device, dtype), torch.channels_last)
