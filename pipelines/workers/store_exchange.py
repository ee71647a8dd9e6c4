"""Runs and workers that meet in an object store, which can neither append nor touch: objects, each written once.

    alive/NAME                   of a run or worker: written again every two seconds
    workers/NAME/card, taken     who a worker is, and the run that has it: the first to put that has it
    workers/NAME/in|out/NUMBER   messages to it and from it, one or more JSON lines each; whoever reads one removes it
    inputs/HASH/PIECE            inputs of jobs by their contents; they stay, for the next run
    runs/NAME/HASH/PIECE         what workers of a run have computed; it goes when the run ends

Ages are differences of two times that the store gave, and nobody is gone while the store itself was away. Whoever
needs an answer waits until the store gives one: see Patience.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipelines.jobs import events
from pipelines.runtime.crew import CrewRequest
from pipelines.storage.names import to_json
from pipelines.storage.object_store import ObjectStore, Patience, StoreDown
from pipelines.workers.exchange import FORGOTTEN_SECONDS, RUN, Card, Leave, MessageT, Pulse
from pipelines.workers.store_files import StoreRunSide, StoreWorkerSide

PULSE_SECONDS = 2.0
"""How often a sign of life is put. Stores give times in whole seconds."""
GONE_SECONDS = 15.0
_LOOK_SECONDS = 1.0
"""How old what a run knows of its workers may be: a list of a store costs as much as ten objects that are read."""
_WORKER_LOOK_SECONDS = 5.0
"""The same for a worker, which asks for its run alone."""
_READ_SECONDS = 0.5
"""How often an object is asked for that is not there yet."""
_WRITE_SECONDS = 1.0
"""Progress is told at most so often: each message is an object, and costs as much as twelve that are read."""
_DROPPABLE = (events.Progress, events.Heartbeat, events.Memory)


class StoreMailbox:
    """Numbered objects, in one direction."""

    def __init__(self, store: ObjectStore, prefix: str, patience: Patience, now: Callable[[], float]) -> None:
        self._store, self._prefix, self._patience, self._now = store, prefix, patience, now
        self._number = 0
        self._next_write = self._next_read = float("-inf")

    def put(self, message: BaseModel) -> None:
        """Add a message; progress that comes too soon after another message is left out."""
        if isinstance(message, _DROPPABLE) and self._now() < self._next_write:
            return
        key, data = self._key(), to_json(message)
        if isinstance(message, Leave):  # said at the end, which waits for nothing
            self._store.put_new(key, data)
        else:
            self._patience(lambda: self._store.put_new(key, data))
        self._number += 1
        self._next_write = self._now() + _WRITE_SECONDS

    def take(self, adapter: TypeAdapter[MessageT]) -> list[MessageT]:
        """Return the messages since the last call, if that was long enough ago; what is none is passed over."""
        found: list[MessageT] = []
        if self._now() < self._next_read:
            return found
        while (data := self._patience(lambda: self._store.get(self._key()))) is not None:
            with suppress(ValidationError):
                found.append(adapter.validate_json(data))
            with suppress(StoreDown):
                self._store.remove(self._key())
            self._number += 1
        self._next_read = self._now() + _READ_SECONDS
        return found

    def _key(self) -> str:
        return f"{self._prefix}/{self._number:09d}"


class StorePulse:
    """Puts an object every two seconds."""

    def __init__(self, exchange: "StoreExchange", name: str) -> None:
        self._exchange, self._name = exchange, name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="sign of life", daemon=True)

    def __enter__(self) -> Self:
        self._exchange.sign(self._name)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def renew(self) -> None:
        """Do nothing: each sign is a whole one."""

    def close(self, *, remove: bool = False) -> None:
        """Give no more signs, and remove the last one."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if remove:
            with suppress(StoreDown):
                self._exchange.store.remove(f"alive/{self._name}")

    def age(self, name: str) -> float:
        """Return for how many seconds `name` gave no sign, on the store's clock; for ever where it is gone."""
        signs = self._exchange.signs(_LOOK_SECONDS if self._name.startswith(RUN) else _WORKER_LOOK_SECONDS)
        if signs is None or (now := signs.get(self._name)) is None:  # nothing can be said
            return 0.0
        return max(0.0, now - signs[name]) if name in signs else float("inf")

    def _beat(self) -> None:
        while not self._over.wait(PULSE_SECONDS):
            with suppress(StoreDown):
                self._exchange.store.put(f"alive/{self._name}", b"")


