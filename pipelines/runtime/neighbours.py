"""The jobs that run beside a job on the same machine: what they have planned to hold, as the queue says it.

Their processes are not those of the job: each is measured, planned for and kept to the limit on its own, and what the
others have planned but not taken yet is no longer free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict

from memory.process_tree import ProcessTree


class Neighbour(BaseModel):
    """The worker of another job, or one that is kept warm and has planned nothing.

    `host_bytes` is planned for it and the page together. `device_bytes` is planned, and `device_held_bytes` was held
    when it was measured last, on the device of the job that is told; both are 0 where it computes on another.
    """

    model_config = ConfigDict(frozen=True)
    pid: int
    host_bytes: int = 0
    device_bytes: int = 0
    device_held_bytes: int = 0


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

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(
            self.held_host_bytes + other.held_host_bytes,
            self.held_device_bytes + other.held_device_bytes,
            self.host_bytes + other.host_bytes,
            self.device_bytes + other.device_bytes,
        )

    @classmethod
    def by(cls, neighbour: Neighbour, held_bytes: int, page_bytes: int) -> Self:
        """Return what one neighbour that holds `held_bytes` takes."""
        return cls(
            held_bytes,
            neighbour.device_held_bytes,
            max(held_bytes, neighbour.host_bytes - page_bytes),
            max(neighbour.device_held_bytes, neighbour.device_bytes),
        )


class Neighbours:
    """Who runs beside this process now: told by one thread, asked by others."""

    def __init__(self) -> None:
        self._now: dict[int, tuple[Neighbour, ProcessTree]] = {}

    def __bool__(self) -> bool:
        return bool(self._now)

    @property
    def pids(self) -> frozenset[int]:
        """Their processes; each has children of its own."""
        return frozenset(self._now)

    def meet(self, neighbours: Sequence[Neighbour]) -> None:
        """Replace what was known."""
        before = self._now
        self._now = {
            each.pid: (each, before[each.pid][1] if each.pid in before else ProcessTree(each.pid))
            for each in neighbours
        }

    def held_bytes(self) -> int:
        """Host bytes that they hold now. Not for several threads at once."""
        return sum(sum(held.held_bytes for held in tree.read().values()) for _, tree in self._now.values())

    def taken(self, page_bytes: int) -> Taken:
        """What they take, beside the `page_bytes` that the page holds. Measures exactly; as `held_bytes`."""
        total = Taken()
        for neighbour, tree in self._now.values():
            held = sum(held.held_bytes for held in tree.read(exact=True).values())
            total += Taken.by(neighbour, held, page_bytes)
        return total
