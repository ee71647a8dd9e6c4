"""ProPainter's mask-guided sparse video transformer (section 3.3): only windows with holes attend beyond themselves."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from memory.units import MIB
from pipelines.nets.propainter.patches import PADDING, PATCH, STRIDE, TOKEN, FeedForward

WINDOW = 5, 9
"""Rows and columns of tokens in a window, as published."""
EXPAND = 3, 5
"""Rows and columns of tokens by which a masked window sees beyond its borders, as published."""
HEADS, BLOCKS, POOL = 4, 8, 4
ROLLED = 148
"""Tokens around a masked window: those in four shifted windows that it does not contain itself."""
BATCH_BYTES = 32 * MIB
"""Limit of the keys and values of masked windows that are attended together."""
FRAMES_AT_ONCE = 4
"""Frames per call of the feed-forward layer; bounds its memory."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Partition of tokens (rows, columns) into windows, after padding."""

    rows: int
    columns: int

    @property
    def down(self) -> int:
        """Windows from top to bottom."""
        return -(-self.rows // WINDOW[0])

    @property
    def across(self) -> int:
        """Windows from left to right."""
        return -(-self.columns // WINDOW[1])

    def padded(self, x: Tensor) -> Tensor:
        """Pad (n, rows, columns, c) with zeros at the bottom and right to whole windows."""
        below, right = self.down * WINDOW[0] - self.rows, self.across * WINDOW[1] - self.columns
        return functional.pad(x, (0, 0, 0, right, 0, below)) if below or right else x

    def cut(self, padded: Tensor) -> Tensor:
        """Cut (n, padded rows, padded columns, c) into windows (n, windows, 45, c), row by row."""
        frames, *_, channels = padded.shape
        cells = padded.view(frames, self.down, WINDOW[0], self.across, WINDOW[1], channels).transpose(2, 3)
        return cells.reshape(frames, self.down * self.across, WINDOW[0] * WINDOW[1], channels)

    def joined(self, windows: Tensor) -> Tensor:
        """Join windows to (n, rows, columns, c) and remove the padding."""
        frames, *_, channels = windows.shape
        cells = windows.view(frames, self.down, self.across, *WINDOW, channels).transpose(2, 3)
        whole = cells.reshape(frames, self.down * WINDOW[0], self.across * WINDOW[1], channels)
        return whole[:, : self.rows, : self.columns]

    def seen(self, rolled: Tensor) -> Tensor:
        """Return the tokens of a frame that masked windows attend to, as indices in the order of `cut`.

        Returns (windows, 45 + rolled). `rolled` selects those tokens of four windows, shifted by `EXPAND` each way,
        that are not in the window itself.
        """
        height, width = self.down * WINDOW[0], self.across * WINDOW[1]
        indices = torch.arange(height * width, device=rolled.device)
        ordered = self.cut(indices.view(1, height, width, 1)).flatten()
        index_map = torch.empty_like(indices)
        index_map[ordered] = indices
        index_map = index_map.view(1, height, width, 1)
        y, x = EXPAND
        moved = [torch.roll(index_map, shift, (1, 2)) for shift in ((-y, -x), (-y, x), (y, -x), (y, x))]
        around = torch.cat([self.cut(one)[0, :, :, 0] for one in moved], 1)
        return torch.cat((self.cut(index_map)[0, :, :, 0], around[:, rolled]), 1)


def masked_windows(masks: Tensor, grid: Grid) -> Tensor:
    """Return which windows a hole touches in any local frame, (windows,) bool, from feature masks (l, 1, h, w)."""
    tokens = functional.max_pool2d(masks.float(), PATCH, STRIDE, PADDING)
    by_window: Tensor = grid.cut(grid.padded(tokens.permute(0, 2, 3, 1))).amax((0, 2, 3))
    return by_window > 0


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a grid with a hole and without one, as indices (n,) int64 on the device of the tokens."""

    masked: Tensor
    plain: Tensor

    @classmethod
    def of(cls, masked: Tensor, device: torch.device) -> "Windows":
        """Sort windows by `masked` (windows,) bool. The host counts them: it waits where `masked` is on a device."""
        return cls(*(which.nonzero()[:, 0].to(device) for which in (masked, ~masked)))


class WindowAttention(nn.Module):
    """Attention within windows; masked windows also attend around them, to pooled tokens, and across frames."""

    valid_ind_rolled: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.key, self.query, self.value, self.proj = (nn.Linear(TOKEN, TOKEN) for _ in range(4))
        self.pool_layer = nn.Conv2d(TOKEN, TOKEN, POOL, POOL, groups=TOKEN)
        self.register_buffer("valid_ind_rolled", torch.zeros(ROLLED, dtype=torch.int64))

    def forward(
        self, tokens: Tensor, norm: nn.Module, which: Windows, parity: int, asked: list[int]
    ) -> Iterator[tuple[int, Tensor]]:
        """Attend for the frames `asked`; everything is computed before the first result is yielded.

        Args:
            tokens: (t, rows, columns, 512).
            norm: applied to the tokens first.
            which: the windows with a hole and without one.
            parity: 0 or 1: masked windows attend to frames parity, parity + 2, ...
            asked: frames whose tokens are needed.

        Yields:
            A frame, and its (1, rows, columns, 512). Holds three more sets of tokens.
        """
        grid = Grid(*tokens.shape[1:3])
        padded = grid.padded(norm(tokens))
        pooled = self.pool_layer(padded[parity::2].permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)
        windows = grid.cut(padded)
        del padded
        table = self._table(windows[parity::2], pooled)
        result = windows.new_empty(len(asked), *windows.shape[1:])
        if len(which.plain):
            self._attend_near(windows, table, parity, asked, which.plain, result)
        if len(which.masked):
            indices = _rows_seen(grid.seen(self.valid_ind_rolled)[which.masked], table, pooled.shape[1])
            each = indices.shape[1] * table.shape[2] * table.element_size()
            frames = torch.tensor(asked, device=tokens.device)[:, None]
            for batch, where in _batches(BATCH_BYTES // each, which.masked, indices):
                known = table.flatten(0, 1).index_select(0, where.flatten()).view(*where.shape, -1)
                result[:, batch] = self._attend_far(windows[frames, batch], known)
        return ((frame, self.proj(grid.joined(one[None]))) for frame, one in zip(asked, result, strict=True))

    def _table(self, windows: Tensor, pooled: Tensor) -> Tensor:
        """Return keys and values of frames (s, windows, 45, 512), then pooled tokens (s, p, 512): (s, rows, 1024)."""
        frames, count, size, channels = windows.shape
        table = windows.new_empty(frames, count * size + pooled.shape[1], 2 * channels)
        for number, frame in enumerate(windows):
            table[number, : count * size] = self._keys_values(frame.flatten(0, 1))
        table[:, count * size :] = self._keys_values(pooled)
        return table

    def _attend_near(
        self, windows: Tensor, table: Tensor, parity: int, asked: list[int], plain: Tensor, result: Tensor
    ) -> None:
        """Attend within each of the windows `plain`, for the frames `asked`; writes `result`."""
        count, size = windows.shape[1:3]
        for number, frame in enumerate(asked):
            near = windows[frame, plain]
            index, not_in_table = divmod(frame - parity, 2)
            if not_in_table:
                known = self._keys_values(near)
            else:
                known = table[index, : count * size].view(count, size, -1)[plain]
            result[number, plain] = _attended(self.query(near), known)

    def _keys_values(self, tokens: Tensor) -> Tensor:
        """Return keys, then values of tokens (..., 512): (..., 1024)."""
        weight = torch.cat((self.key.weight, self.value.weight))
        return functional.linear(tokens, weight, torch.cat((self.key.bias, self.value.bias)))

    def _attend_far(self, windows: Tensor, known: Tensor) -> Tensor:
        """Attend from windows (t, n, 45, 512) to keys and values (n, k, 1024)."""
        frames, count, size, channels = windows.shape
        queries = self.query(windows).transpose(0, 1).reshape(count, frames * size, channels)
        return _attended(queries, known).view(count, frames, size, channels).transpose(0, 1)


def _rows_seen(seen: Tensor, table: Tensor, pooled: int) -> Tensor:
    """Return the rows of a table (s, rows, c) that windows attend to; its last `pooled` rows are seen by all.

    `seen` (windows, k) are indices into a frame; returns (windows, s * (k + pooled)).
    """
    frames, rows = table.shape[:2]
    everywhere = torch.arange(rows - pooled, rows, device=seen.device).expand(len(seen), -1)
    in_frame = torch.cat((seen, everywhere), 1)
    starts = torch.arange(frames, device=seen.device)[:, None] * rows
    return (in_frame[:, None] + starts).flatten(1)


def _batches(size: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(tensor, max(1, size)) for tensor in tensors), strict=True)


def _attended(queries: Tensor, known: Tensor) -> Tensor:
    """Attend with four heads from (n, q, 512) to keys and values (n, k, 1024)."""
    chunks = (queries, *torch.chunk(known, 2, -1))
    q, k, v = (x.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for x in chunks)
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class TransformerBlock(nn.Module):
    """A pre-norm transformer block of attention and feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = WindowAttention()
        self.norm1, self.norm2 = nn.LayerNorm(TOKEN), nn.LayerNorm(TOKEN)
        self.mlp = FeedForward()

    def forward(
        self, tokens: Tensor, which: Windows, parity: int, asked: list[int], size: tuple[int, int]
    ) -> None:
        """Update the tokens (t, rows, columns, 512) of the frames `asked`, in place."""
        for frame, attended in self.attention(tokens, self.norm1, which, parity, asked):
            tokens[frame] += attended[0]
        for start in range(0, len(asked), FRAMES_AT_ONCE):
            batch = asked[start : start + FRAMES_AT_ONCE]
            tokens[batch] += self.mlp(self.norm2(tokens[batch]), size)


class Transformer(nn.Module):
    """Eight blocks: even ones attend to even frames, odd ones to odd frames."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.ModuleList(TransformerBlock() for _ in range(BLOCKS))

    def forward(self, tokens: Tensor, masks: Tensor) -> Tensor:
        """Run all blocks and return the tokens of the local frames.

        Args:
            tokens: (t, rows, columns, 512) of local frames, then references; overwritten.
            masks: (l, 1, h, w), holes of the local frames at the size of the features; best on the host.

        Returns:
            (l, rows, columns, 512), a view.
        """
        frames, rows, columns, _ = tokens.shape
        which = Windows.of(masked_windows(masks, Grid(rows, columns)), tokens.device)
        size = masks.shape[2], masks.shape[3]
        for number, (block, asked) in enumerate(
            zip(self.transformer, needed(frames, len(masks)), strict=True)
        ):
            block(tokens, which, number % min(2, frames), asked, size)
        return tokens[: len(masks)]


def needed(frames: int, local: int) -> list[list[int]]:
    """Return for each block the frames whose tokens are used after it; after the last one only the local frames."""
    wanted, result = set(range(local)), []
    for number in reversed(range(BLOCKS)):
        result.append(sorted(wanted))
        wanted |= set(range(number % 2, frames, 2))
    return result[::-1]
