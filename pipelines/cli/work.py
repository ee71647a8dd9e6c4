"""The command `work`: join a folder of jobs and compute for the runs there, on this machine or another."""

import logging
import signal
import socket
import threading
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from pipelines.errors import FolderUnusable
from pipelines.workers.builds import builds, own_slot
from pipelines.workers.crew import LocalCrew
from pipelines.workers.mailbox import Card
from pipelines.workers.pull import FolderWorker

Seconds = Annotated[float | None, Parameter(validator=validators.Number(gte=0))]


def work(*, jobs_dir: Path = Path("jobs"), idle_exit: Seconds = None, device: str = "auto") -> None:
    """Join a folder of jobs as a worker: compute for runs that were started with `--crew pulled`, until SIGTERM.

    Several workers on several machines may join. Inputs and weights must be readable there: inputs at the same paths.

    Args:
        jobs_dir: Folder in which jobs are kept, shared with whoever starts them.
        idle_exit: Leave after so many seconds without work. Default: stay.
        device: Where networks run: auto, cpu, cuda, cuda:1, mps.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    kind, slot = own_slot(device)
    card = Card(host=socket.gethostname(), device=kind, builds=builds())
    jobs_dir = jobs_dir.absolute()
    try:
        FolderWorker(jobs_dir, card, lambda: LocalCrew([slot]), leaving, idle_exit).work()
    except OSError as error:
        raise FolderUnusable(
            f"Workers cannot join {jobs_dir}: {error.strerror or error}.", "Choose another --jobs-dir."
        ) from error
