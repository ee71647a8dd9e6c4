"""RAFT: dense optical flow by recurrent lookups in all-pairs correlation (Teed and Deng, ECCV 2020)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from pipelines.nets import checkpoint
from pipelines.nets.raft.correlation import Correlation
from pipelines.nets.raft.encoder import FeatureEncoder, instance_norm
from pipelines.nets.raft.update import MOTION, SCALE, STATE, UpdateBlock

MIN_SIDE_PX = 128
"""In smaller frames the coarsest correlation is a single row or column, and flow is meaningless."""


@dataclass(frozen=True, slots=True)
class Features:
    """RAFT's features of single frames, at an eighth of their size; computed once per frame.

    `features[i:j]` are those of a range of frames, as views.
    """

    fmap: Tensor
    """(n, 256, h, w) float32: features for the correlation."""
    net: Tensor
    """(n, 128, h, w) float32: initial state of the recurrence."""
    inp: Tensor
    """(n, 128, h, w) float32: context, constant over iterations."""

    def __len__(self) -> int:
        return len(self.fmap)

    def __getitem__(self, which: slice) -> "Features":
        return Features(self.fmap[which], self.net[which], self.inp[which])


def join(*features: Features) -> Features:
    """Concatenate features along the frames."""
    return Features(
        torch.cat([each.fmap for each in features]),
        torch.cat([each.net for each in features]),
        torch.cat([each.inp for each in features]),
    )


class Raft(nn.Module):
    """RAFT, large model, as published in `raft-things.pth`. Always float32."""

    def __init__(self) -> None:
        super().__init__()
        self.fnet = FeatureEncoder(instance_norm)
        self.cnet = FeatureEncoder(nn.BatchNorm2d)
        self.update_block = UpdateBlock()

    @torch.no_grad()
    def features(self, frames: Tensor) -> Features:
        """Encode frames (n, 3, H, W) float32 in [-1, 1]; H and W are multiples of 8 and at least 128.

        Holds about 200 bytes per pixel beyond the result: it encodes one frame at a time.

        Raises ValueError for any other size.
        """
        height, width = frames.shape[-2:]
        if min(height, width) < MIN_SIDE_PX or height % SCALE or width % SCALE:
            raise ValueError(
                f"frames of {width}x{height}: sides must be multiples of {SCALE}, and at least {MIN_SIDE_PX}"
            )
        frames = frames.contiguous(memory_format=torch.channels_last)
        net, inp = torch.split(self.cnet(frames), STATE, 1)
        return Features(self.fnet(frames), net.tanh(), inp.relu())

    @torch.no_grad()
    def flows(
        self,
        here: Features,
        there: Features,
        iterations: int = 20,
        *,
        on_demand: bool = False,
        still_px: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Estimate both flows of the frame pairs `here[i]`, `there[i]`: (n, 2, H, W) float32 in pixels, x before y.

        Args:
            here: features of the first frames of n pairs.
            there: features of their second frames.
            iterations: of the recurrence; 20 are published for ProPainter.
            on_demand: compute correlations at lookup instead of keeping those of all pairs of positions: less memory,
                more work, the same result up to the order of additions.
            still_px: stop early once no position moves by more than this many pixels of the frame; changes the
                result. None never stops.

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
        """Return the last state (n, 128, h, w) and flow (n, 2, h, w), in positions of the features."""
        update, state = self.update_block, first.net
        frames, _, height, width = state.shape
        grid = _grid(height, width, state.device)
        passes = update.gru.gates(first.inp)
        flow = state.new_zeros(frames, 2, height, width).contiguous(memory_format=torch.channels_last)
        joined = state.new_empty(frames, height, width, STATE + MOTION).permute(0, 3, 1, 2)
        for _ in range(iterations):
            update.encoder(correlation.lookup(grid + flow), flow, joined[:, STATE:])
            for gates in passes:
                state = gates.advance(state, joined)
            change = update.flow_head(state)
            flow = flow + change
            if still_px is not None and SCALE * float(change.abs().max()) < still_px:
                break
        return state, flow


def _grid(height: int, width: int, device: torch.device) -> Tensor:
    """Return the coordinates of each position, (2, h, w), x before y."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack((x, y))


def load_raft(path: Path, device: torch.device | str = "cpu") -> Raft:
    """Load RAFT from the published `raft-things.pth`. Raises WeightsBroken if the file does not fit."""
    # The file holds the shortcut norm of each strided block under two names; the network uses `downsample.1`.
    tensors = {
        name.removeprefix("module."): tensor
        for name, tensor in checkpoint.read(path).items()
        if ".norm3." not in name
    }
    network = Raft().eval()
    checkpoint.fill(network, tensors, path.name)
    network.cnet.fold_norms()
    return convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
