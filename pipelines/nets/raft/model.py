"""RAFT: dense flow between two frames by recurrent look-ups in all-pairs correlation (Teed and Deng, ECCV 2020)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from pipelines.nets import checkpoint
from pipelines.nets.raft.correlation import Correlation
from pipelines.nets.raft.encoder import FeatureEncoder, own_statistics
from pipelines.nets.raft.update import MOTION, SCALE, STATE, UpdateBlock

SMALLEST_PX = 128
"""Below, the coarsest correlation is a single row or column, and flow means nothing."""


@dataclass(frozen=True, slots=True)
class Features:
    """What RAFT knows of frames by themselves, at an eighth of their size; computed once per frame.

    `features[i:j]` are those of some frames; its tensors are views.
    """

    fmap: Tensor
    """(n, 256, h, w) float32: what is matched."""
    net: Tensor
    """(n, 128, h, w) float32: the first state of the recurrence."""
    inp: Tensor
    """(n, 128, h, w) float32: the context, constant over iterations."""

    def __len__(self) -> int:
        return len(self.fmap)

    def __getitem__(self, which: slice) -> "Features":
        return Features(self.fmap[which], self.net[which], self.inp[which])


def join(*some: Features) -> Features:
    """Features of these frames, then of those."""
    return Features(
        torch.cat([one.fmap for one in some]),
        torch.cat([one.net for one in some]),
        torch.cat([one.inp for one in some]),
    )


class Raft(nn.Module):
    """RAFT, large model, as published in `raft-things.pth`. Always float32."""

    def __init__(self) -> None:
        super().__init__()
        self.fnet = FeatureEncoder(own_statistics)
        self.cnet = FeatureEncoder(nn.BatchNorm2d)
        self.update_block = UpdateBlock()

    @torch.inference_mode()
    def features(self, frames: Tensor) -> Features:
        """Features of frames (n, 3, H, W) float32 in [-1, 1]; H and W multiples of 8, at least 128.

        Holds about 200 bytes per pixel beyond the result: one frame at a time.

        Raises ValueError for another size: there is no flow at a smaller one.
        """
        height, width = frames.shape[-2:]
        if min(height, width) < SMALLEST_PX or height % SCALE or width % SCALE:
            raise ValueError(
                f"frames of {width}x{height}: sides must be multiples of {SCALE}, and at least {SMALLEST_PX}"
            )
        frames = frames.contiguous(memory_format=torch.channels_last)
        net, inp = torch.split(self.cnet(frames), STATE, 1)
        return Features(self.fnet(frames), net.tanh(), inp.relu())

    @torch.inference_mode()
    def flows(
        self,
        here: Features,
        there: Features,
        iterations: int = 20,
        *,
        on_demand: bool = False,
        still_px: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Both flows of the pairs of frames `here[i]`, `there[i]`, each (n, 2, H, W) float32 in pixels, x before y.

        Args:
            here: the first frames of n pairs.
            there: their second frames.
            iterations: of the recurrence.
            on_demand: compute correlations where they are looked up instead of keeping those of all pairs of
                positions: less memory, more work, the same numbers up to the order of additions.
            still_px: stop before the last iteration when no position moves by more than this (in pixels of the frame);
                None never stops. Changes the numbers.

        Returns:
            Flows from here to there, and from there to here.
        """
        first = join(here, there)
        correlation = Correlation(first.fmap, torch.cat((there.fmap, here.fmap)), on_demand=on_demand)
        state, flow = self._recur(correlation, first, iterations, still_px)
        forward, backward = torch.split(self.update_block.upsample(flow, state), len(here))
        return forward, backward

    def _recur(
        self, correlation: Correlation, first: Features, iterations: int, still_px: float | None
    ) -> tuple[Tensor, Tensor]:
        """The last state (n, 128, h, w) and flow (n, 2, h, w) in positions."""
        update, state = self.update_block, first.net
        frames, _, height, width = state.shape
        grid = _grid(height, width, state.device)
        passes = update.gru.gates(first.inp)
        flow = state.new_zeros(frames, 2, height, width).contiguous(memory_format=torch.channels_last)
        joined = state.new_empty(frames, height, width, STATE + MOTION).permute(0, 3, 1, 2)
        for _ in range(iterations):
            update.encoder(correlation.look_up(grid + flow), flow, joined[:, STATE:])
            for gates in passes:
                state = gates.advance(state, joined)
            change = update.flow_head(state)
            flow = flow + change
            if still_px is not None and SCALE * float(change.abs().max()) < still_px:
                break
        return state, flow


def _grid(height: int, width: int, device: torch.device) -> Tensor:
    """(2, h, w): where each position lies, x before y."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack((x, y))


def load_raft(path: Path, device: torch.device | str = "cpu") -> Raft:
    """RAFT from the published `raft-things.pth`, ready to run. Raises WeightsBroken where the file does not fit."""
    # The file has each strided block's last norm under two names; `downsample.1` is the one that counts.
    tensors = {
        name.removeprefix("module."): tensor
        for name, tensor in checkpoint.read(path).items()
        if ".norm3." not in name
    }
    network = Raft().eval()
    checkpoint.fill(network, tensors, path.name)
    network.cnet.fold_norms()
    return convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
