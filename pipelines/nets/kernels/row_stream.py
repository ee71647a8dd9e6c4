"""Streams of rows: pictures too large to hold, computed strip by strip from the top down and dropped after use."""

from collections.abc import Iterator

from torch import Tensor

Piece = tuple[slice, slice, Tensor]
"""The samples, the rows, and their values (b, C, rows, W)."""


class RowStream:
    """A batch of pictures (B, C, H, W), computed sample by sample while it is read. Holds the pieces that are in use.

    Rows are read once, from the top down. A piece must not be overwritten by the computation of later ones.
    """

    def __init__(self, shape: tuple[int, int, int, int], pieces: Iterator[Piece]) -> None:
        self.shape = shape
        self._pieces = pieces
        self._held: list[Piece] = []

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, sample: int, first: int, last: int) -> list[Tensor]:
        """Rows [first, last) of a sample, in order, in parts (rows, W, C)."""
        self._held = [piece for piece in self._held if piece[0].start == sample and piece[1].stop > first]
        while not self._held or self._held[-1][1].stop < last:
            self._held.append(next(self._pieces))
        return [
            piece[0, :, max(first - rows.start, 0) : last - rows.start].movedim(0, -1)
            for _, rows, piece in self._held
        ]

    def materialise(self, out: Tensor | None = None) -> Tensor:
        """Return all pictures, channels last, in `out` unless one piece is all of them. Raises ValueError if empty."""
        for part, rows, piece in self._pieces:
            if piece.shape == self.shape:
                return piece
            if out is None:
                batch, channels, height, width = self.shape
                out = piece.new_empty(batch, height, width, channels).movedim(-1, 1)
            out[part, :, rows] = piece
        if out is None:
            raise ValueError("the stream is empty")
        return out
