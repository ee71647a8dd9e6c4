"""The newest state of a job, read from the end of journals of all lengths."""

from pathlib import Path

import pytest

from pipelines.jobs import events, journal
from pipelines.jobs.events import Event
from pipelines.jobs.journal import Journal

QUEUED = events.Queued(job="x", task="score", name="clip.mp4")
STARTED = events.Started(job="x", worker_pid=1)
PAUSED = events.Paused(job="x")


def warned(text: str) -> Event:
    return events.Warned(job="x", code="x", message=text)


@pytest.fixture
def told(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "events.jsonl")


def write(tmp_path: Path, *pieces: Event | bytes) -> None:
    lines = (p if isinstance(p, bytes) else p.model_dump_json().encode() + b"\n" for p in pieces)
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))


def test_without_a_file_or_a_state_there_is_none(tmp_path: Path, told: Journal) -> None:
    assert told.last_state() is None
    write(tmp_path)
    assert told.last_state() is None
    write(tmp_path, warned("only this"))
    assert told.last_state() is None


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 2**16])
@pytest.mark.parametrize("event", [QUEUED, STARTED, PAUSED])
def test_the_newest_state_is_found_wherever_blocks_end(
    tmp_path: Path, told: Journal, monkeypatch: pytest.MonkeyPatch, block_bytes: int, event: Event
) -> None:
    monkeypatch.setattr(journal, "_BLOCK_BYTES", block_bytes)
    write(tmp_path, QUEUED, STARTED, event, warned("later"), warned("latest"))
    assert told.last_state() == event


def test_a_state_a_long_way_back_is_found(tmp_path: Path, told: Journal) -> None:
    write(tmp_path, QUEUED, STARTED, *[warned("x" * 1000)] * 500)
    assert told.last_state() == STARTED


@pytest.mark.parametrize(
    "torn",
    [b"", PAUSED.model_dump_json().encode(), b'{"type":"paused","jo', b"x" * 200_000],
    ids=["empty", "whole", "half", "long"],
)
def test_a_line_that_is_not_finished_is_not_read_yet(tmp_path: Path, told: Journal, torn: bytes) -> None:
    write(tmp_path, QUEUED, STARTED, warned("x"), torn)
    assert told.last_state() == STARTED


def test_a_file_of_nothing_but_a_torn_line_has_no_state(tmp_path: Path, told: Journal) -> None:
    write(tmp_path, PAUSED.model_dump_json().encode())
    assert told.last_state() is None


def test_lines_that_are_no_event_are_passed_over(tmp_path: Path, told: Journal) -> None:
    write(tmp_path, STARTED, b'{"type":"paused","job":\n', b'{"type":"done"}\n', b"\xff\xfe\n", b"\n")
    assert told.last_state() == STARTED


def test_words_in_a_message_are_no_state(tmp_path: Path, told: Journal) -> None:
    write(
        tmp_path, STARTED, warned('"type":"done"'), events.Queued(job="x", task="score", name='"type":"done"')
    )
    assert isinstance(told.last_state(), events.Queued)
