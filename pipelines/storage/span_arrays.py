"""NumPy arrays per span: small records that a stage keeps of its frames."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pipelines.storage.atomic import atomic_write

Array = NDArray[Any]
Arrays = Array | Mapping[str, Array]
"""One array, kept as `.npy`, or several by their names, kept as `.npz`."""

Item = TypeVar("Item")
Row = TypeVar("Row")


def rows_of(dtype: DTypeLike, *shape: int) -> Callable[[list[Any]], Array]:
    """Return a function that packs rows of this dtype and shape into one array (rows, *shape)."""
    return lambda rows: np.array(rows, dtype).reshape(-1, *shape)


class RowSink(Generic[Item, Row]):
    """Sink of a stage that keeps a small row per frame. Holds the rows of the span until it is closed.

    `row` extracts the row of an item, None for items without one; `pack` makes arrays of the rows.
    """

    def __init__(
        self, path: Path, pack: Callable[[list[Row]], Arrays], row: Callable[[Item], Row | None]
    ) -> None:
        self._path = path
        self._pack = pack
        self._row = row
        self._rows: list[Row] = []

    def write(self, item: Item) -> None:
        """Keep the row of the next frame."""
        if (row := self._row(item)) is not None:
            self._rows.append(row)

    def close(self) -> None:
        """Write the file."""
        write_arrays(self._path, self._pack(self._rows))

    def abandon(self) -> None:
        """Remove the file."""
        self._rows.clear()
        self._path.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays to the part file of a span. Holds them twice.

    NumPy writes to a file by C's stdio, whose errors do not say that the disk is full; so it writes to memory.
    """
    buffer = io.BytesIO()
    if isinstance(arrays, Mapping):
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
    else:
        np.save(buffer, arrays, allow_pickle=False)
    path.write_bytes(buffer.getbuffer())


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write a file of arrays that is complete or absent."""
    with atomic_write(path) as part:
        write_arrays(part, arrays)


def read_array(path: Path) -> Array:
    """The array of a `.npy` file."""
    array: Array = np.load(path, allow_pickle=False)
    return array


def read_arrays(path: Path, *names: str) -> tuple[Array, ...]:
    """These arrays of a `.npz` file; others are not read."""
    with np.load(path, allow_pickle=False) as file:
        return tuple(file[name] for name in names)
