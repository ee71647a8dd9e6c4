"""Q-Align's visual abstractor: learnt queries condense a frame's vision tokens into a few language tokens.

Attributes have the published names. The position tables are not trained weights; a file may leave them out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.qalign.config import AbstractorSizes

_NORM_EPS = 1e-5
"""Epsilon of the norms around the attention; only the norm inside the MLP uses the configured one."""


class Abstractor(nn.Module):
    """Converter of vision tokens to tokens of the language model, of `width` channels."""

    def __init__(self, sizes: AbstractorSizes, width: int) -> None:
        super().__init__()
        self.query_embeds = nn.Parameter(torch.empty(1, sizes.queries, sizes.width))
        self.vit_eos = nn.Parameter(torch.empty(1, 1, width))
        self.encoder = _Encoder(sizes)
        self.visual_fc = nn.Linear(sizes.width, width)

    def forward(self, vision_tokens: Tensor) -> Tensor:
        """`(n, 1 + patches, vision width)` -> `(n, queries + 1, width)`; the last token ends the frame."""
        queries = self.encoder(self.query_embeds.expand(len(vision_tokens), -1, -1), vision_tokens)
        return torch.cat((self.visual_fc(queries), self.vit_eos.expand(len(vision_tokens), -1, -1)), 1)


class _Encoder(nn.Module):
    def __init__(self, sizes: AbstractorSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))

    def forward(self, queries: Tensor, vision_tokens: Tensor) -> Tensor:
        for layer in self.layers:
            queries = layer(queries, vision_tokens)
        return queries


class _Layer(nn.Module):
    def __init__(self, sizes: AbstractorSizes) -> None:
        super().__init__()
        self.crossattention = CrossAttention(sizes)

    def forward(self, queries: Tensor, vision_tokens: Tensor) -> Tensor:
        out: Tensor = self.crossattention(queries, vision_tokens)
        return out


class CrossAttention(nn.Module):
    """Cross-attention of the queries to themselves and the vision tokens, followed by a gated MLP."""

    def __init__(self, sizes: AbstractorSizes) -> None:
        super().__init__()
        self.attention = _Attention(sizes)
        self.norm1 = nn.LayerNorm(sizes.width, eps=_NORM_EPS)
        self.normk = nn.LayerNorm(sizes.vision_width, eps=_NORM_EPS)
        self.output = _Output(sizes)

    def forward(self, queries: Tensor, vision_tokens: Tensor) -> Tensor:
        """`(n, queries, width)` and `(n, tokens, width)` -> `(n, queries, width)`."""
        # The residual is the normed query, not the query.
        normed = self.norm1(queries)
        out: Tensor = self.output(normed, self.attention(normed, self.normk(vision_tokens)))
        return out


class _Output(nn.Module):
    def __init__(self, sizes: AbstractorSizes) -> None:
        super().__init__()
        self.out_proj = nn.Linear(sizes.width, sizes.width)
        self.norm2 = nn.LayerNorm(sizes.width, eps=_NORM_EPS)
        self.mlp = _GatedMlp(sizes)

    def forward(self, queries: Tensor, gathered: Tensor) -> Tensor:
        hidden = queries + self.out_proj(gathered)
        out: Tensor = hidden + self.mlp(self.norm2(hidden))
        return out


class _Attention(nn.Module):
    q_pos_embed: Tensor
    k_pos_embed: Tensor

    def __init__(self, sizes: AbstractorSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.query = nn.Linear(sizes.width, sizes.width)
        self.key = nn.Linear(sizes.width, sizes.width)
        self.value = nn.Linear(sizes.width, sizes.width)
        self.register_buffer("q_pos_embed", torch.empty(sizes.queries, sizes.width))
        self.register_buffer("k_pos_embed", torch.empty(sizes.grid**2 + 1, sizes.width))

    def forward(self, queries: Tensor, vision_tokens: Tensor) -> Tensor:
        """Attend; positions are added to queries and keys, not to values."""
        both = torch.cat((queries, vision_tokens), 1)
        positions = torch.cat((self.q_pos_embed, self.k_pos_embed))
        query, key, value = (
            torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2)
            for x in (self.query(queries + self.q_pos_embed), self.key(both + positions), self.value(both))
        )
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class _GatedMlp(nn.Module):
    def __init__(self, sizes: AbstractorSizes) -> None:
        super().__init__()
        self.w1 = nn.Linear(sizes.width, sizes.mlp_width)
        self.w2 = nn.Linear(sizes.mlp_width, sizes.width)
        self.w3 = nn.Linear(sizes.width, sizes.mlp_width)
        self.ffn_ln = nn.LayerNorm(sizes.mlp_width, eps=sizes.eps)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w2(self.ffn_ln(functional.silu(self.w1(x)) * self.w3(x)))
        return out


def position_tables(sizes: AbstractorSizes) -> tuple[Tensor, Tensor]:
    """Compute the position tables of a file without them: queries `(queries, width)`, tokens `(1 + grid^2, width)`.

    Float32 sines and cosines. The first token stands for the whole frame and has zeros; of a patch, the column fills
    the first half and the row the second.
    """
    half = sizes.width // 2
    row, column = (axis.flatten() for axis in torch.meshgrid(*[torch.arange(sizes.grid)] * 2, indexing="ij"))
    grid = torch.cat((_waves(column, half), _waves(row, half)), 1)
    return _waves(torch.arange(sizes.queries), sizes.width), torch.cat((torch.zeros(1, sizes.width), grid))


def _waves(positions: Tensor, width: int) -> Tensor:
    frequency = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float32) / (width // 2))
    angle = positions.float()[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), 1)
