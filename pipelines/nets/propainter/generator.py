"""ProPainter's inpainting generator (Zhou et al., ICCV 2023): encoder, propagation, sparse transformer, decoder."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from pipelines.nets import checkpoint
from pipelines.nets.kernels.upsample import Region
from pipelines.nets.propainter.autoencoder import BORDER, FrameDecoder, FrameEncoder
from pipelines.nets.propainter.feature_propagation import FeaturePropagation
from pipelines.nets.propainter.memory_cost import BAND_FEATURES
from pipelines.nets.propainter.patches import SoftComposition, SoftSplit
from pipelines.nets.propainter.transformer import Transformer

SCALE = 4
"""Features are at a quarter of the frame's size."""
MIN_BAND_ROWS = 4 * BORDER
"""Rows of features in a band at least: the border around it is computed twice."""


def quarter_flows(flows: Tensor) -> Tensor:
    """Downscale flows (n, 2, H, W) to a quarter of the size, in its pixels: (n, 2, H/4, W/4)."""
    return functional.interpolate(flows, scale_factor=1 / SCALE, mode="bilinear") / SCALE


def quarter_masks(masks: Tensor) -> Tensor:
    """Downscale masks (n, 1, H, W) to (n, 1, H/4, W/4), the pixel (4y, 4x) of each; a view."""
    return masks[..., ::SCALE, ::SCALE]


class InpaintGenerator(nn.Module):
    """The network of the published `ProPainter.pth`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = FrameEncoder()
        self.feat_prop_module = FeaturePropagation()
        self.ss = SoftSplit()
        self.transformers = Transformer()
        self.sc = SoftComposition()
        self.decoder = FrameDecoder()

    @torch.no_grad()
    def encode(self, frames: Tensor, masks: Tensor, updated: Tensor) -> Tensor:
        """Encode frames one by one; the caller keeps the features, which several windows need.

        Args:
            frames: (n, 3, H, W) in [-1, 1] after image propagation; H and W multiples of 8.
            masks: (n, 1, H, W), 1 in the hole, else 0.
            updated: (n, 1, H, W), 1 where still unknown after image propagation, else 0.

        Returns:
            (n, 128, H/4, W/4) in the precision of the weights.
        """
        joined = torch.cat((frames, masks.to(frames), updated.to(frames)), 1).to(self.ss.embedding.weight)
        joined = joined.contiguous(memory_format=torch.channels_last)
        return torch.cat([self.encoder(one) for one in torch.split(joined, 1)])

    @torch.no_grad()
    def paint(
        self,
        encoded: Tensor,
        local_masks: Tensor,
        local_updated: Tensor,
        flows_forward: Tensor,
        flows_backward: Tensor,
        *,
        everywhere: bool = True,
    ) -> Tensor:
        """Inpaint the local frames of a window.

        Args:
            encoded: (t, 128, h, w) from `encode`: l consecutive local frames, then references; h = H/4, w = W/4.
            local_masks: (l, 1, H, W), 1 in the hole.
            local_updated: (l, 1, H, W), 1 where still unknown.
            flows_forward: (l - 1, 2, h, w) completed flows, from `quarter_flows`.
            flows_backward: the same, backward.
            everywhere: False decodes only around the holes, which is less work: values outside `local_masks` are
                then arbitrary in [-1, 1]; those inside are the same.

        Returns:
            (l, 3, H, W) in [-1, 1], in the precision of the weights.
        """
        local, (height, width) = len(local_masks), local_masks.shape[2:]
        holes = quarter_masks(local_masks)
        regions = torch.cat((holes, quarter_masks(local_updated).to(holes)), 1)
        features = self.feat_prop_module(encoded[:local], regions, flows_forward, flows_backward)
        split = [self.ss(one) for one in (*features, *torch.split(encoded[local:], 1)) if len(one)]
        tokens = self.transformers(torch.cat(split), holes)
        painted = encoded.new_zeros(local, 3, height, width)
        whole = Region.whole(height // SCALE, width // SCALE)
        for index, feature in enumerate(features):
            region = whole if everywhere else hole(local_masks[index, 0])
            if region is not None:
                for band in region.bands(BAND_FEATURES, MIN_BAND_ROWS):
                    self._decode(feature, tokens[index : index + 1], band, painted[index : index + 1])
        return painted

    def _decode(self, feature: Tensor, tokens: Tensor, region: Region, painted: Tensor) -> None:
        """Decode this region of a frame (1, 3, H, W) from its features and tokens."""
        padded = region.padded(BORDER + 1)
        picture = self.decoder(padded.crop(feature) + self.sc(tokens, padded), padded)
        full = region.scaled(SCALE)
        top, left = full.top - SCALE * padded.top, full.left - SCALE * padded.left
        full.crop(painted).copy_(
            picture[:, :, top : top + full.bottom - full.top, left : left + full.right - full.left]
        )


def hole(mask: Tensor) -> Region | None:
    """Return the smallest region of the features that covers a mask (H, W), or None if it is empty."""
    height, width = mask.shape
    rows, columns = (mask.amax(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    if not rows:
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return Region(
        top // SCALE, -(-bottom // SCALE), left // SCALE, -(-right // SCALE), height // SCALE, width // SCALE
    )


def load_generator(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> InpaintGenerator:
    """Load the generator from the published `ProPainter.pth`. Raises WeightsBroken if the file does not fit."""
    network = InpaintGenerator().eval()
    checkpoint.fill(network, checkpoint.read(path), path.name)
    return convert_conv2d_weight_memory_format(network.to(device, dtype), torch.channels_last)