class StorePost:
    """The objects of a worker: who it is, who has taken it, and the two mailboxes."""

    def __init__(self, exchange: "StoreExchange", name: str) -> None:
        self.name = name
        self._exchange, self._store, self._patience = exchange, exchange.store, exchange.patience
        self._prefix = f"workers/{name}"
        self.orders = StoreMailbox(self._store, f"{self._prefix}/in", self._patience, exchange.now)
        self.answers = StoreMailbox(self._store, f"{self._prefix}/out", self._patience, exchange.now)
        self._run: str | None = None
        self._next_read = float("-inf")

    def open(self, card: Card) -> None:
        """Make the post. Only for the worker; it can be taken once this returns, and its sign of life is there."""
        self._exchange.sign(self.name)
        self._patience(lambda: self._store.put_new(f"{self._prefix}/card", to_json(card)))

    def exists(self) -> bool:
        """Whether nobody has removed it, taking the worker for dead."""
        return self._exchange.has_card(self.name)

    def card(self) -> Card | None:
        """Who the worker is; None where nothing tells."""
        try:
            return Card.model_validate_json(self._read("card") or b"")
        except ValidationError:
            return None

    def take(self, by: str) -> bool:
        """Take the worker for the run called `by`; False where another has it."""
        if self._patience(lambda: self._store.claim(f"{self._prefix}/taken", by.encode())):
            self._run = by
            return True
        return False

    def taken_by(self) -> str | None:
        """The name of the run that has the worker: for good, so that it is read once."""
        if self._run is None and self._exchange.now() >= self._next_read:
            self._next_read = self._exchange.now() + _READ_SECONDS
            if data := self._read("taken"):
                self._run = data.decode(errors="replace")
        return self._run

    def remove(self) -> None:
        """Remove all objects of the worker, its sign of life last."""
        with suppress(StoreDown):
            self._store.remove_all(self._prefix)
            self._store.remove(f"alive/{self.name}")

    def _read(self, name: str) -> bytes | None:
        return self._patience(lambda: self._store.get(f"{self._prefix}/{name}"))


class StoreExchange:
    """A place in an object store."""

    gone_seconds = GONE_SECONDS

    def __init__(
        self,
        store: ObjectStore,
        patience: Patience,
        *,
        cache_bytes: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most `cache_bytes` of inputs stay on this machine between jobs."""
        self.store, self.patience, self.now = store, patience, now
        self._cache_bytes = cache_bytes
        self._posts: dict[str, StorePost] = {}
        self._signs: dict[str, float] = {}
        self._signs_until = float("-inf")
        self._cards_until = float("-inf")

    def posts(self) -> Sequence[StorePost]:
        """Return the posts of all workers, in the order of their names."""
        names = [name for name in sorted(self.signs(_LOOK_SECONDS) or ()) if not name.startswith(RUN)]
        self._posts = {name: self._posts.get(name) or StorePost(self, name) for name in names}
        return list(self._posts.values())

    def post(self, name: str) -> StorePost:
        """Return the post of the worker called `name`."""
        return StorePost(self, name)

    def pulse(self, name: str) -> StorePulse:
        """Return the signs of life of a run or worker of this process, which is called `name`."""
        return StorePulse(self, name)

    def sign(self, name: str) -> None:
        """Put a sign of life."""
        self.patience(lambda: self.store.put(f"alive/{name}", b""))

    def signs(self, seconds: float) -> dict[str, float] | None:
        """Return when each run and worker gave its last sign, as known at most `seconds` ago.

        None where the store was away a moment ago, so that signs may be missing.
        """
        now = self.now()
        if now >= self._signs_until:
            self._signs = self.patience(lambda: self.store.list("alive"))
            self._signs_until = self.now() + seconds
        if time.monotonic() - self.store.failed_at < self.gone_seconds:
            return None
        return self._signs

    def has_card(self, name: str) -> bool:
        """Whether the card of a worker is there, as known some minutes ago."""
        if self.now() >= self._cards_until:
            self._cards_until = self.now() + FORGOTTEN_SECONDS / 10
            return self.patience(lambda: self.store.get(f"workers/{name}/card")) is not None
        return True

    def hurry(self) -> None:
        """Wait for nothing from now on."""
        self.patience.end()

    def forget_the_gone(self, pulse: Pulse) -> None:
        """Remove what is left of runs and workers that are long gone: what has no sign, and was written long ago."""
        signs = self.patience(lambda: self.store.list("alive"))
        now = max(signs.values(), default=0.0)
        for name, then in signs.items():
            if now - then > FORGOTTEN_SECONDS:
                self.patience(lambda name=name: self.store.remove(f"alive/{name}"))  # type: ignore[misc]
        for prefix in ("workers", "runs"):
            for name, then in _newest(self.patience(lambda prefix=prefix: self.store.list(prefix))):  # type: ignore[misc]
                if now - max(then, signs.get(name, 0.0)) > FORGOTTEN_SECONDS:
                    place = f"{prefix}/{name}"
                    self.patience(lambda place=place: self.store.remove_all(place))  # type: ignore[misc]

    def run_side(self, name: str, request: CrewRequest) -> StoreRunSide:
        """Return how the run called `name` sends and fetches. Raises BadInput where the job cannot be sent."""
        return StoreRunSide(self.store, f"runs/{name}", request, self.patience)

    def worker_side(self, run: str) -> StoreWorkerSide:
        """Return how a worker of the run called `run` does."""
        return StoreWorkerSide(self.store, f"runs/{run}", self.patience, self._cache_bytes)


def _newest(times: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the first part of each name, and the newest time below it."""
    newest: dict[str, float] = {}
    for name, then in times.items():
        first = name.partition("/")[0]
        newest[first] = max(then, newest.get(first, 0.0))
    yield from newest.items()
