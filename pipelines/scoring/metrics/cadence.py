"""Cadence: repeats at a regular rhythm, as of a film shown at a higher rate, or of animation on twos.

A stream of verdicts in which short still stretches follow each other at a regular distance: 3:2 pulldown, 24 frames a
second shown at 30, 30 at 60, drawings held for two or three frames. They are how the video was made, not a fault.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_REPEATS = 4
"""Longest stretch of repeats that can be cadence: 12 pictures a second shown at 60."""
MOST_DISTANCE = 6
"""Frames between the starts of repeats up to which the distance may vary, as it does in 3:2 pulldown."""
MOST_PERIOD = 26
"""Longest period of a rhythm in frames: 24 pictures a second shown at 25."""
LEAST_STRETCHES = 5
"""Stretches in a row that make a rhythm."""
LEAST_SEEN = 1 / 3
"""Share of the beats of a rhythm at which a repeat has to be found: noise and compression hide some."""
PULLDOWN = 5
"""Period of 3:2 pulldown, which has repeats at two places of each period; other rhythms have one."""
LEAST_SECONDS = 1 / 30
"""Shortest freeze that is told: at 120 or 240 frames a second encoders drop single frames' motion at key frames."""
_MOST_GAP, _MOST_PAUSE = 2 * MOST_PERIOD, 4 * MOST_PERIOD
"""Frames between repeats up to which they may begin a rhythm, and up to which it may go on after a pause."""
_BLOCK = 1024


class _Stretch(NamedTuple):
    start: int
    stop: int


@dataclass
class _Rhythm:
    """Repeats every `period` frames, at one or two places of it; with no period, repeats close to each other."""

    period: int
    places: frozenset[int]
    last: int

    def goes_on(self, start: int) -> bool:
        """Return whether repeats that start here belong to it; if so, note them."""
        distance = start - self.last
        if not self.period:
            fits = distance <= MOST_DISTANCE
        elif len(self.places) > 1:
            fits = start % self.period in self.places and distance <= _MOST_PAUSE
        else:
            # The first stretches may have been every second or third one of the rhythm.
            period = gcd(self.period, distance)
            fits = period > 1 and distance <= _MOST_PAUSE
            if fits:
                self.period = period
        if fits:
            self.last = start
        return fits


def _rhythm_of(starts: list[int]) -> _Rhythm | None:
    """Return the rhythm of stretches that start at these frames; None if there is none."""
    distances = [b - a for a, b in pairwise(starts)]
    length = starts[-1] - starts[0]

    def seen(beats: float) -> bool:
        return len(distances) >= LEAST_SEEN * beats

    period = gcd(*distances)
    if 2 <= period <= MOST_PERIOD and seen(length / period):
        return _Rhythm(period, frozenset([starts[0] % period]), starts[-1])
    places = frozenset(start % PULLDOWN for start in starts)
    if len(places) == 2 and seen(length / PULLDOWN * 2):
        return _Rhythm(PULLDOWN, places, starts[-1])
    return _Rhythm(0, frozenset(), starts[-1]) if max(distances) <= MOST_DISTANCE else None


class Cadence:
    """Tells repeats at a regular rhythm from frozen frames, in one pass over the verdicts.

    Args:
        rate: frames per second. Frozen stretches that last less than `LEAST_SECONDS` are no fault either.
    """

    def __init__(self, rate: float = 0.0) -> None:
        self._least_frames = max(1, round(rate * LEAST_SECONDS))
        self._most_undecided = max(MOST_REPEATS, self._least_frames)
        self._chain: list[_Stretch] = []
        self._rhythm: _Rhythm | None = None
        self._open: int | None = None
        self._rhythms: deque[_Stretch] = deque()
        self._brief: deque[_Stretch] = deque()

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
            self._give_up(len(self._chain))
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
        """End the open stretch: it goes on with a rhythm, begins one with those before it, or is alone."""
        if self._open is None:
            return
        found, self._open = _Stretch(self._open, stop), None
        is_short = found.stop - found.start <= MOST_REPEATS
        if self._rhythm is not None and is_short and self._rhythm.goes_on(found.start):
            self._rhythms.append(found)
            return
        if not is_short or (self._chain and found.start - self._chain[-1].start > _MOST_GAP):
            self._give_up(len(self._chain))
        self._chain.append(found)
        if not is_short:
            self._give_up(1)
        elif len(self._chain) == LEAST_STRETCHES:
            rhythm = _rhythm_of([stretch.start for stretch in self._chain])
            if rhythm is None:
                self._give_up(1)
            else:
                self._rhythms += self._chain
                self._rhythm, self._chain = rhythm, []

    def _give_up(self, count: int) -> None:
        """Take the first stretches of the chain as no repeats of a rhythm."""
        alone, self._chain = self._chain[:count], self._chain[count:]
        self._brief += [each for each in alone if each.stop - each.start < self._least_frames]

    def _decided(self, stop: int) -> int:
        """Return the frame before which all is decided, given the frames before `stop`."""
        if self._chain and stop - self._chain[-1].start > _MOST_GAP + self._most_undecided:
            self._give_up(len(self._chain))
        if self._open is not None and stop - self._open <= self._most_undecided:
            stop = self._open
        return min(stop, self._chain[0].start) if self._chain else stop

    def _moved(self, rows: NDArray[np.void], base: int) -> NDArray[np.void]:
        for stretches, is_cadence in ((self._rhythms, True), (self._brief, False)):
            while stretches and stretches[0].start < base + len(rows):
                start, stop = stretches.popleft()
                rows["frozen"][start - base : stop - base] = False
                rows["cadence"][start - base : stop - base] = is_cadence
        return rows
