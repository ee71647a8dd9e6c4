"""Where a process computes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """The name of a process's device, and the variables of the environment that make it the only one it sees."""

    device: str
    environment: tuple[tuple[str, str], ...] = ()
