"""Signs of life of long loops: whoever computes calls `beat`, whoever runs the job in the same thread hears it.

A loop that makes no frames (joining, hashing, loading weights) would otherwise look the same as one that hangs.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners = threading.local()


@contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Let `listener` be called by each `beat` of this thread while the context lasts."""
    before = getattr(_listeners, "now", None)
    _listeners.now = listener
    try:
        yield
    finally:
        _listeners.now = before


def beat() -> None:
    """Give a sign of life; without a listener it costs a lookup."""
    if listener := getattr(_listeners, "now", None):
        listener()
