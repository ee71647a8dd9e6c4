"""The page of a Hugging Face Space on ZeroGPU as a worker of its own jobs folder.

It joins that as `python -m pipelines work` does, because only its own process can ask for the GPU; all else of a job
stays in the worker process, and so does the journal.
"""

import socket
import threading
from contextvars import Context
from pathlib import Path

from memory.slices import slice_device
from pipelines.workers.builds import builds
from pipelines.workers.exchange import Card
from pipelines.workers.folder_exchange import FolderExchange
from pipelines.workers.pull import PulledWorker
from pipelines.workers.space_call import Call
from pipelines.workers.space_crew import SpaceCrew

_MOST_CONTEXTS = 1000
"""So many clicks are remembered: more jobs than may wait."""


class SpaceWorker:
    """The page as a worker of its own jobs folder, in a thread: it computes by calls on the lent GPU."""

    def __init__(self, jobs_dir: Path, call: Call) -> None:
        self._jobs_dir, self._call = jobs_dir, call
        self._contexts: dict[str, Context] = {}
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lent GPU", daemon=True)

    def start(self) -> None:
        """Join the folder."""
        self._thread.start()

    def close(self) -> None:
        """Leave the folder; a call that is being made ends at its next frame."""
        self._leaving.set()

    def asked(self, job: str, context: Context) -> None:
        """Note that `job` was asked for in `context`, the newest of its clicks: its quota pays."""
        self._contexts.pop(job, None)
        self._contexts[job] = context
        while len(self._contexts) > _MOST_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]

    def _work(self) -> None:
        device = slice_device()
        assert device, "there are slices here"
        card = Card(host=socket.gethostname(), device=device.name, builds=builds())

        def crew() -> SpaceCrew:
            return SpaceCrew(self._call, self._contexts.get, device.name)

        PulledWorker(FolderExchange(self._jobs_dir), card, crew, self._leaving).work()
