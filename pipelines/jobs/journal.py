"""A job's events on disk, one JSON object per line: written by its runner, read by any number of listeners."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from memory.units import KIB
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.storage.names import to_json

_POLL_SECONDS = 0.1
"""How often a listener checks the file: files are what every platform and every process can watch."""
_BLOCK_BYTES = 64 * KIB
"""What is read at a time from the end of the file, where the last state usually lies."""

_STATES = (events.Queued, events.Started, *events.ENDINGS)
"""Events that change a job's state."""

_MAY_BE_STATE = re.compile(
    rb'"type":\s*"(?:' + b"|".join(s.model_fields["type"].default.encode() for s in _STATES) + rb')"'
)
"""Matches lines that may hold such an event: parsing the thousands of other lines would take most of the time."""


class Journal:
    """The file `events.jsonl` of a job. Instances hold no open files and may be created freely, in any process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: Event) -> None:
        """Append an event, on a fresh line where a killed writer left an incomplete one."""
        with self._path.open("ab+") as file:
            torn = False
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"
            file.write(b"\n" * torn + to_json(event) + b"\n")

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
                try:
                    event = events.parse(line)
                except ValidationError:
                    continue
                yield event, offset

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
                if _MAY_BE_STATE.search(line):
                    with suppress(ValidationError):
                        event = events.parse(line)
                        if isinstance(event, _STATES):
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


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    """Yield the pieces of `file` between line ends, last first. Holds one block and one line."""
    position = file.seek(0, os.SEEK_END)
    head = b""
    while position:
        size = min(_BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        head, *lines = (file.read(size) + head).split(b"\n")
        yield from reversed(lines)
    yield head
