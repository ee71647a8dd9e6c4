"""ProPainter's mask-guided sparse video transformer (section 3.3): only windows that holes touch look far."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from memory.units import MIB
from pipelines.nets.propainter.patches import PADDING, PATCH, STRIDE, TOKEN, FeedForward

WINDOW = 5, 9
EXPAND = 3, 5
HEADS, BLOCKS, POOL = 4, 8, 4
ROLLED = 148
AT_ONCE_BYTES = 32 * MIB
"""What the keys and values of masked windows that are attended together may take."""
FRAMES_AT_ONCE = 4
"""Frames that share a step of the feed-forward layer."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How tokens (rows, columns) are padded and cut into windows."""

    rows: int
    columns: int

    @property
    def down(self) -> int:
        """Windows along a column."""
        return -(-self.rows // WINDOW[0])

    @property
    def across(self) -> int:
        """Windows along a row."""
        return -(-self.columns // WINDOW[1])

    def padded(self, x: Tensor) -> Tensor:
        """(n, rows, columns, c) with zeros below and to the right, up to whole windows."""
        below, right = self.down * WINDOW[0] - self.rows, self.across * WINDOW[1] - self.columns
        return functional.pad(x, (0, 0, 0, right, 0, below)) if below or right else x

    def cut(self, padded: Tensor) -> Tensor:
        """(n, padded rows, padded columns, c) -> (n, windows, 45, c), row by row."""
        frames, *_, channels = padded.shape
        cells = padded.view(frames, self.down, WINDOW[0], self.across, WINDOW[1], channels).transpose(2, 3)
        return cells.reshape(frames, self.down * self.across, WINDOW[0] * WINDOW[1], channels)

    def joined(self, windows: Tensor) -> Tensor:
        """Back to (n, rows, columns, c), without the padding."""
        frames, *_, channels = windows.shape
        cells = windows.view(frames, self.down, self.across, *WINDOW, channels).transpose(2, 3)
        whole = cells.reshape(frames, self.down * WINDOW[0], self.across * WINDOW[1], channels)
        return whole[:, : self.rows, : self.columns]

    def seen(self, rolled: Tensor) -> Tensor:
        """What a masked window sees of a frame: places of tokens in the order of `cut`, (windows, 45 + rolled).

        `rolled` are those places, of four windows moved by `EXPAND` each way, that the window itself lacks.
        """
        height, width = self.down * WINDOW[0], self.across * WINDOW[1]
        places = torch.arange(height * width, device=rolled.device)
        ordered = self.cut(places.view(1, height, width, 1)).flatten()
        place = torch.empty_like(places)
        place[ordered] = places
        place = place.view(1, height, width, 1)
        y, x = EXPAND
        moved = [torch.roll(place, shift, (1, 2)) for shift in ((-y, -x), (-y, x), (y, -x), (y, x))]
        around = torch.cat([self.cut(one)[0, :, :, 0] for one in moved], 1)
        return torch.cat((self.cut(place)[0, :, :, 0], around[:, rolled]), 1)


def masked_windows(masks: Tensor, grid: Grid) -> Tensor:
    """Which windows a hole touches in any local frame: (windows,) bool from masks (l, 1, h, w) of the features."""
    tokens = functional.max_pool2d(masks.float(), PATCH, STRIDE, PADDING)
    by_window: Tensor = grid.cut(grid.padded(tokens.permute(0, 2, 3, 1))).amax((0, 2, 3))
    return by_window > 0


class WindowAttention(nn.Module):
    """Attention within windows; of masked windows also around them, to pooled tokens, and across frames."""

    valid_ind_rolled: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.key, self.query, self.value, self.proj = (nn.Linear(TOKEN, TOKEN) for _ in range(4))
        self.pool_layer = nn.Conv2d(TOKEN, TOKEN, POOL, POOL, groups=TOKEN)
        self.register_buffer("valid_ind_rolled", torch.zeros(ROLLED, dtype=torch.int64))

    def forward(
        self, tokens: Tensor, norm: nn.Module, masked: Tensor, parity: int, asked: list[int]
    ) -> Iterator[tuple[int, Tensor]]:
        """What frames `asked` learn; all of it is known before the first is given.

        Args:
            tokens: (t, rows, columns, 512).
            norm: of tokens, before anything else.
            masked: (windows,) bool.
            parity: 0 or 1: masked windows look at frames parity, parity + 2, ...
            asked: frames.

        Yields:
            A frame, and its (1, rows, columns, 512). Holds three sets of tokens beyond the given one.
        """
        grid = Grid(*tokens.shape[1:3])
        padded = grid.padded(norm(tokens))
        pooled = self.pool_layer(padded[parity::2].permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)
        windows = grid.cut(padded)
        del padded
        table = self._table(windows[parity::2], pooled)
        result = windows.new_empty(len(asked), *windows.shape[1:])
        plain, holes = (which.nonzero()[:, 0] for which in (~masked, masked))
        if len(plain):
            self._learn_near(windows, table, parity, asked, plain, result)
        if len(holes):
            places = _places(grid.seen(self.valid_ind_rolled)[holes], table, pooled.shape[1])
            each = places.shape[1] * table.shape[2] * table.element_size()
            frames = torch.tensor(asked, device=tokens.device)[:, None]
            for some, where in _batches(AT_ONCE_BYTES // each, holes, places):
                far = table.flatten(0, 1).index_select(0, where.flatten()).view(*where.shape, -1)
                result[:, some] = self._far(windows[frames, some], far)
        return ((frame, self.proj(grid.joined(one[None]))) for frame, one in zip(asked, result, strict=True))

    def _table(self, windows: Tensor, pooled: Tensor) -> Tensor:
        """Keys and values of frames (s, windows, 45, 512), and of their pooled tokens (s, p, 512): (s, rows, 1024)."""
        frames, count, size, channels = windows.shape
        table = windows.new_empty(frames, count * size + pooled.shape[1], 2 * channels)
        for number, frame in enumerate(windows):
            table[number, : count * size] = self._known(frame.flatten(0, 1))
        table[:, count * size :] = self._known(pooled)
        return table

    def _learn_near(
        self, windows: Tensor, table: Tensor, parity: int, asked: list[int], plain: Tensor, result: Tensor
    ) -> None:
        """Of each frame, let the windows `plain` learn from themselves."""
        count, size = windows.shape[1:3]
        for number, frame in enumerate(asked):
            near = windows[frame, plain]
            place, other = divmod(frame - parity, 2)
            here = (
                table[place, : count * size].view(count, size, -1)[plain] if not other else self._known(near)
            )
            result[number, plain] = _attended(self.query(near), here)

    def _known(self, tokens: Tensor) -> Tensor:
        """Keys, then values of tokens (..., 512): (..., 1024)."""
        weight = torch.cat((self.key.weight, self.value.weight))
        return functional.linear(tokens, weight, torch.cat((self.key.bias, self.value.bias)))

    def _far(self, windows: Tensor, known: Tensor) -> Tensor:
        """What windows (t, n, 45, 512) learn from keys and values (n, k, 1024)."""
        frames, count, size, channels = windows.shape
        queries = self.query(windows).transpose(0, 1).reshape(count, frames * size, channels)
        return _attended(queries, known).view(count, frames, size, channels).transpose(0, 1)


def _places(seen: Tensor, table: Tensor, pooled: int) -> Tensor:
    """What windows see of a table (s, rows, c), of whose rows the last ones are pooled, as one list of rows.

    From `seen` (windows, k) places in a frame to (windows, s * (k + pooled)).
    """
    frames, rows = table.shape[:2]
    everywhere = torch.arange(rows - pooled, rows, device=seen.device).expand(len(seen), -1)
    in_frame = torch.cat((seen, everywhere), 1)
    starts = torch.arange(frames, device=seen.device)[:, None] * rows
    return (in_frame[:, None] + starts).flatten(1)


def _batches(at_once: int, *some: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(one, max(1, at_once)) for one in some), strict=True)


def _attended(queries: Tensor, known: Tensor) -> Tensor:
    """Attention of (n, q, 512) to keys and values (n, k, 1024) by four heads."""
    chunks = (queries, *torch.chunk(known, 2, -1))
    q, k, v = (x.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for x in chunks)
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each over normalised tokens and added to them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = WindowAttention()
        self.norm1, self.norm2 = nn.LayerNorm(TOKEN), nn.LayerNorm(TOKEN)
        self.mlp = FeedForward()

    def forward(
        self, tokens: Tensor, masked: Tensor, parity: int, asked: list[int], size: tuple[int, int]
    ) -> None:
        """Advance the tokens (t, rows, columns, 512) of frames `asked`, in place."""
        for frame, learnt in self.attention(tokens, self.norm1, masked, parity, asked):
            tokens[frame] += learnt[0]
        for start in range(0, len(asked), FRAMES_AT_ONCE):
            some = asked[start : start + FRAMES_AT_ONCE]
            tokens[some] += self.mlp(self.norm2(tokens[some]), size)


class Transformer(nn.Module):
    """Eight blocks, of which even ones look at even frames, and odd ones at odd frames."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.ModuleList(TransformerBlock() for _ in range(BLOCKS))

    def forward(self, tokens: Tensor, masks: Tensor) -> Tensor:
        """Tokens of the local frames after all blocks.

        Args:
            tokens: (t, rows, columns, 512) of local frames, then references; changed in place.
            masks: (l, 1, h, w), holes of the local frames at the size of the features.

        Returns:
            (l, rows, columns, 512), a view.
        """
        frames, rows, columns, _ = tokens.shape
        masked = masked_windows(masks, Grid(rows, columns))
        size = masks.shape[2], masks.shape[3]
        for number, (block, asked) in enumerate(
            zip(self.transformer, needed(frames, len(masks)), strict=True)
        ):
            block(tokens, masked, number % min(2, frames), asked, size)
        return tokens[: len(masks)]


def needed(frames: int, local: int) -> list[list[int]]:
    """For each block the frames whose tokens anybody asks for after it: in the end the local ones alone."""
    wanted, result = set(range(local)), []
    for number in reversed(range(BLOCKS)):
        result.append(sorted(wanted))
        wanted |= set(range(number % 2, frames, 2))
    return result[::-1]
