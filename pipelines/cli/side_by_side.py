"""Many jobs of one command: started ahead of the one that is followed, so that several can run side by side."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue

Item = TypeVar("Item")


def started(
    items: Iterable[Item],
    start: Callable[[Item], Job],
    queue: JobQueue,
    same: Callable[[Item], Hashable] = id,
) -> Iterator[tuple[Item, Job | Exception]]:
    """Yield each item with its job, in their order, or with what `start` raised.

    One is started when the one before has been dealt with; where several run at once, so many that all places are
    taken, and as many again for when one of those that are not followed yet ends. Items for which `same` returns the
    same have one job, and are dealt with one after another.
    """
    most = 1 if queue.at_once == 1 else 2 * queue.at_once
    ahead: deque[tuple[Item, Job | Exception]] = deque()
    known: set[Hashable] = set()
    for item in items:
        which = same(item) if most > 1 else None
        while len(ahead) == most or (ahead and which in known):
            yield ahead.popleft()
            known = known if ahead else set()
        known.add(which)
        ahead.append((item, _tried(start, item)))
    yield from ahead


def _tried(start: Callable[[Item], Job], item: Item) -> Job | Exception:
    try:
        return start(item)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  one that cannot start costs the others nothing
        return error
