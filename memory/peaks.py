"""Peaks that come and go between two readings, by the high-water marks that the system keeps of each process."""

import os

from memory.process_tree import ProcessTree, own_peak_bytes, reset_own_peak


class PeakMarks:
    """High-water marks of a process tree since a moment.

    A mark is of one process alone and says nothing of when it was reached, so the marks of several processes may add
    up to more than was ever held at once. Marks of a process's whole life count only where they have risen since. Holds
    one number per process.
    """

    def __init__(self, tree: ProcessTree) -> None:
        """Start now; `tree` has been read once and is read on by someone else."""
        self._tree = tree
        self._own = os.getpid()
        self._others_bytes = 0
        self.sum_bytes = 0
        """Largest sum, so far, of all marks without shared pages: an upper bound of what was held at once."""
        self._before: dict[int, int] = {}
        self.restart()

    def restart(self) -> None:
        """Forget the peaks so far."""
        reset_own_peak()
        self._before = {pid: held.peak_bytes for pid, held in self._tree.latest.items()}
        self._before[self._own] = own_peak_bytes()
        self._others_bytes = 0

    def note(self) -> None:
        """Take up the marks of the tree's latest reading."""
        total = 0
        for pid, held in self._tree.latest.items():
            risen = held.peak_bytes if held.peak_bytes > self._before.get(pid, 0) else 0
            total += max(held.held_bytes, risen - held.shared_bytes)
            if pid != self._own:
                self._others_bytes = max(self._others_bytes, risen)
        self.sum_bytes = max(self.sum_bytes, total)

    def highest_bytes(self) -> int:
        """The most that a process alone is known to have held; 0 where no mark has risen. Reads this process's mark."""
        own = own_peak_bytes()
        return max(self._others_bytes, own if own > self._before[self._own] else 0)
