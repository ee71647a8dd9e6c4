"""Records of each frame in files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.animation.liveportrait.frame_records import FrameRecords, record_sink
from pipelines.spans import Span, split


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
