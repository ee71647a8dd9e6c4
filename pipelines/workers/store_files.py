"""Files of a job on their way between a run and its workers, through an object store: by their contents, verified.

Inputs, and what passes before the last one have stored, go to the workers; what they compute goes to the run, which
publishes it in the job's folder as its own. Weights are never sent: each worker compares its own with the job's.
"""

import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pydantic import BaseModel

from pipelines.errors import BadInput, LongtakeError, NotEnoughDisk, name_os_error
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Compute, CrewRequest, Lost, Open, Order, Said
from pipelines.stages import SEGMENTS
from pipelines.storage import input_cache
from pipelines.storage.atomic import is_alive, is_being_written, make_folder
from pipelines.storage.kept_files import KeptFile, damaged, describe
from pipelines.storage.object_store import ObjectStore, Patience, StoreDown
from pipelines.storage.paths import cache_folder
from pipelines.storage.store_pieces import NotInStore, fetch_file, put_file
from pipelines.workers.exchange import Asked, Deliver, Gone, Leave, OpenSent, Pictured, SentInput

_INPUTS = "inputs"
_STATE = "state"


class StoreRunSide:
    """What a run sends and fetches. Holds the names of the files that it has sent."""

    def __init__(self, store: ObjectStore, prefix: str, request: CrewRequest, patience: Patience) -> None:
        """Raises BadInput where the job writes to a folder of the run's machine."""
        if getattr(request.settings, "frames_out", None) is not None:
            raise BadInput(
                "Workers of a store cannot export frames to a folder of this machine.",
                "Leave out --frames-out, or use a shared folder and --jobs-dir.",
                "store.frames_out",
            )
        self._store, self._prefix, self._patience = store, prefix, patience
        self._folder, self._check = request.folder, request.check
        self._inputs: tuple[SentInput, ...] = ()
        self._known: dict[Path, tuple[tuple[int, int], KeptFile]] = {}
        """What is in the job's folder and in the store, and the state on disk in which it was read."""
        self._done: set[Path] = set()
        """What workers of this run have sent: the first one's stands."""
        self._sent: dict[str, set[KeptFile]] = {}

    def orders(self, to: str, order: Order) -> Sequence[BaseModel]:
        """Return what is to be said for an order. Inputs and state that it needs are in the store by then.

        Raises LongtakeError where one of them cannot be read.
        """
        match order:
            case Open(plan=plan):
                record = Job(self._folder).record()
                with _told():
                    self._inputs = self._inputs or tuple(self._input(known.path) for known in record.inputs)
                return (OpenSent(record=record, plan=plan, inputs=self._inputs),)
            case Compute():
                sent = self._sent.setdefault(to, set())
                with _told():
                    files = tuple(file for file in self._state() if file not in sent)
                sent.update(files)
                return (Deliver(files=files), order) if files else (order,)
            case _:
                return (order,)

    def received(self, answer: Pictured) -> Pictured:
        """Fetch the files of a span into the job's folder, its own last. Raises LongtakeError without them."""
        if not isinstance(answer, events.Segment):
            return answer
        with _told():
            own = _inside(answer.path.as_posix())
            for file in sorted(answer.files, key=lambda each: each.name == own.as_posix()):
                path = self._folder / _inside(file.name)
                if path not in self._done:
                    # One of an earlier run was not recorded, or it would not be computed again.
                    path.unlink(missing_ok=True)
                    fetch_file(self._store, self._prefix, file, path, self._patience, self._check)
                    self._received(file, path)
        return answer.model_copy(update={"path": self._folder / own})

    def _received(self, file: KeptFile, path: Path) -> None:
        """Note that a file is here. In the store it stays for other workers where they may read it."""
        self._done.add(path)
        self._known[path] = _state_of(path), file
        if path.is_relative_to(self._folder / SEGMENTS):
            with suppress(StoreDown):
                self._store.remove_all(f"{self._prefix}/{file.sha256}")

    def close(self) -> None:
        """Remove what workers have sent."""
        with suppress(StoreDown):
            self._store.remove_all(self._prefix)

    def _input(self, path: Path) -> SentInput:
        is_folder = path.is_dir()
        files = sorted(each for each in path.iterdir() if each.is_file()) if is_folder else [path]
        return SentInput(
            name=path.name,
            is_folder=is_folder,
            files=tuple(self._put(file, path.parent, _INPUTS) for file in files),
        )

    def _state(self) -> Iterator[KeptFile]:
        """Put what the stages have stored so far, and yield it."""
        for path in sorted((self._folder / _STATE).rglob("*")):
            if path.is_file() and not is_being_written(path):
                now = _state_of(path)
                if path not in self._known or self._known[path][0] != now:
                    self._known[path] = now, self._put(path, self._folder, self._prefix)
                yield self._known[path][1]

    def _put(self, path: Path, folder: Path, prefix: str) -> KeptFile:
        (file,) = describe(folder, [path])
        put_file(self._store, prefix, path, file, self._patience, self._check)
        return file


def _state_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


