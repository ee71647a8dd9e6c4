"""Where runs and workers meet: the jobs folder, or the object store that is named instead."""

import logging
import secrets
import threading
from pathlib import Path

from pipelines.errors import Sentence
from pipelines.runtime.crew import CrewRequest
from pipelines.storage.object_store import ObjectStore, Patience
from pipelines.workers.exchange import Exchange
from pipelines.workers.folder_exchange import FolderExchange
from pipelines.workers.store_exchange import StoreExchange

log = logging.getLogger(__name__)


def exchange_of_run(store: str, request: CrewRequest) -> Exchange:
    """Return where the run of `request` meets workers: in `store`, or where that is empty beside the job's folder.

    Raises OSError where the folder cannot be written to, BadInput where the store cannot be used.
    """
    if not store:
        return FolderExchange(request.folder.parent)

    def tell(reason: str) -> None:
        words = f"The store {store} is away: {reason}. The job waits, and goes on by itself."
        request.warn("store", Sentence(words, "store_away", store=store, reason=reason))

    return StoreExchange(_checked(store), Patience(request.check, tell))


def exchange_of_worker(store: str, leaving: threading.Event, cache_bytes: int) -> Exchange:
    """Return the store that a worker joins until it is `leaving`; at most `cache_bytes` of inputs stay here.

    Raises BadInput where the store cannot be used.
    """

    def check() -> None:
        if leaving.is_set():
            raise InterruptedError("it was asked to leave")

    def tell(reason: str) -> None:
        log.warning("the store %s is away: %s", store, reason)

    return StoreExchange(_checked(store), Patience(check, tell, leaving.wait), cache_bytes=cache_bytes)


def exchange_to_look(store: str, jobs_dir: Path) -> Exchange:
    """Return where workers are met, for whoever only looks. Raises as `exchange_of_worker`, and OSError."""
    return exchange_of_worker(store, threading.Event(), 0) if store else FolderExchange(jobs_dir)


def _checked(store: str) -> ObjectStore:
    opened = ObjectStore(store)
    opened.check(f"probes/{secrets.token_hex(8)}")
    return opened
