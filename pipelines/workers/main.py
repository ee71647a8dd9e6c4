"""The worker process: job folders come in on stdin, events go out on stdout as JSON lines.

When stdin closes, the worker stops at the next frame and exits, so that none outlives a killed page or command line.
"""

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from memory.oom import release
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Crew, CrewRequest, Hiring, Waiting
from pipelines.runtime.neighbours import Beside, Neighbours
from pipelines.runtime.run import run_job
from pipelines.storage.names import to_json
from pipelines.workers.builds import builds, device_of
from pipelines.workers.crew import LocalCrew
from pipelines.workers.meeting import exchange_of_run
from pipelines.workers.pulled_crew import PulledCrew
from pipelines.workers.ray_access import LOCAL
from pipelines.workers.ray_crew import RayCrew, waiting_for
from pipelines.workers.runner import Team


def serve(
    commands: Iterable[bytes],
    *,
    tree_root: int,
    echo: Callable[[Event], None],
    hiring: Hiring | None = None,
) -> None:
    """Run the job in each folder that `commands` names, one JSON string per line, until it ends.

    An object in between is a `Beside`: who runs on this machine as well, from then on.

    `tree_root` is the root of the process tree that is measured and limited; `echo` receives every event; `hiring` is
    the crew that may help.
    """
    closing = threading.Event()
    neighbours = Neighbours()
    folders: queue.SimpleQueue[Path | None] = queue.SimpleQueue()

    def read() -> None:
        for line in commands:
            said = json.loads(line)
            if isinstance(said, str):
                folders.put(Path(said))
            else:
                neighbours.meet(Beside.model_validate(said).neighbours)
        closing.set()
        folders.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (folder := folders.get()) is not None:
        run_job(
            Job(folder),
            closing=closing.is_set,
            echo=echo,
            tree_root=tree_root,
            leave=lambda: os._exit(0),
            hiring=hiring,
            neighbours=neighbours,
        )
        # So that the next job starts with as much free memory as the first one.
        release()


def _hiring(team: Team, stuck_seconds: float | None) -> Hiring | None:
    """Return who computes besides this process, if anybody does."""
    if team.crew in ("pulled", "lent"):

        def make(request: CrewRequest) -> Crew:
            exchange = exchange_of_run(team.store, request)
            device, mixed = device_of(request.settings), team.mixed_devices
            return PulledCrew(exchange, request, builds(), device, mixed=mixed)

        waiting = Waiting(most_seconds=team.wait_seconds)
        lent = team.crew == "lent"
        return Hiring(team.workers, make, stuck_seconds, joins=True, networks_only=lent, waiting=waiting)
    if team.crew == "ray":
        return Hiring(
            team.workers,
            lambda request: RayCrew(request, team),
            stuck_seconds,
            joins=team.ray_address != LOCAL,
            waiting=waiting_for(team),
        )
    if team.workers == 1:
        return None
    return Hiring(team.workers, lambda request: LocalCrew(request.slots), stuck_seconds)


def main() -> None:
    """Serve stdin. The argument is a JSON object: the parent's process id, when a worker is stuck, and the team."""
    asked = json.loads(sys.argv[1])
    hiring = _hiring(Team(**asked["team"]), asked["stuck_seconds"])
    # Libraries that print must not write between the events: their stdout becomes stderr.
    events_fd = os.dup(1)
    os.dup2(2, 1)

    def echo(event: Event) -> None:
        # The parent may be gone; the journal has the event anyway.
        with contextlib.suppress(OSError):
            os.write(events_fd, to_json(event) + b"\n")

    serve(iter(sys.stdin.buffer.readline, b""), tree_root=asked["parent"], echo=echo, hiring=hiring)


if __name__ == "__main__":
    main()
