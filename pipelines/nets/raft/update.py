"""RAFT's recurrent update of the flow, and the convex upsampling of the final one (Teed and Deng, ECCV 2020, 3.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.winograd import Conv2d, Convolution
from pipelines.nets.raft.correlation import CHANNELS

STATE, MOTION = 128, 128
"""Channels of the recurrent state (and of the context) and of the encoded motion."""
SCALE = 8
"""Features are at an eighth of the frame's size."""


@dataclass(frozen=True, slots=True)
class Gates:
    """One pass of the GRU, prepared for many iterations: the context's contribution is computed once."""

    both: Convolution
    """Update and reset gate from (state, motion)."""
    candidate: Convolution
    """The new state from (state, motion)."""
    context_both: Tensor
    context_candidate: Tensor

    def advance(self, state: Tensor, joined: Tensor) -> Tensor:
        """Return the state after `state` (n, 128, h, w); `joined` (n, 256, h, w) holds the motion in its second half.

        Overwrites the first half of `joined`.
        """
        joined[:, :STATE] = state
        both = self.both(joined).add_(self.context_both).sigmoid_()
        update, reset = torch.split(both, STATE, 1)
        torch.mul(reset, state, out=joined[:, :STATE])
        candidate = self.candidate(joined).add_(self.context_candidate).tanh_()
        return torch.lerp(state, candidate, update)


class SeparableGRU(nn.Module):
    """A convolutional GRU: a horizontal pass, then a vertical one."""

    def __init__(self) -> None:
        super().__init__()
        for number, kernel in ((1, (1, 5)), (2, (5, 1))):
            for gate in "zrq":
                self.add_module(f"conv{gate}{number}", Conv2d(STATE + STATE + MOTION, STATE, kernel))

    def gates(self, context: Tensor) -> tuple[Gates, Gates]:
        """Prepare both passes for a context (n, 128, h, w)."""
        return self._gates(1, context), self._gates(2, context)

    def _gates(self, number: int, context: Tensor) -> Gates:
        convs = [self.get_submodule(f"conv{gate}{number}") for gate in "zrq"]
        weight = torch.cat([conv.get_parameter("weight") for conv in convs])
        bias = torch.cat([conv.get_parameter("bias") for conv in convs])
        # Inputs are (state, context, motion), and a convolution is linear in each.
        state, constant, motion = torch.split(weight, [STATE, STATE, MOTION], 1)
        contribution = Convolution(constant, bias)(context)
        both, candidate = torch.split(torch.cat((state, motion), 1), [2 * STATE, STATE])
        return Gates(
            Convolution(both), Convolution(candidate), *torch.split(contribution, [2 * STATE, STATE], 1)
        )


class MotionEncoder(nn.Module):
    """Encoder of correlations and flow to 126 channels of motion; the flow itself is the last two."""

    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(CHANNELS, 256, 1)
        self.convc2 = Conv2d(256, 192, 3)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = Conv2d(128, 64, 3)
        self.conv = Conv2d(192 + 64, MOTION - 2, 3)

    def forward(self, correlations: Tensor, flow: Tensor, motion: Tensor) -> None:
        """Encode (n, 324, h, w) and (n, 2, h, w) into `motion` (n, 128, h, w)."""
        matched = functional.relu_(self.convc2(functional.relu_(self.convc1(correlations))))
        moved = functional.relu_(self.convf2(functional.relu_(self.convf1(flow))))
        motion[:, :-2] = self.conv(torch.cat((matched, moved), 1)).relu_()
        motion[:, -2:] = flow


class FlowHead(nn.Module):
    """Predictor of the change of the flow from the state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Conv2d(STATE, 256, 3)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        """(n, 128, h, w) -> (n, 2, h, w), in positions of the features."""
        change: Tensor = self.conv2(functional.relu_(self.conv1(state)))
        return change


class UpdateBlock(nn.Module):
    """All layers of an iteration, under the published names."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MotionEncoder()
        self.gru = SeparableGRU()
        self.flow_head = FlowHead()
        self.mask = nn.Sequential(
            Conv2d(STATE, 256, 3), nn.ReLU(inplace=True), nn.Conv2d(256, 9 * SCALE**2, 1)
        )

    def upsample(self, flow: Tensor, state: Tensor) -> Tensor:
        """Upsample flow (n, 2, h, w) in positions to (n, 2, 8h, 8w) in pixels by convex mixtures of 3x3 neighbours."""
        pairs = zip(torch.split(flow, 1), torch.split(state, 1), strict=True)
        return torch.cat([self._upsample(*pair) for pair in pairs])

    def _upsample(self, flow: Tensor, state: Tensor) -> Tensor:
        *_, height, width = flow.shape
        scores: Tensor = self.mask(state)
        weights = scores.mul_(0.25).reshape(9, 1, SCALE, SCALE, height, width).softmax(0)
        near = functional.unfold(SCALE * flow, 3, padding=1).view(2, 9, 1, 1, height, width)
        fine = torch.zeros_like(weights[0]).repeat(2, 1, 1, 1, 1)
        for weight, neighbour in zip(weights, near.transpose(0, 1), strict=True):
            fine.addcmul_(weight, neighbour)
        return fine.permute(0, 3, 1, 4, 2).reshape(1, 2, SCALE * height, SCALE * width)
