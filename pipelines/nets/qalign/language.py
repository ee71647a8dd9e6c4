"""Q-Align's language model: LLaMA-2 with separate weights for frames in its norms, keys and values.

A sequence consists of runs: text, frames, text. The kind of a run selects the weights of its tokens, so projections
work on slices. Only the last token's output is needed, and the text before the frames is the same in every sequence, so
its keys and values are cached. Attributes have the published names.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.qalign.config import LanguageSizes, Quant
from pipelines.nets.qalign.quantization import matrix

TEXT, FRAMES = 0, 1
"""Kinds of runs; the token that ends a frame belongs to the frame."""

Run = tuple[int, int]
"""Number of tokens, and their kind."""
Runs = tuple[Run, ...]
Rotation = tuple[Tensor, Tensor]
"""Cosines and sines `(tokens, head width)` for the positions of tokens."""
KeysValues = tuple[Tensor, Tensor]
"""`(n, heads, tokens, head width)` each; keys are rotated."""


class Multiway(nn.Module):
    """A pair of projections, one for text and one for frames."""

    def __init__(self, text: nn.Module, frames: nn.Module) -> None:
        super().__init__()
        self.multiway = nn.ModuleList((text, frames))

    def forward(self, x: Tensor, runs: Runs) -> Tensor:
        """`(n, tokens, in)` -> `(n, tokens, out)`."""
        if len(runs) == 1:
            only: Tensor = self.multiway[runs[0][1]](x)
            return only
        parts = torch.split(x, [tokens for tokens, _ in runs], 1)
        return torch.cat([self.multiway[kind](part) for part, (_, kind) in zip(parts, runs, strict=True)], 1)


class MultiwayNorm(nn.Module):
    """RMS norm computed in float32, with separate weights for text and frames."""

    def __init__(self, width: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.multiway = nn.ModuleList(_Row(width, dtype) for _ in (TEXT, FRAMES))
        self._eps = eps

    def forward(self, x: Tensor, runs: Runs) -> Tensor:
        """`(n, tokens, width)` -> the same."""
        normed = functional.rms_norm(x, x.shape[-1:], None, self._eps)
        start = 0
        for tokens, kind in runs:
            self.multiway[kind](normed[:, start : start + tokens])
            start += tokens
        return normed


class _Row(nn.Module):
    """A weight per channel, multiplied in place."""

    weight: Tensor

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(width, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.weight)


class CausalAttention(nn.Module):
    """Causal attention with rotary position embedding."""

    def __init__(self, sizes: LanguageSizes, dtype: torch.dtype, quant: Quant | None) -> None:
        super().__init__()

        def square() -> nn.Module:
            return matrix(sizes.width, sizes.width, dtype, quant)

        self.heads = sizes.heads
        self.q_proj, self.o_proj = square(), square()
        self.k_proj, self.v_proj = Multiway(square(), square()), Multiway(square(), square())

    def keys_values(self, x: Tensor, runs: Runs, rotation: Rotation) -> KeysValues:
        """Return keys and values of tokens `(n, tokens, width)` at the positions of `rotation`."""
        return rotated(self._split(self.k_proj(x, runs)), rotation), self._split(self.v_proj(x, runs))

    def forward(self, x: Tensor, known: KeysValues, rotation: Rotation) -> Tensor:
        """Attend from tokens `(n, tokens, width)`, which are the last of the `known`, to those up to themselves."""
        queries = rotated(self._split(self.q_proj(x)), rotation)
        keys, values = (part.expand(len(x), -1, -1, -1) for part in known)
        mask, count, before = None, queries.shape[2], keys.shape[2] - queries.shape[2]
        if before and count > 1:  # a single last token attends to all
            mask = torch.ones(count, before + count, dtype=torch.bool, device=x.device).tril_(before)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, mask, is_causal=not before)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2)


class _Mlp(nn.Module):
    def __init__(self, sizes: LanguageSizes, dtype: torch.dtype, quant: Quant | None) -> None:
        super().__init__()
        self.gate_proj = matrix(sizes.width, sizes.mlp_width, dtype, quant)
        self.up_proj = matrix(sizes.width, sizes.mlp_width, dtype, quant)
        self.down_proj = matrix(sizes.mlp_width, sizes.width, dtype, quant)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x), inplace=True).mul_(self.up_proj(x)))
        return out


class DecoderLayer(nn.Module):
    """A decoder layer; its matrices may be stored in a narrower type, its norms are in `dtype`."""

    def __init__(
        self, sizes: LanguageSizes, dtype: torch.dtype, kept: torch.dtype, quant: Quant | None
    ) -> None:
        super().__init__()
        self.input_layernorm = MultiwayNorm(sizes.width, sizes.eps, dtype)
        self.self_attn = CausalAttention(sizes, kept, quant)
        self.post_attention_layernorm = MultiwayNorm(sizes.width, sizes.eps, dtype)
        self.mlp = _Mlp(sizes, kept, quant)

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Return the modules that hold weights, by name."""
        return ((name, part) for name, part in self.named_modules() if not list(part.children()))

    def forward(
        self, hidden: Tensor, runs: Runs, rotation: Rotation, past: KeysValues | None, *, last_only: bool
    ) -> tuple[Tensor, KeysValues]:
        """Return tokens `(n, tokens, width)` after this layer, and their keys and values behind those of the `past`.

        With `last_only` only the last token is computed and returned.
        """
        normed = self.input_layernorm(hidden, runs)
        known = self.self_attn.keys_values(normed, runs, rotation)
        if past is not None:
            known = _behind(past, known)
        if last_only:
            hidden, normed, runs = hidden[:, -1:], normed[:, -1:], ((1, runs[-1][1]),)
            rotation = rotation[0][-1:], rotation[1][-1:]
        hidden = hidden + self.self_attn(normed, known, rotation)
        return hidden + self.mlp(self.post_attention_layernorm(hidden, runs)), known


