"""Q-Align's vision tower: a ViT-L/14 like CLIP's, which returns all tokens after a final norm.

Attributes have the published names, so that a checkpoint's keys are the modules' own.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.qalign.config import VisionSizes

_SHADES = tuple(value * (1 / 255) for value in range(256))
"""Pixel values 0 to 1, rounded to float32 once, as published; a product of two float32 could differ in the last bit."""
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation per channel, those of CLIP."""


def normalised(squares: Tensor) -> Tensor:
    """Normalise pictures `(n, side, side, 3)` uint8 RGB as CLIP does: `(n, 3, side, side)` float32."""
    shades, mean, deviation = (
        torch.tensor(values, device=squares.device) for values in (_SHADES, _MEAN, _DEVIATION)
    )
    return shades[squares.int()].sub_(mean).div_(deviation).permute(0, 3, 1, 2)


class Vision(nn.Module):
    """The vision tower: normalised pixels to tokens."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.embeddings = _Embeddings(sizes)
        self.encoder = _Encoder(sizes)
        self.post_layernorm = nn.LayerNorm(sizes.width, eps=sizes.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """`(n, 3, side, side)` -> `(n, 1 + patches, width)`: the class token, then the patches row by row."""
        out: Tensor = self.post_layernorm(self.encoder(self.embeddings(pixels)))
        return out


class _Embeddings(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        side, width = sizes.patch_side, sizes.width
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.position_embedding = nn.Parameter(torch.empty(1, sizes.tokens, width))
        self.patch_embed = nn.Conv2d(3, width, side, side, bias=False)
        self.pre_layernorm = nn.LayerNorm(width, eps=sizes.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        whole = self.cls_token.expand(len(pixels), -1, -1)
        hidden: Tensor = self.pre_layernorm(torch.cat((whole, patches), 1).add_(self.position_embedding))
        return hidden


class _Encoder(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class _Layer(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.self_attn = VisionAttention(sizes)
        # The published name, although it comes before the MLP.
        self.post_attention_layernorm = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.mlp = _Mlp(sizes)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden))
        out: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return out


class _Mlp(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.width, sizes.mlp_width)
        self.fc2 = nn.Linear(sizes.mlp_width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(quick_gelu(self.fc1(x)))
        return out


class VisionAttention(nn.Module):
    """Full self-attention; the projections of query, key and value are interleaved by head."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.query_key_value = nn.Linear(sizes.width, 3 * sizes.width)
        self.dense = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """`(n, tokens, width)` -> the same."""
        heads = torch.unflatten(self.query_key_value(x), 2, (self.heads, 3, -1)).transpose(1, 2)
        query, key, value = heads.unbind(3)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.dense(mixed.transpose(1, 2).flatten(2))
        return out


def quick_gelu(x: Tensor) -> Tensor:
    """`x * sigmoid(1.702 x)`."""
    return (1.702 * x).sigmoid_().mul_(x)
