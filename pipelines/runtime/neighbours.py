"""The jobs that run beside a job on the same machine: what they have planned to hold, as the queue says it.

Their processes are not those of the job: each is measured, planned for and kept to the limit on its own, and what the
others have planned but not taken yet is no longer free.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict

from memory.process_tree import ProcessTree


class Neighbour(BaseModel):
    """The worker of another job, or one that is kept warm and has planned nothing.

    `host_bytes` is planned for it and the page together, `disk_bytes` for what it writes. On the device of the job that
    is told, `device_bytes` is planned and `device_held_bytes` was held when last measured: 0 where it has another one.
    """

    model_config = ConfigDict(frozen=True)
    pid: int
    host_bytes: int = 0
    device_bytes: int = 0
    device_held_bytes: int = 0
    disk_bytes: int = 0
    ram_limit_gb: float | None = None
    """The limit of its job, which holds for all together."""


class Beside(BaseModel):
    """The message that tells a worker of all its neighbours."""

    model_config = ConfigDict(frozen=True)
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Taken:
    """What the neighbours hold now, and what they keep others from: that or what they have planned, whichever is more.

    `host_bytes` of the page, which each plan includes, are not among it.
    """

    held_host_bytes: int = 0
    held_device_bytes: int = 0
    host_bytes: int = 0
    device_bytes: int = 0
    disk_bytes: int = 0
    ram_limit_gb: float | None = None
    """The lowest of their limits, which holds for all together."""

    def __add__(self, other: "Taken") -> "Taken":
        limits = [each.ram_limit_gb for each in (self, other) if each.ram_limit_gb is not None]
        return Taken(
            self.held_host_bytes + other.held_host_bytes,
            self.held_device_bytes + other.held_device_bytes,
            self.host_bytes + other.host_bytes,
            self.device_bytes + other.device_bytes,
            self.disk_bytes + other.disk_bytes,
            min(limits, default=None),
        )

    @classmethod
    def by(cls, neighbour: Neighbour, held_bytes: int, page_bytes: int) -> Self:
        """Return what one neighbour that holds `held_bytes` takes."""
        return cls(
            held_bytes,
            neighbour.device_held_bytes,
            max(held_bytes, neighbour.host_bytes - page_bytes),
            max(neighbour.device_held_bytes, neighbour.device_bytes),
            neighbour.disk_bytes,
            neighbour.ram_limit_gb,
        )


class Neighbours:
    """Who runs beside this process now. Thread-safe."""

    def __init__(self) -> None:
        self._now: dict[int, tuple[Neighbour, ProcessTree]] = {}
        self._measuring = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._now)

    @property
    def pids(self) -> frozenset[int]:
        """Their processes; each has children of its own."""
        return frozenset(self._now)

    @property
    def device_bytes(self) -> int:
        """What they keep others from on the device of this process."""
        return sum(max(each.device_held_bytes, each.device_bytes) for each, _ in self._now.values())

    def meet(self, neighbours: Sequence[Neighbour]) -> None:
        """Replace what was known."""
        before = self._now
        self._now = {
            each.pid: (each, before[each.pid][1] if each.pid in before else ProcessTree(each.pid))
            for each in neighbours
        }

    def held_bytes(self) -> int:
        """Host bytes that they hold now."""
        return sum(self._held(tree, exact=False) for _, tree in self._now.values())

    def taken(self, page_bytes: int) -> Taken:
        """What they take, where the page holds `page_bytes`. Measures exactly."""
        found = self._now.values()
        each = (Taken.by(neighbour, self._held(tree, exact=True), page_bytes) for neighbour, tree in found)
        return sum(each, Taken())

    def _held(self, tree: ProcessTree, *, exact: bool) -> int:
        with self._measuring:
            return sum(held.held_bytes for held in tree.read(exact=exact).values())
