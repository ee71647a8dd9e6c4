"""Recurrent flow completion: fills holes in flows from their surroundings (ProPainter, ICCV 2023, section 3.1)."""

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
from pipelines.nets.propainter.autoencoder import leaky

MAX_OFFSET_PX = 5.0
"""Limit of an alignment's offsets, in pixels at an eighth of the size, as published."""
DILATION = 2
"""Distance in flows between the taps of a convolution over time, as published."""


class SpaceTime(nn.Module):
    """A 3x3 convolution in space, then one of three taps over time; streams flow by flow and holds five."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Sequential(nn.Conv3d(inside, outside, (1, 3, 3)))
        self.conv2 = nn.Sequential(nn.Conv3d(outside, outside, (3, 1, 1)))

    def forward(self, features: Iterable[Tensor]) -> Iterator[Tensor]:
        """Convolve and activate each (1, inside, h, w), in order: (1, outside, h / stride, w / stride) each."""
        weight, bias = _parameters(self.conv1)
        space = Convolution(weight[:, :, 0], bias) if self.stride == 1 else None
        inner = (
            leaky(space(x) if space else functional.conv2d(x, weight[:, :, 0], bias, self.stride, 1))
            for x in features
        )
        over_time, time_bias = _parameters(self.conv2)
        # A convolution over time is a 1x1 convolution of the joined channels of the flows at its taps.
        across = torch.cat(torch.unbind(over_time, 2), 1)
        for taps in _taps(inner):
            yield leaky(functional.conv2d(taps, across, time_bias))


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.get_parameter("0.weight"), layer.get_parameter("0.bias")


def _taps(features: Iterable[Tensor]) -> Iterator[Tensor]:
    """For each feature, join the channels at its three taps in time; zeros before the first and after the last."""
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
    """Second-order propagation of features backward, then forward, through all flows."""

    def __init__(self) -> None:
        super().__init__()
        self.deform_align = nn.ModuleDict(
            {name: Alignment(2 * WIDTH, 3 * WIDTH, MAX_OFFSET_PX) for name in ("backward_", "forward_")}
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
        """Yield (1, 128, h, w) each, in order, after one pass over all. Holds as much as `features` once more."""
        returned = list(self._carried("backward_", ((x,) for x in reversed(features))))
        returned.reverse()
        pairs = zip(features, returned, strict=True)
        for index, carried in enumerate(self._carried("forward_", pairs)):
            fused = self.fusion(torch.cat((returned[index], carried), 1))
            yield fused.add_(features[index])

    def _carried(self, name: str, visits: Iterable[tuple[Tensor, ...]]) -> Iterator[Tensor]:
        """Propagate in the order of `visits`: a feature each, and further inputs of the step."""
        align, backbone = self.deform_align[name], self.backbone[name]
        last: Tensor | None = None
        older: Tensor | None = None
        for inputs in visits:
            here = inputs[0]
            if last is None:
                aligned = torch.zeros_like(here)
            else:
                before = torch.zeros_like(here) if older is None else older
                aligned = align(torch.cat((last, before), 1), torch.cat((last, here, before), 1))
            older, last = last, aligned + backbone(torch.cat((*inputs, aligned), 1))
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

    @torch.no_grad()
    def complete(
        self, forward: Tensor, backward: Tensor, masks: Tensor, *, out: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fill the holes of both flows; outside the masks they stay as they are.

        Args:
            forward: (L, 2, H, W): flow i lies on frame i and points to frame i + 1; on any device, of any
                floating type. Sides are multiples of 8.
            backward: (L, 2, H, W): flow i lies on frame i + 1 and points to frame i.
            masks: (L + 1, 1, H, W), one per frame, 1 where the flow is unknown, else 0.
            out: results, shaped like `forward` and `backward`; these themselves are allowed.

        Returns:
            The completed flows, in `out` if given. Flows are moved to the network's device one at a time; it holds
            features of all flows: 32 values per pixel and flow, and 150 values per pixel.
        """
        results = out or (torch.empty_like(forward), torch.empty_like(backward))
        self._direction(forward, masks[:-1], results[0], range(len(forward)))
        self._direction(backward, masks[1:], results[1], range(len(backward))[::-1])
        return results

    def _direction(self, flows: Tensor, masks: Tensor, out: Tensor, order: range) -> None:
        known = (torch.cat((flows[i] * (1 - masks[i]), masks[i]))[None] for i in order)
        for index, predicted in zip(order, self.predict(known), strict=True):
            completed = predicted[0].to(flows)
            out[index] = completed * masks[index] + flows[index] * (1 - masks[index])

    @torch.no_grad()
    def predict(self, known: Iterable[Tensor]) -> Iterator[Tensor]:
        """Predict flows everywhere, in order; reads all of `known` before it yields the first.

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
        """Yield features (1, 128, H/8, W/8); appends those at a quarter of the size to `shallow`."""
        weight, bias = _parameters(self.downsample)

        def halved() -> Iterator[Tensor]:
            for one in known:
                x = one.to(weight).contiguous(memory_format=torch.channels_last)
                x = functional.pad(x, (2, 2, 2, 2), "replicate")
                yield leaky(functional.conv2d(x, weight[:, :, 0], bias, 2))

        def kept(features: Iterable[Tensor]) -> Iterator[Tensor]:
            for feature in features:
                shallow.append(feature)
                yield feature

        quarters = kept(self.encoder1["2"](self.encoder1["0"](halved())))
        for x in self.encoder2["2"](self.encoder2["0"](quarters)):
            yield self._dilated(x)

    def _dilated(self, x: Tensor) -> Tensor:
        """Apply the dilated convolutions, which widen the receptive field."""
        for name, dilation in (("0", 3), ("2", 2), ("4", 1)):
            weight, bias = (self.mid_dilation[name].get_parameter(which) for which in ("weight", "bias"))
            x = leaky(functional.conv2d(x, weight[:, :, 0], bias, padding=dilation, dilation=dilation))
        return x

    def _decoded(self, feature: Tensor, shallow: Tensor) -> Tensor:
        x = leaky(self.decoder2(feature)).add_(shallow)
        flow: Tensor = self.upsample(leaky(self.decoder1(x)))
        return flow


def _decoder(inside: int, between: int, outside: int) -> nn.Sequential:
    """A block that doubles the size; the caller applies the activation after it."""
    return nn.Sequential(
        Conv2d(inside, between, 3), nn.LeakyReLU(0.2, inplace=True), Upsample(between, outside)
    )


def load_flow_completion(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> FlowCompletion:
    """Load the published `recurrent_flow_completion.pth`. Raises WeightsBroken if it does not fit."""
    tensors = {
        name: tensor for name, tensor in checkpoint.read(path).items() if not name.startswith("edgeDetector.")
    }
    network = FlowCompletion().eval()
    checkpoint.fill(network, tensors, path.name)
    return convert_conv2d_weight_memory_format(network.to(device, dtype), torch.channels_last)
