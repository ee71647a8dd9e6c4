"""Numbers of each frame in files, and the grid of batches."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.animation.liveportrait.batches import batches
from pipelines.animation.liveportrait.frame_records import FrameRecords, record_sink
from pipelines.spans import Span, split


@pytest.mark.parametrize("size", [1, 3, 7, 50])
@pytest.mark.parametrize("start", [5, 6, 14, 15, 25, 35])
def test_every_frame_is_in_one_batch_and_beside_the_same_ones_wherever_a_run_begins(
    size: int, start: int
) -> None:
    spans = split(Span(5, 36), 10)
    assert spans[-1] == Span(25, 36)
    found = list(batches(spans, start, 36, size))
    assert [i for batch in found for i in range(batch.start, batch.stop)] == list(range(start, 36))
    assert all(0 < len(batch) <= size for batch in found)
    whole = list(batches(spans, 5, 36, size))
    assert all(batch in whole for batch in found[1:])
    assert found[0].stop == next(batch.stop for batch in whole if batch.start <= start < batch.stop)


def test_a_run_that_ends_early_computes_no_frame_more() -> None:
    assert list(batches([Span(0, 10), Span(10, 20)], 3, 12, 8)) == [Span(3, 8), Span(8, 10), Span(10, 12)]


@pytest.fixture
def job(tmp_path: Path) -> Any:
    """31 frames from the fifth on, the last span a frame longer than the others; a row is its frame's number."""
    frames = Span(5, 36)
    made = SimpleNamespace(folder=tmp_path, frames=frames, spans=split(frames, 10))
    for span in made.spans:
        sink = record_sink(tmp_path / f"{span.name}.npy")
        for index in range(span.start, span.stop):
            sink.write(np.array([index, -index], np.float32))
        sink.close()
    return made


@pytest.mark.parametrize(("start", "stop"), [(5, 36), (5, 6), (35, 36), (14, 16), (24, 36), (12, 27)])
def test_rows_are_read_across_spans(start: int, stop: int, job: Any) -> None:
    rows = FrameRecords(job, ".")
    expected = np.arange(start, stop, dtype=np.float32)
    assert np.array_equal(rows.between(start, stop), np.stack([expected, -expected], axis=1))


def test_blocks_are_the_spans(job: Any) -> None:
    found = list(FrameRecords(job, ".").blocks())
    assert [span for span, _ in found] == job.spans
    assert np.array_equal(np.concatenate([rows for _, rows in found])[:, 0], np.arange(5, 36))


def test_what_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    sink = record_sink(tmp_path / "rows.npy")
    sink.write(np.zeros(2, np.float32))
    sink.abandon()
    assert not list(tmp_path.iterdir())
