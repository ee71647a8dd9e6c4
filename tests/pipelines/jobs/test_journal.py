"""The newest state of a job, read from the end of journals of all lengths."""

from pathlib import Path

import pytest

from pipelines.jobs import events, journal
from pipelines.jobs.events import Event
from pipelines.jobs.journal import Journal
from pipelines.storage.kept_files import KeptFile

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


def test_a_line_with_a_flipped_byte_is_passed_over(tmp_path: Path, told: Journal) -> None:
    told.append(QUEUED)
    told.append(events.Segment(job="x", start=0, stop=10, path=Path("a")))
    path = tmp_path / "events.jsonl"
    data = path.read_bytes()
    start = data.index(b"\n") + 1
    for at in range(start, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        for event, _ in told.read():
            # What is read is what was written: a flip in the checksum's own name only makes it a line without one.
            assert event == QUEUED or (event.start, event.stop, event.path) == (0, 10, Path("a"))
    assert told.last_state() == QUEUED


def test_what_is_finished_is_on_the_disk_before_more_is_computed(
    told: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(journal.os, "fsync", synced.append)
    told.append(QUEUED)
    before = len(synced)
    told.append(warned("nothing to lose"))
    assert len(synced) == before
    told.append(events.Segment(job="x", start=0, stop=10, path=Path("a")))
    told.append(PAUSED)
    assert len(synced) == before + 2


def test_the_files_of_a_span_are_those_told_last(told: Journal) -> None:
    def segment(name: str, digest: str) -> Event:
        files = (KeptFile(name=name, size_bytes=1, sha256=digest),)
        return events.Segment(job="x", start=0, stop=10, path=Path(name), files=files)

    assert told.finished_files() == {}
    for event in (segment("a", "1"), segment("b", "2"), segment("a", "3"), PAUSED):
        told.append(event)
    told.append(events.Segment(job="x", start=0, stop=10, path=Path("of an earlier version")))
    assert {name: files[0].sha256 for name, files in told.finished_files().items()} == {"a": "3", "b": "2"}


def test_a_line_without_an_end_costs_no_more_than_its_length(tmp_path: Path, told: Journal) -> None:
    write(tmp_path, QUEUED, b"\0" * 30_000_000)
    read: list[int] = []

    class Counting:
        def __init__(self, file) -> None:
            self.file = file

        def seek(self, *where: int) -> int:
            return self.file.seek(*where)

        def read(self, size: int) -> bytes:
            read.append(size)
            return self.file.read(size)

    with (tmp_path / "events.jsonl").open("rb") as file:
        pieces = list(journal._lines_backwards(Counting(file)))
    assert sum(read) <= 30_001_000 and max(map(len, pieces)) <= 2 * journal._MOST_LINE_BYTES
    assert told.last_state() == QUEUED