class StoreWorkerSide:
    """What a worker fetches and sends: it has a job folder of its own, below the cache of this machine.

    At most `cache_bytes` of inputs are kept there for other jobs.
    """

    def __init__(self, store: ObjectStore, prefix: str, patience: Patience, cache_bytes: int) -> None:
        self._store, self._prefix, self._patience = store, prefix, patience
        self._cache_bytes = cache_bytes
        sweep_work()
        self._work = _work_folder() / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._job: Path | None = None

    def order(self, order: Asked, tick: Callable[[], None]) -> Order | None:
        """Return an order with paths of this machine. `tick` is called while files are fetched and may raise.

        Raises LongtakeError where they cannot be had.
        """
        match order:
            case OpenSent():
                with _told():
                    return self._open(order, tick)
            case Deliver(files=files):
                with _told():
                    self._fetch(files, tick)
                return None
            case Leave() | Open():  # an open job of a shared folder is none of a store
                return None
            case _:
                return order

    def sent(self, said: Said) -> BaseModel | None:
        """Send the files of a span before it is told; previews are not sent. Raises LongtakeError."""
        assert not isinstance(said, Lost)
        if isinstance(said, events.Preview):
            return None
        if isinstance(said, events.Failed) and said.code == NotEnoughDisk.code:
            # That of this machine: others may have more.
            return Gone(how=f"cannot go on: {said.message}")
        if not isinstance(said, events.Segment) or self._job is None:
            return said
        with _told():
            for file in said.files:
                path = self._job / _inside(file.name)
                put_file(self._store, self._prefix, path, file, self._patience, lambda: None)
                if _inside(file.name).parts[0] == SEGMENTS:  # nothing here reads it again
                    path.unlink()
        return said.model_copy(update={"path": said.path.relative_to(self._job)})

    def close(self) -> None:
        """Remove the job folder."""
        shutil.rmtree(self._work, ignore_errors=True)

    def _fetch(self, files: Sequence[KeptFile], tick: Callable[[], None]) -> None:
        """Fetch files into the job's folder, but those that this worker has made itself."""
        if self._job is None:
            raise NotInStore("no job is open")
        for file in files:
            path = self._job / _inside(file.name)
            if damaged(self._job, [path], [file]):
                path.unlink(missing_ok=True)
                fetch_file(self._store, self._prefix, file, path, self._patience, tick)

    def _open(self, order: OpenSent, tick: Callable[[], None]) -> Open:
        """Make the job's folder, with inputs of this machine."""
        record = order.record
        if len(record.inputs) != len(order.inputs):
            raise NotInStore("not all inputs were sent")
        self._job = self._work / _plain(record.id)
        make_folder(self._job)
        inputs = []
        for index, (known, sent) in enumerate(zip(record.inputs, order.inputs, strict=True)):
            place = self._work / _INPUTS / str(index)
            if sent.is_folder:
                make_folder(place / _plain(sent.name))
            for file in sent.files:
                input_cache.link(
                    _hashed(file),
                    place / _inside(file.name),
                    lambda path, file=file: fetch_file(  # type: ignore[misc]
                        self._store, _INPUTS, file, path, self._patience, tick
                    ),
                    most_bytes=self._cache_bytes,
                    tick=tick,
                )
            inputs.append(known.model_copy(update={"path": place / _plain(sent.name)}))
        Job(self._job).save(record.model_copy(update={"inputs": tuple(inputs)}))
        return Open(folder=self._job, plan=order.plan, verify=True)


def sweep_work() -> None:
    """Remove job folders of workers of this machine that were killed."""
    with suppress(OSError):
        for path in _work_folder().iterdir():
            pid = path.name.partition("-")[0]
            if pid.isdigit() and not is_alive(int(pid), since=path.stat().st_mtime):
                shutil.rmtree(path, ignore_errors=True)


def _work_folder() -> Path:
    # The cache may be on a file system that several machines share.
    return cache_folder() / "store-work" / quote(socket.gethostname(), safe="")


def _inside(name: str) -> Path:
    """Return a relative path that leads nowhere else. Raises NotInStore for another."""
    path = PurePosixPath(name)
    is_foreign = os.name == "nt" and any(each in name for each in "\\:")
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name or is_foreign:
        raise NotInStore("the name of a file leads elsewhere")
    return Path(*path.parts)


def _hashed(file: KeptFile) -> KeptFile:
    """Return `file`, whose hash names a file of the cache. Raises NotInStore for what is no hash."""
    if not re.fullmatch("[0-9a-f]{64}", file.sha256):
        raise NotInStore("the hash of a file is none")
    return file


def _plain(name: str) -> str:
    """Return `name`, which is one of a file or folder and no path. Raises NotInStore."""
    if len(_inside(name).parts) != 1:
        raise NotInStore("the name of a file leads elsewhere")
    return name


@contextmanager
def _told() -> Iterator[None]:
    """Turn what goes wrong with a file on either side into an error with a sentence; a store that is away is none."""
    try:
        yield
    except NotInStore as missing:
        raise LongtakeError(f"{missing}.", "Start the job again.", "store.missing") from missing
    except (StoreDown, InterruptedError):
        raise
    except OSError as error:
        raise name_os_error(error) or LongtakeError(
            f"A file of the job cannot be used ({error.strerror or error}).",
            "Look at the disk of that machine.",
            "store.missing",
        ) from error
