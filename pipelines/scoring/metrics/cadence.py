"""Cadence: repeats at a regular rhythm, as of a film shown at a higher rate, or of animation on twos.

A stream of verdicts in which short still stretches follow each other at a regular distance: 3:2 pulldown, 24 frames a
second shown at 30, 30 at 60, drawings held for two or three frames. They are how the video was made, not a fault.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_REPEATS = 4
"""Longest stretch of repeats that can be cadence: 12 pictures a second shown at 60."""
MOST_DISTANCE = 6
"""Frames between the starts of repeats up to which the distance may vary, as it does in 3:2 pulldown."""
MOST_PERIOD = 26
"""Frames between them up to which repeats at an exactly equal distance are cadence: 24 shown at 25."""
LEAST_STRETCHES = 5
"""Stretches in a row that make a rhythm."""
_BLOCK = 1024


class _Stretch(NamedTuple):
    start: int
    stop: int


class Cadence:
    """Tells repeats at a regular rhythm from frozen frames, in one pass over the verdicts."""

    def __init__(self) -> None:
        self._chain: list[_Stretch] = []
        self._is_rhythm = False
        self._open: int | None = None
        self._rhythms: deque[_Stretch] = deque()

    def tell_apart(self, blocks: Iterable[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
        """Move the flags of repeats from `frozen` to `cadence`. Holds a block and the frames still undecided."""
        held: NDArray[np.void] | None = None
        base = 0
        for block in blocks:
            held = block.copy() if held is None else np.concatenate((held, block))
            self._add(block["frozen"], base + len(held) - len(block))
            ready = self._decided(base + len(held))
            if ready - base >= _BLOCK:
                yield self._moved(held[: ready - base], base)
                held, base = held[ready - base :], ready
        if held is not None:
            self._close(base + len(held))
            self._end_chain()
            if len(held):
                yield self._moved(held, base)

    def _add(self, frozen: NDArray[np.bool_], first: int) -> None:
        changes = np.flatnonzero(np.diff(frozen, prepend=self._open is not None)) + first
        for at in changes.tolist():
            if self._open is None:
                self._open = at
            else:
                self._close(at)

    def _close(self, stop: int) -> None:
        """End the open stretch, and continue or end the chain with it."""
        if self._open is None:
            return
        found, self._open = _Stretch(self._open, stop), None
        if not self._continues(found):
            last = self._chain[-1:]
            self._end_chain()
            self._chain = last if last and not self._is_rhythm and self._near(last[0], found) else []
            self._is_rhythm = False
        if found.stop - found.start <= MOST_REPEATS:
            self._chain.append(found)
        if self._is_rhythm:
            self._rhythms.append(found)
            del self._chain[:-2]
        elif len(self._chain) >= LEAST_STRETCHES:
            self._is_rhythm = True
            self._rhythms += self._chain
            del self._chain[:-2]

    def _near(self, last: _Stretch, found: _Stretch) -> bool:
        return found.stop - found.start <= MOST_REPEATS and found.start - last.start <= MOST_PERIOD

    def _continues(self, found: _Stretch) -> bool:
        if not self._chain or not self._near(self._chain[-1], found):
            return not self._chain
        distance = found.start - self._chain[-1].start
        if len(self._chain) == 1:
            return True
        before = self._chain[-1].start - self._chain[-2].start
        return distance == before or max(distance, before) <= MOST_DISTANCE

    def _end_chain(self) -> None:
        self._chain = []

    def _decided(self, stop: int) -> int:
        """Return the frame before which all is decided, given the frames before `stop`."""
        if self._open is not None and stop - self._open <= MOST_REPEATS:
            stop = self._open
        elif self._open is not None:
            return stop  # too long for a repeat, so frozen, and so is what came before unless it is a rhythm
        if self._chain and not self._is_rhythm and stop - self._chain[-1].start <= MOST_PERIOD + MOST_REPEATS:
            stop = min(stop, self._chain[0].start)
        return stop

    def _moved(self, rows: NDArray[np.void], base: int) -> NDArray[np.void]:
        while self._rhythms and self._rhythms[0].start < base + len(rows):
            start, stop = self._rhythms.popleft()
            rows["frozen"][start - base : stop - base] = False
            rows["cadence"][start - base : stop - base] = True
        return rows
