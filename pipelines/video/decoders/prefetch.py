"""A thread that reads a bounded number of items ahead of its consumer."""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import closing
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Ended:
    """Marks the end of the items, with the error that caused it, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Channel(Generic[Item]):
    """A queue of at most `size` items that either side can close; nobody waits on a closed one."""

    def __init__(self, size: int) -> None:
        self._items: deque[Item | _Ended] = deque()
        self._size = size
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item | _Ended) -> bool:
        """Wait for room and add `item`; False if the channel was closed instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._size)
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return not self._closed

    def get(self) -> Item | _Ended:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items))
            self._changed.notify_all()
            return self._items.popleft()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


def read_ahead(items: Generator[Item, None, None], size: int) -> Generator[Item, None, None]:
    """Yield `items` from a thread of their own, with at most `size` of them waiting and one being made.

    An error of `items` is raised here, after the items before it. The thread has ended and `items` is closed
    when this generator is exhausted or closed.
    """
    channel: _Channel[Item] = _Channel(size)
    thread = threading.Thread(target=_fill, args=(channel, items), name="read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := channel.get(), _Ended):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        channel.close()
        thread.join()


def _fill(channel: _Channel[Item], items: Generator[Item, None, None]) -> None:
    error: BaseException | None = None
    try:
        with closing(items):
            for item in items:
                if not channel.put(item):
                    return
    except BaseException as raised:  # noqa: BLE001
        error = raised  # Any error is passed on to the consumer, where it is raised.
    channel.put(_Ended(error))