def _behind(past: KeysValues, own: KeysValues) -> KeysValues:
    """Append `own` keys and values to the `past` ones, which all sequences share."""
    keys, values = (torch.cat((a.expand(len(b), -1, -1, -1), b), 2) for a, b in zip(past, own, strict=True))
    return keys, values


class Layers(Protocol):
    """Access to the layers, wherever they are stored."""

    def in_order(self) -> Generator[DecoderLayer]:
        """Yield each layer once, on the device until the next one is taken."""
        ...


@dataclass
class Prefix:
    """The text at the beginning of every sequence, with its keys and values per layer so far.

    It passes through a layer together with the first sequence, so that an offloaded layer is transferred once for both.
    Holds two rows of the model's width per token and layer.
    """

    hidden: Tensor
    known: list[KeysValues] = field(default_factory=list)


class Language(nn.Module):
    """The decoder: embedded tokens to the output of the last of them."""

    def __init__(self, sizes: LanguageSizes, layers: Layers, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm = _LastNorm(sizes.width, sizes.eps)
        self.layers = layers
        self._sizes = sizes
        self._dtype = dtype

    def forward(self, tokens: Tensor, runs: Runs, prefix: Prefix) -> Tensor:
        """Return the normed output, float32 `(n, width)`, of the last of `tokens` `(n, tokens, width)` behind `prefix`.

        Holds the activations of `tokens` in one layer.
        """
        first = prefix.hidden.shape[1]
        cosines, sines = rotation(self._sizes, first + tokens.shape[1], self._dtype, tokens.device)
        before, after = (cosines[:first], sines[:first]), (cosines[first:], sines[first:])
        hidden, last = tokens, self._sizes.layers - 1
        with closing(self.layers.in_order()) as layers:
            for i, layer in enumerate(layers):
                if i == len(prefix.known):
                    output, known = layer(prefix.hidden, ((first, TEXT),), before, None, last_only=False)
                    prefix.hidden = output
                    prefix.known.append(known)
                hidden = layer(hidden, runs, after, prefix.known[i], last_only=i == last)[0]
        out: Tensor = self.norm(hidden[:, -1])
        return out


class _LastNorm(nn.Module):
    """RMS norm after the last layer, in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self._eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.rms_norm(hidden.float(), hidden.shape[-1:], self.weight, self._eps)


def rotation(sizes: LanguageSizes, tokens: int, dtype: torch.dtype, device: torch.device) -> Rotation:
    """Return cosines and sines for positions `0` to `tokens - 1`, computed in float32."""
    width = sizes.width // sizes.heads
    frequency = sizes.rope_base ** -(torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angle = torch.outer(torch.arange(tokens, dtype=torch.float32, device=device), frequency).repeat(1, 2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotated(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate heads `(n, heads, tokens, head width)` by their positions."""
    cosines, sines = rotation
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), -1) * sines
