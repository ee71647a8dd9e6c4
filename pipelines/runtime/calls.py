"""How much of a stage one call on a lent GPU computes, and how long it is asked for: numbers only, no clock.

Such a GPU is asked for by the second, is taken away when those are over, and is paid for by what was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.spans import Span, runs

LEAST_SECONDS, MOST_SECONDS = 15, 60
"""A call is asked for so long: less is lost to starting it, more is seldom given at once."""
_LAST_SECONDS = 120
"""A span that takes longer than `MOST_SECONDS` is tried with up to so many; 150 were refused (October 2026)."""
_MARGIN = 1.3
_LOAD_SECONDS = 10.0
"""Start of a process with its network, until that has been measured."""


@dataclass(frozen=True)
class Lent:
    """Neighbouring spans that one call is to compute, and the seconds that are asked for."""

    spans: tuple[Span, ...]
    seconds: int

    @property
    def frames(self) -> int:
        """How many frames the call computes, beside its halo."""
        return sum(map(len, self.spans))


@dataclass
class Calls:
    """The calls of one stage, sized by what the plan predicts and then by what the latest call measured.

    `frame_seconds` is the prediction; None where there is none: then the first call computes one span. A call costs
    `halo` frames' work beside its own.
    """

    frame_seconds: float | None
    halo: int = 0
    _load_seconds: float | None = None
    """Until the first frame, halo included, once it was measured."""
    _most_spans: int | None = None
    _at_least: int = LEAST_SECONDS
    _at_most: int = MOST_SECONDS

    def next(self, left: Sequence[Span]) -> Lent:
        """Return the next call for the spans that are `left`, of which there is at least one."""
        spans: list[Span] = []
        for span in next(iter(runs(left))):
            is_full = self._most_spans is not None and len(spans) >= self._most_spans
            if spans and (is_full or self._needed(sum(map(len, spans)) + len(span)) > self._at_most):
                break
            spans.append(span)
        needed = self._needed(sum(map(len, spans)))
        return Lent(tuple(spans), round(min(self._at_most, max(self._at_least, needed))))

    def measured(self, load_seconds: float, seconds: float, frames: int) -> None:
        """Note that a call had its first frame after `load_seconds` and made `frames` frames in `seconds`."""
        self._load_seconds = max(load_seconds, self._load_seconds or 0.0)
        if frames > 1:
            self.frame_seconds = (seconds - load_seconds) / (frames - 1)
        elif self.frame_seconds is None:
            self.frame_seconds = seconds

    def done(self) -> None:
        """Note that a call did all it was to do: more may be tried in the next one."""
        self._most_spans = None

    def cut_short(self, lent: Lent) -> bool:
        """Note that a call was ended before it was done; returns whether a shorter or longer one can be tried."""
        if len(lent.spans) > 1:
            self._most_spans = max(1, len(lent.spans) // 2)
            return True
        if lent.seconds >= _LAST_SECONDS:
            return False
        self._at_least = self._at_most = min(_LAST_SECONDS, 2 * lent.seconds)
        return True

    def refused(self, lent: Lent) -> bool:
        """Note that so many seconds are not given at once; returns whether fewer can be asked for."""
        if lent.seconds <= LEAST_SECONDS:
            return False
        self._at_most = max(LEAST_SECONDS, lent.seconds // 2)
        self._at_least = min(self._at_least, self._at_most)
        return True

    def _needed(self, frames: int) -> float:
        """Seconds that a call for so many frames needs, with a margin; the most where that is not known."""
        if self.frame_seconds is None:
            return float("inf")
        load = self._load_seconds
        if load is None:
            load = _LOAD_SECONDS + self.halo * self.frame_seconds
        return load + _MARGIN * frames * self.frame_seconds


def seconds_in_all(spans: Sequence[Span], frame_seconds: float, halo: int) -> int:
    """Return how many seconds are asked for until all `spans` are computed, if all goes as predicted."""
    calls, left, seconds = Calls(frame_seconds, halo), list(spans), 0
    while left:
        lent = calls.next(left)
        left = left[len(lent.spans) :]
        seconds += lent.seconds
    return seconds
