"""A job's events on disk, one JSON object a line: written by its runner, read by any number of listeners."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from pipelines import events
from pipelines.events import Event

_POLL_SECONDS = 0.1


class Journal:
    """The file `events.jsonl` of a job. Instances hold no open file and may be made freely, in any process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: Event) -> None:
        """Add an event; starts a fresh line where a killed writer left half a one."""
        with self._path.open("ab+") as file:
            torn = False
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"
            file.write(b"\n" * torn + event.model_dump_json().encode() + b"\n")

    def read(self, offset: int = 0) -> Iterator[tuple[Event, int]]:
        """Events from byte `offset` on, each with the offset behind it. Lines that are no event are passed over."""
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
        """The byte offset at which the newest start of the job begins."""
        start = before = 0
        previous: Event | None = None
        for event, offset in self.read():
            if isinstance(event, events.Queued) and not isinstance(previous, events.Queued):
                start = before
            before, previous = offset, event
        return start

    def last_state(self) -> Event | None:
        """The newest event that changes the job's state, or None."""
        newest: Event | None = None
        for event, _ in self.read():
            if isinstance(event, (events.Queued, events.Started, *events.ENDINGS)):
                newest = event
        return newest

    def has_ended(self) -> bool:
        """Whether the job's newest run is over."""
        return isinstance(self.last_state(), events.ENDINGS)

    def follow(self, offset: int = 0, *, given_up: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Events from `offset` on, then new ones as they come, until the job ends or `given_up()` says so.

        Closing the generator stops nothing but the listening.
        """
        last: Event | None = None
        while True:
            for event, behind in self.read(offset):
                last, offset = event, behind
                yield event
            if isinstance(last, events.ENDINGS) or given_up():
                return
            time.sleep(_POLL_SECONDS)
