"""The command `work`: join a folder of jobs, or a store, and compute for the runs there, on this or another machine."""

import logging
import signal
import socket
import threading
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from memory.units import GIB
from pipelines.errors import FolderUnusable

Seconds = Annotated[float | None, Parameter(validator=validators.Number(gte=0))]
Gigabytes = Annotated[float, Parameter(validator=validators.Number(gte=0))]


def work(
    *,
    jobs_dir: Path = Path("jobs"),
    store: Annotated[str, Parameter(show_default=False)] = "",
    idle_exit: Seconds = None,
    device: str = "auto",
    cache_gb: Gigabytes = 50.0,
) -> None:
    """Join a folder of jobs as a worker: compute for runs that were started with `--crew pulled`, until SIGTERM.

    Several workers on several machines may join. Weights must be readable there, and inputs at the same paths, unless
    all of them join a store, through which inputs are sent.

    Args:
        jobs_dir: Folder in which jobs are kept, shared with whoever starts them.
        store: Object store, such as s3://bucket/prefix, to join instead of a folder.
        idle_exit: Leave after so many seconds without work. Default: stay.
        device: Where networks run: auto, cpu, cuda, cuda:1, mps.
        cache_gb: With --store: keep at most so many GiB of inputs on this machine for the next job.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    # Imported here: the other commands do without the libraries that these load.
    from pipelines.workers.builds import builds, own_slot
    from pipelines.workers.crew import LocalCrew
    from pipelines.workers.exchange import Card
    from pipelines.workers.folder_exchange import FolderExchange
    from pipelines.workers.meeting import exchange_of_worker
    from pipelines.workers.pull import PulledWorker

    kind, slot = own_slot(device)
    card = Card(host=socket.gethostname(), device=kind, builds=builds())
    jobs_dir = jobs_dir.absolute()
    try:
        exchange = (
            exchange_of_worker(store, leaving, int(cache_gb * GIB)) if store else FolderExchange(jobs_dir)
        )
        PulledWorker(exchange, card, lambda: LocalCrew([slot]), leaving, idle_exit).work()
    except OSError as error:
        raise FolderUnusable(
            f"Workers cannot join {store or jobs_dir}: {error.strerror or error}.",
            "Choose another --store." if store else "Choose another --jobs-dir.",
        ) from error
