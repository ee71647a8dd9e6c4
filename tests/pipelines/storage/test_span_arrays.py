"""Rows of a span, kept as arrays: the files are those of NumPy, to the byte."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.storage.span_arrays import RowSink, read_array, read_arrays, rows_of, save_arrays

RECORD = np.dtype([("score", np.float64), ("lost", np.bool_)])


def filled(path: Path, pack: Any, items: list[Any]) -> Path:
    sink: RowSink[Any, Any] = RowSink(path, pack, row=lambda item: item)
    for item in items:
        sink.write(item)
    sink.close()
    return path


@pytest.mark.parametrize("count", [0, 1, 5])
def test_records_are_kept_as_numpy_keeps_them(tmp_path: Path, count: int) -> None:
    items = [np.array([(i / 2, i == 3)], RECORD) for i in range(count)]
    path = filled(tmp_path / "a.npy", rows_of(RECORD), items)
    expected = io.BytesIO()
    np.save(expected, np.concatenate([np.zeros(0, RECORD), *items]))
    assert path.read_bytes() == expected.getvalue()
    assert read_array(path).shape == (count,)


def test_a_row_that_is_none_is_left_out_and_rows_have_their_shape(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.npy", rows_of(np.float32, 2), [(1, 2), None, (3, 4)])
    assert read_array(path).tolist() == [[1, 2], [3, 4]] and read_array(path).dtype == np.float32
    assert read_array(filled(tmp_path / "b.npy", rows_of(np.float32, 2), [None])).shape == (0, 2)


def test_several_arrays_are_kept_by_name(tmp_path: Path) -> None:
    arrays = {"ends": np.arange(3), "bits": np.zeros((2, 2), np.uint8)}
    path = filled(tmp_path / "a.npz", lambda rows: {name: arrays[name] for name in rows}, list(arrays))
    expected = io.BytesIO()
    np.savez(expected, **arrays)  # type: ignore[arg-type]
    assert path.read_bytes() == expected.getvalue()
    bits, ends = read_arrays(path, "bits", "ends")
    assert bits.shape == (2, 2) and ends.tolist() == [0, 1, 2]


def test_a_span_that_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    sink: RowSink[int, int] = RowSink(tmp_path / "a.npy", rows_of(np.int64), row=lambda item: item)
    sink.write(1)
    (tmp_path / "a.npy").touch()
    sink.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        save_arrays(tmp_path / "deep" / "a.npy", np.array([object()]))
    assert list((tmp_path / "deep").iterdir()) == []
    save_arrays(tmp_path / "deep" / "a.npy", np.arange(2))
    assert read_array(tmp_path / "deep" / "a.npy").tolist() == [0, 1]
