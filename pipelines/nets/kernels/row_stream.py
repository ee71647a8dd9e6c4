"""Pictures that are never there in full: they come piece by piece, from the top down, and go when they were seen."""

from collections.abc import Iterator

from torch import Tensor

Piece = tuple[slice, slice, Tensor]
"""Which samples, which rows, and they (b, C, rows, W)."""


class RowStream:
    """A batch of pictures (B, C, H, W) that come sample after sample. Holds the pieces that are still looked at.

    Rows are read once, from the top down; pieces must be memory of their own.
    """

    def __init__(self, shape: tuple[int, int, int, int], pieces: Iterator[Piece]) -> None:
        self.shape = shape
        self._pieces = pieces
        self._held: list[Piece] = []

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, sample: int, first: int, last: int) -> list[Tensor]:
        """The rows of a sample from `first` to before `last`, in order, in parts (rows, W, C)."""
        self._held = [piece for piece in self._held if piece[0].start == sample and piece[1].stop > first]
        while not self._held or self._held[-1][1].stop < last:
            self._held.append(next(self._pieces))
        return [
            piece[0, :, max(first - rows.start, 0) : last - rows.start].movedim(0, -1)
            for _, rows, piece in self._held
        ]

    def whole(self, out: Tensor | None = None) -> Tensor:
        """The pictures in full, channels last; in `out` unless they come in one piece."""
        for part, rows, piece in self._pieces:
            if piece.shape == self.shape:
                return piece
            if out is None:
                batch, channels, height, width = self.shape
                out = piece.new_empty(batch, height, width, channels).movedim(-1, 1)
            out[part, :, rows] = piece
        if out is None:
            raise ValueError("no picture came")
        return out
