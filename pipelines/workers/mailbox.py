"""What runs and workers say to each other through a shared folder: files of which each has one writer.

Below `.workers` in the jobs folder a run has a file of its own, and each worker a folder. A sign of life is a file that
is touched every second; its age is measured against a file that the reader touches itself, so that only the clock of
the file server counts. A worker's folder serves one run: who has the last word there leaves it to the other to remove.
"""

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from memory.units import MIB
from pipelines.jobs.events import Event
from pipelines.runtime.crew import Compute, Idle, Less, Open, Ready, Until
from pipelines.storage.atomic import claim, make_folder, write_bytes
from pipelines.storage.names import to_json

PULSE_SECONDS = 1.0
"""How often a sign of life is given: ten may be missed, by a file server that is busy, before somebody is gone."""
GONE_SECONDS = 10.0
"""Who has given no sign of life for so long is gone."""
_FORGOTTEN_SECONDS = 600.0
"""What is left of those who are gone is removed after so long."""
_MOST_LINE_BYTES = 8 * MIB
"""An order for a hundred thousand spans has 2 MiB; of a longer line, which is none, only so much is held."""


_Message = TypeVar("_Message")


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)


class Card(_Line):
    """Who a worker is: its machine, its device, and the builds of all that shapes a result."""

    host: str
    device: str
    builds: dict[str, str]


class Leave(_Line):
    """The run needs the worker no longer: it stops at its next frame, or at once."""

    type: Literal["leave"] = "leave"
    at_once: bool = False


class Gone(_Line):
    """The worker has left; `how` completes "worker 2 ...", `by_itself` says that it is no fault of its work."""

    type: Literal["gone"] = "gone"
    how: str
    by_itself: bool = False


Asked = Open | Compute | Until | Less | Leave
ASKED: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="type")])
Answer = Ready | Idle | Gone | Event
ANSWERS: TypeAdapter[Answer] = TypeAdapter(
    Annotated[Ready | Idle | Gone | Event, Field(discriminator="type")]
)


class Mailbox:
    """A file of JSON lines that one process appends to and one reads, perhaps on another machine.

    It is opened for each message, because that is when network file systems show what another machine wrote.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def put(self, message: BaseModel) -> None:
        """Append a message, on a fresh line. Raises OSError."""
        with self._path.open("ab") as file:
            file.write(b"\n" + to_json(message) + b"\n")

    def take(self, adapter: TypeAdapter[_Message]) -> list[_Message]:
        """Return the messages since the last call, at most a few MiB; what is none is passed over. Raises OSError."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            block = file.read(_MOST_LINE_BYTES)
        self._offset += len(block)
        *lines, self._rest = (self._rest[:_MOST_LINE_BYTES] + block).split(b"\n")
        found = []
        for line in lines:
            with suppress(ValidationError):
                found.append(adapter.validate_json(line))
        return found


class Pulse:
    """Touches a file every second while the context lasts: a sign of life, and the clock that ages are measured by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="sign of life", daemon=True)

    def __enter__(self) -> Self:
        self.path.touch()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give no more signs."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def age(self, path: Path) -> float:
        """Return for how many seconds `path` was not touched, on the file server's clock; for ever where it is gone."""
        now, then = _touched(self.path), _touched(path)
        if now is None:  # our own file was removed: nothing can be said
            return 0.0
        return float("inf") if then is None else max(0.0, now - then)

    def _beat(self) -> None:
        while not self._over.wait(PULSE_SECONDS):
            # The file server may be away for a moment, or whoever took this process for dead have removed the file.
            with suppress(OSError):
                os.utime(self.path)


def _touched(path: Path) -> float | None:
    with suppress(OSError, ValueError):  # a name with a NUL, where somebody wrote nonsense
        if path.is_dir():
            return path.stat().st_mtime
        # Opening asks the server; a mere look may be answered from a cache.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    return None


class Post:
    """The folder of a worker: who it is, that it lives, who has taken it, and the two mailboxes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alive = folder / "alive"
        self.orders = Mailbox(folder / "in")
        self.answers = Mailbox(folder / "out")
        self._card = folder / "worker.json"
        self._taken = folder / "taken"

    def open(self, card: Card) -> None:
        """Make the folder. Only for the worker; it can be taken once this returns, and its sign of life is there."""
        make_folder(self.folder)
        for name in ("in", "out", "alive"):
            (self.folder / name).touch()
        write_bytes(self._card, to_json(card))

    def card(self) -> Card | None:
        """Who the worker is; None where nothing tells."""
        try:
            return Card.model_validate_json(self._card.read_bytes())
        except (OSError, ValidationError):
            return None

    def take(self, by: str) -> bool:
        """Take the worker for the run called `by`; False where another has it, or the folder is gone."""
        with suppress(OSError):
            return not self._taken.exists() and claim(self._taken, by.encode())
        return False

    def taken_by(self) -> str | None:
        """The name of the run that has the worker."""
        with suppress(OSError):
            return self._taken.read_text(errors="replace")
        return None

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def place(jobs_dir: Path) -> Path:
    """Return the folder in which runs and workers meet; it is made where it is missing. Raises OSError."""
    folder = jobs_dir / ".workers"
    make_folder(folder)
    return folder


def forget_the_gone(folder: Path, pulse: Pulse) -> None:
    """Remove what is left of runs and workers that are long gone."""
    for path in folder.iterdir():
        if path.is_dir():
            # The folder itself: one that is being made has no sign of life yet.
            if min(pulse.age(path / "alive"), pulse.age(path)) > _FORGOTTEN_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        elif pulse.age(path) > _FORGOTTEN_SECONDS:
            path.unlink(missing_ok=True)
