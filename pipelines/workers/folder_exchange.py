"""Runs and workers that meet in a shared folder: files of which each has one writer.

Below `.workers` in the jobs folder a run has a file of its own, and each worker a folder. A sign of life is a file that
is touched every second; its age is measured against a file that the reader touches itself, so that only the clock of
the file server counts.
"""

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, TypeAdapter, ValidationError

from memory.units import MIB
from pipelines.runtime.crew import CrewRequest, Lost, Open, Order, Said
from pipelines.storage.atomic import claim, make_folder, write_bytes
from pipelines.storage.names import to_json
from pipelines.workers.exchange import (
    FORGOTTEN_SECONDS,
    Asked,
    Card,
    Deliver,
    Leave,
    MessageT,
    OpenSent,
    Pictured,
    Pulse,
)

PULSE_SECONDS = 1.0
"""How often a sign of life is given: ten may be missed, by a file server that is busy, before somebody is gone."""
GONE_SECONDS = 10.0
_MOST_LINE_BYTES = 8 * MIB
"""An order for a hundred thousand spans has 2 MiB; of a longer line, which is none, only so much is held."""


class FolderMailbox:
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

    def take(self, adapter: TypeAdapter[MessageT]) -> list[MessageT]:
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


class FolderPulse:
    """Touches the file of a run or worker every second; it is the clock that ages are measured by."""

    def __init__(self, place: Path, name: str) -> None:
        self._place = place
        self._name = name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="sign of life", daemon=True)

    def __enter__(self) -> Self:
        self.renew()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def renew(self) -> None:
        """Give a sign now, also where somebody has removed all."""
        make_folder(self._place)
        self._sign(self._name).touch()

    def close(self, *, remove: bool = False) -> None:
        """Give no more signs, and remove the last one."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if remove:
            self._sign(self._name).unlink(missing_ok=True)

    def age(self, name: str) -> float:
        """Return for how many seconds `name` gave no sign, on the file server's clock; for ever where it is gone."""
        try:
            return self.untouched(self._sign(name))
        except ValueError:  # a name with a NUL, where somebody wrote nonsense
            return float("inf")

    def untouched(self, path: Path) -> float:
        """Return for how many seconds `path` was not touched."""
        now, then = _touched(self._sign(self._name)), _touched(path)
        if now is None:  # our own file was removed: nothing can be said
            return 0.0
        return float("inf") if then is None else max(0.0, now - then)

    def _sign(self, name: str) -> Path:
        path = self._place / name
        return path / "alive" if path.is_dir() else path

    def _beat(self) -> None:
        while not self._over.wait(PULSE_SECONDS):
            # The file server may be away for a moment, or whoever took this process for dead have removed the file.
            with suppress(OSError):
                os.utime(self._sign(self._name))


def _touched(path: Path) -> float | None:
    with suppress(OSError, ValueError):
        if path.is_dir():
            return path.stat().st_mtime
        # Opening asks the server; a mere look may be answered from a cache.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    return None


class FolderPost:
    """The folder of a worker: who it is, that it lives, who has taken it, and the two mailboxes."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.folder = folder
        self.alive = folder / "alive"
        self.orders = FolderMailbox(folder / "in")
        self.answers = FolderMailbox(folder / "out")
        self._card = folder / "worker.json"
        self._taken = folder / "taken"

    def open(self, card: Card) -> None:
        """Make the folder. Only for the worker; it can be taken once this returns, and its sign of life is there."""
        make_folder(self.folder)
        for name in ("in", "out", "alive"):
            (self.folder / name).touch()
        write_bytes(self._card, to_json(card))

    def exists(self) -> bool:
        """Whether nobody has removed it, taking the worker for dead."""
        return self.alive.exists()

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


class FolderExchange:
    """The folder `.workers` in a jobs folder, which may be mounted at another path on each machine."""

    gone_seconds = GONE_SECONDS

    def __init__(self, jobs_dir: Path) -> None:
        """Raises OSError where the folder cannot be made."""
        self._jobs_dir = jobs_dir
        self.place = jobs_dir / ".workers"
        make_folder(self.place)

    def posts(self) -> Sequence[FolderPost]:
        """Return the posts of all workers, in the order of their names."""
        return [FolderPost(path) for path in sorted(self.place.iterdir())]

    def post(self, name: str) -> FolderPost:
        """Return the post of the worker called `name`."""
        return FolderPost(self.place / name)

    def pulse(self, name: str) -> FolderPulse:
        """Return the signs of life of a run or worker of this process, which is called `name`."""
        return FolderPulse(self.place, name)

    def hurry(self) -> None:
        """Do nothing: a folder is never waited for."""

    def forget_the_gone(self, pulse: Pulse) -> None:
        """Remove what is left of runs and workers that are long gone."""
        assert isinstance(pulse, FolderPulse)
        for path in self.place.iterdir():
            if path.is_dir():
                # The folder itself: one that is being made has no sign of life yet.
                if min(pulse.untouched(path / "alive"), pulse.untouched(path)) > FORGOTTEN_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
            elif pulse.untouched(path) > FORGOTTEN_SECONDS:
                path.unlink(missing_ok=True)

    def run_side(self, name: str, request: CrewRequest) -> "SharedPaths":
        """Return how a run names files: by their place in the jobs folder."""
        return SharedPaths(self._jobs_dir)

    def worker_side(self, run: str) -> "SharedPaths":
        """Return how a worker does."""
        return SharedPaths(self._jobs_dir)


class SharedPaths:
    """Orders and answers with paths relative to the jobs folder, wherever that is mounted; files are there already."""

    def __init__(self, jobs_dir: Path) -> None:
        self._jobs_dir = jobs_dir

    def orders(self, to: str, order: Order) -> Sequence[BaseModel]:
        """Return an order as another machine can read it; inputs and weights may be others there."""
        if isinstance(order, Open):
            folder = order.folder.relative_to(self._jobs_dir)
            order = order.model_copy(update={"folder": folder, "verify": True})
        return (order,)

    def order(self, order: Asked, tick: Callable[[], None]) -> Order | None:
        """Return an order with the paths of this machine."""
        match order:
            case Open(folder=folder):
                return order.model_copy(update={"folder": self._jobs_dir / folder})
            case Leave() | OpenSent() | Deliver():  # the last two are never said in a folder
                return None
            case _:
                return order

    def sent(self, said: Said) -> BaseModel | None:
        """Return what a member says as another machine can read it."""
        assert not isinstance(said, Lost)
        if isinstance(said, Pictured) and said.path.is_relative_to(self._jobs_dir):
            return said.model_copy(update={"path": said.path.relative_to(self._jobs_dir)})
        return said

    def received(self, answer: Pictured) -> Pictured:
        """Return what another machine said as this one can read it."""
        return answer.model_copy(update={"path": self._jobs_dir / answer.path})

    def close(self) -> None:
        """Do nothing: all files are the job's."""
