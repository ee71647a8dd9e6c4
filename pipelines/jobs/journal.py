"""A job's events on disk, one JSON object per line: written by its runner, read by any number of listeners.

Each line ends with a checksum of itself; a line that does not have the one it says is passed over.
"""

import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from memory.units import KIB, MIB
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.storage.atomic import flush
from pipelines.storage.kept_files import KeptFile
from pipelines.storage.names import to_json

_POLL_SECONDS = 0.1
"""How often a listener checks the file: files are what every platform and every process can watch."""
_BLOCK_BYTES = 64 * KIB
"""What is read at a time from the end of the file, where the last state usually lies."""
_MOST_LINE_BYTES = MIB
"""No event is longer; of a longer line, which is no event, only so much is held."""

_STATES = (events.Queued, events.Started, *events.ENDINGS)
"""Events that change a job's state."""

_MAY_BE_STATE = re.compile(
    rb'"type":\s*"(?:' + b"|".join(s.model_fields["type"].default.encode() for s in _STATES) + rb')"'
)
"""Matches lines that may hold such an event: parsing the thousands of other lines would take most of the time."""
_MAY_BE_SEGMENT = re.compile(rb'"type":\s*"segment"')


_CHECKSUM = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\s*$')
"""What `append` puts at the end of a line; lines of earlier versions have none."""
_DURABLE = (events.Segment, *events.ENDINGS)
"""Events that are flushed to disk: what they report is finished, and is not computed again after a power cut."""


class Journal:
    """The file `events.jsonl` of a job. Instances hold no open files and may be created freely, in any process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: Event) -> None:
        """Append an event, on a fresh line where a killed writer left an incomplete one."""
        new = not self._path.exists()
        with self._path.open("ab+") as file:
            torn = False
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"
            file.write(b"\n" * torn + _with_checksum(to_json(event)) + b"\n")
            if isinstance(event, _DURABLE):
                file.flush()
                os.fsync(file.fileno())
        if new:
            flush(self._path.parent)

    def discard(self) -> None:
        """Remove all events."""
        self._path.unlink(missing_ok=True)

    def read(self, offset: int = 0) -> Iterator[tuple[Event, int]]:
        """Yield the events from byte `offset` on, each with the offset after it. Other lines are skipped."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                if event := _parsed(line):
                    yield event, offset

    def finished_files(self) -> dict[str, tuple[KeptFile, ...]]:
        """Return what was told of the files of each finished span, by the name of the span's own; the latest counts.

        Holds some hundred bytes per span.
        """
        found: dict[str, tuple[KeptFile, ...]] = {}
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    if _MAY_BE_SEGMENT.search(line) and isinstance(event := _parsed(line), events.Segment):
                        found.update({event.files[0].name: event.files} if event.files else {})
        return found

    def last_start(self) -> int:
        """The byte offset at which the latest start of the job begins."""
        start = before = 0
        previous: Event | None = None
        for event, offset in self.read():
            if isinstance(event, events.Queued) and not isinstance(previous, events.Queued):
                start = before
            before, previous = offset, event
        return start

    def last_state(self) -> Event | None:
        """The latest event that changes the job's state, or None. Reads backwards, a block at a time."""
        if not self._path.exists():
            return None
        with self._path.open("rb") as file:
            # What follows the last line end is empty, or a line that is still being written.
            for line in islice(_lines_backwards(file), 1, None):
                if _MAY_BE_STATE.search(line) and isinstance(event := _parsed(line), _STATES):
                    return event
        return None

    def has_ended(self) -> bool:
        """Whether the job's latest run has ended."""
        return isinstance(self.last_state(), events.ENDINGS)

    def follow(self, offset: int = 0, *, given_up: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Yield the events from `offset` on, then new ones as they come, until the job ends or `given_up()` is true.

        Closing the generator does not stop the job.
        """
        last: Event | None = None
        while True:
            for event, after in self.read(offset):
                last, offset = event, after
                yield event
            if isinstance(last, events.ENDINGS) or given_up():
                return
            time.sleep(_POLL_SECONDS)


def _with_checksum(line: bytes) -> bytes:
    """Return the JSON object in `line` with its checksum as the last field."""
    return line[:-1] + b',"crc32":"%08x"}' % zlib.crc32(line)


def _parsed(line: bytes) -> Event | None:
    """Return the event in a line; None where there is none, or where it is damaged."""
    if (found := _CHECKSUM.search(line)) and zlib.crc32(line[: found.start()] + b"}") != int(found[1], 16):
        return None
    try:
        return events.parse(line)
    except ValidationError:
        return None


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    """Yield the pieces of `file` between line ends, last first; of one that is no event's, only the end.

    Holds a block and a line.
    """
    position = file.seek(0, os.SEEK_END)
    head: list[bytes] = []  # the pieces of the line that began in an earlier block, last first
    held = 0
    while position:
        size = min(_BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        first, *lines = file.read(size).split(b"\n")
        if lines:
            yield b"".join([lines.pop(), *reversed(head)])
            yield from reversed(lines)
            head, held = [], 0
        if held < _MOST_LINE_BYTES:
            head.append(first)
            held += len(first)
    yield b"".join(reversed(head))
