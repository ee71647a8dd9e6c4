"""A worker's place on a machine of a cluster: carries orders and answers between the run and a member of its own.

What computes is a process apart, so that the cluster's own process stays small and answers whatever that does.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

from memory.compute import CPU
from memory.probe import probe_hardware
from pipelines.jobs.job import Job
from pipelines.runtime.crew import ORDERS, Lost, Open
from pipelines.storage.names import to_json
from pipelines.workers.builds import builds, own_slot
from pipelines.workers.crew import LocalCrew
from pipelines.workers.exchange import Card, Gone
from pipelines.workers.limits import MemberLimit

_POLL_SECONDS = 0.1
"""How often the memory is looked at while the member says nothing."""
_MOST_LINES = 1000
"""After so many lines a listener asks anew: Ray keeps a KiB of each until the call ends, here and there."""
HERE = b""
"""The first thing that a seat says to a listener: it has started."""


class Seat:
    """One member at the device that this process sees. `tell` and `end` may be called while `listen` goes on."""

    def __init__(self, device: str) -> None:
        """`device` as for `--device`: cpu, or auto for the GPU that the cluster has given. Raises OSError."""
        _, slot = own_slot(device)
        self._crew = LocalCrew([slot])
        self._member = self._crew.hire()
        self._limit = MemberLimit(self._crew, self._member)

    def tell(self, line: bytes) -> None:
        """Give the member an order, which is a line of JSON."""
        order = ORDERS.validate_json(line)
        self._crew.tell(self._member, order)
        if isinstance(order, Open):
            self._limit.watch(Job(order.folder))

    def listen(self) -> Iterator[bytes]:
        """Yield `HERE`, then what the member says, lines of JSON: its `Gone` last, or so many that one asks anew."""
        yield HERE
        lines = 0
        while lines < _MOST_LINES:
            for _, said in self._crew.poll(_POLL_SECONDS):
                yield to_json(Gone(how=said.how) if isinstance(said, Lost) else said)
                lines += 1
            if passed := self._limit.passed():
                yield to_json(passed)

    def end(self, at_once: bool) -> None:
        """End the member: at its next frame, or at once."""
        self._crew.close(at_once=at_once)


def look_at(path: Path, device: str, node: str) -> Card:
    """Read the file at `path`, and write what it says to `answer_to(path, node)`; return who this machine is.

    Called on each machine of a cluster: proves that it shares the folder with whoever wrote the file. With `device`
    "cpu" its GPUs do not matter; else the card names their kinds, whichever of them this process sees. Raises OSError.
    """
    answer_to(path, node).write_bytes(path.read_bytes())
    kinds = () if device == CPU else sorted({each.name for each in probe_hardware(environ={}).devices})
    return Card(host=socket.gethostname(), device=" and ".join(kinds) or CPU, builds=builds())


def answer_to(path: Path, node: str) -> Path:
    """Return where the machine that the cluster knows as `node` writes what it has read at `path`."""
    return path.with_name(f"{path.name}-{node}")
