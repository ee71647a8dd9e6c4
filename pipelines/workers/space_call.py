"""What runs on the GPU that a Hugging Face Space lends for the length of a call (ZeroGPU).

The package `spaces` makes such a call in the page's process: it forks that, lends the fork a GPU for the seconds that
are asked for, and finds by the context of the calling thread whose quota pays. Arguments and what is yielded are
pickled, so they are small. The only module that imports `spaces`.
"""

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, cast

from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.runtime.crew import Compute, Idle, Less, Open
from pipelines.storage.names import to_json
from pipelines.workers.member import Inbox, serve

Call = Callable[[str, dict[str, Any], str, tuple[tuple[int, int], ...], bool, int], Generator[dict[str, Any]]]
"""Computes spans of a stage on a lent GPU; see `compute`."""

_TICK_SECONDS = 1.0
"""A call can be ended so often, also while a frame takes long: at what it yields."""
_ORDER = 1


def compute(
    folder: str,
    plan: dict[str, Any],
    stage: str,
    spans: tuple[tuple[int, int], ...],
    less: bool,
    seconds: int,
) -> Generator[dict[str, Any]]:
    """Compute `spans` of `stage` of the job in `folder`, in the fork that has the GPU for so many `seconds`.

    Yields its process id once the GPU is there, then what a member says as JSON, and nothing every second, so that the
    call can be ended. Closed, it ends at the next frame. With `less` it begins with less memory.
    """
    yield {"pid": os.getpid()}
    left, said = threading.Event(), queue.SimpleQueue[Any]()

    def orders() -> Iterator[bytes]:
        yield to_json(Open(folder=Path(folder), plan=plan))
        yield to_json(Compute(number=_ORDER, stage=stage, spans=spans))
        if less:
            yield to_json(Less())
        left.wait()

    inbox = Inbox()
    threading.Thread(target=inbox.read, args=(orders(),), daemon=True).start()
    working = threading.Thread(target=serve, args=(inbox, said.put), daemon=True)
    working.start()
    try:
        while True:
            try:
                told = said.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                yield {}
                continue
            yield {"said": to_json(told).decode()}
            if isinstance(told, Idle | events.Failed):
                return
    finally:
        left.set()
        working.join()


def lent_gpu() -> Call:
    """Import `spaces`, which has to come before torch and Gradio, and return `compute` as a call on a lent GPU.

    Raises BadInput where the package is missing.
    """
    try:
        import spaces  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise BadInput(
            "This Space lends its GPU call by call, and the package `spaces` is not installed.",
            "Add it to requirements.txt, or set LONGTAKE_SPACE=cpu to compute without the GPU.",
        ) from error
    return cast(Call, spaces.GPU(duration=_asked_seconds)(compute))


def _asked_seconds(
    folder: str,
    plan: dict[str, Any],
    stage: str,
    spans: tuple[tuple[int, int], ...],
    less: bool,
    seconds: int,
) -> int:
    return seconds
