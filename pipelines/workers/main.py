"""Where a job runs: the worker process, or the process at hand.

The worker process is fed job folders on stdin and answers events as JSON lines on stdout. When its stdin closes
it stops at the next frame and leaves, so no orphan outlives a killed page or command line.
"""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from memory.oom import release
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job


def serve(commands: Iterable[bytes], *, tree_root: int, echo: Callable[[Event], None]) -> None:
    """Run each job folder that comes in, a line each, until there are no more.

    `tree_root` is the process whose tree is measured and limited; `echo` takes every event.
    """
    closing = threading.Event()
    folders: queue.SimpleQueue[Path | None] = queue.SimpleQueue()

    def read() -> None:
        for line in commands:
            folders.put(Path(os.fsdecode(line.rstrip(b"\n"))))
        closing.set()
        folders.put(None)

    threading.Thread(target=read, daemon=True).start()
    warm = False
    while (folder := folders.get()) is not None:
        run_job(
            Job(folder),
            closing=closing.is_set,
            echo=echo,
            tree_root=tree_root,
            leave=lambda: os._exit(0),
            warm=warm,
        )
        warm = True
        # The next job begins with what the first one began with.
        release()


def main() -> None:
    """Serve stdin. The one argument is the process id of the one who started it."""
    # Libraries that print must not write between the events.
    events_fd = os.dup(1)
    os.dup2(2, 1)

    def echo(event: Event) -> None:
        # The parent may be gone; the journal has the event all the same.
        with contextlib.suppress(OSError):
            os.write(events_fd, event.model_dump_json().encode() + b"\n")

    serve(iter(sys.stdin.buffer.readline, b""), tree_root=int(sys.argv[1]), echo=echo)


if __name__ == "__main__":
    main()
