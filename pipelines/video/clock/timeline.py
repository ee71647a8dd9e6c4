"""Presentation times of the frames of a video."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

_FINE_TICKS = 8
"""Ticks per frame from which a deviation of one tick counts as rounding, not as a gap."""


@dataclass(frozen=True)
class Timeline:
    """Presentation times of `frames` frames.

    A constant rate holds three numbers, a variable one 8 bytes per frame (`stamps`, in units of `time_base`). Times
    count from the container's zero, so a delayed video starts later than 0. `origin` is that zero on the file's clock,
    which starts anywhere in a broadcast stream; `stamps` and `stamp` are on the file's clock.
    """

    frames: int
    time_base: Fraction
    rate: Fraction
    start: Fraction
    last_seconds: Fraction
    stamps: "array[int] | None" = field(default=None, hash=False, repr=False)
    origin: Fraction = Fraction(0)

    @property
    def vfr(self) -> bool:
        """Whether the frame rate is variable: steps between frames differ by more than rounding."""
        return self.stamps is not None

    @property
    def seconds(self) -> Fraction:
        """Duration from the start of the first frame to the end of the last one."""
        return self.time(self.frames - 1) + self.last_seconds - self.start if self.frames else Fraction(0)

    def time(self, index: int) -> Fraction:
        """Presentation time of frame `index` in seconds. Raises IndexError."""
        if not 0 <= index < self.frames:
            raise IndexError(f"frame {index} of {self.frames}")
        if self.stamps is not None:
            return self.stamps[index] * self.time_base - self.origin
        return self.start + index / self.rate

    def stamp(self, index: int) -> int:
        """Presentation time of frame `index` on the file's clock, in units of `time_base`, rounded."""
        return round((self.time(index) + self.origin) / self.time_base)

    def index(self, stamp: int) -> int | None:
        """The frame shown at `stamp` (units of `time_base`), or None where no frame is."""
        if self.stamps is not None:
            index = bisect_left(self.stamps, stamp)
            return index if index < self.frames and self.stamps[index] == stamp else None
        seconds = stamp * self.time_base - self.origin
        index = round((seconds - self.start) * self.rate)
        near = 0 <= index < self.frames and abs(seconds - self.time(index)) <= self.time_base
        return index if near else None

    def first_at(self, seconds: Fraction) -> int:
        """The first frame shown `seconds` after frame 0 or later; `frames` where there is none."""
        low, high = 0, self.frames
        while low < high:
            middle = (low + high) // 2
            if self.time(middle) - self.start < seconds:
                low = middle + 1
            else:
                high = middle
        return low


def constant(frames: int, rate: Fraction, start: Fraction = Fraction(0)) -> Timeline:
    """Make a timeline of `frames` frames at `rate`, for containers without times."""
    return Timeline(frames, 1 / rate, rate, start, 1 / rate)


def from_stamps(
    stamps: "array[int]",
    time_base: Fraction,
    *,
    rates: Iterable[Fraction | None],
    last_stamps: int = 0,
    origin: Fraction = Fraction(0),
) -> Timeline:
    """Make a timeline of sorted `stamps`: constant if one of `rates`, or their mean rate, fits each within one tick.

    `last_stamps` is the duration of the last frame, 0 where unknown. Holds `stamps` if the rate is variable.
    """
    start, steps = stamps[0] * time_base - origin, len(stamps) - 1
    own = [Fraction(steps) / ((stamps[-1] - stamps[0]) * time_base)] if steps else []
    # The declared rate first: a container's clock may round 30000/1001 to milliseconds.
    for rate in [*(rate for rate in rates if rate), *own]:
        if _fits(rate, stamps, time_base):
            return Timeline(len(stamps), time_base, rate, start, 1 / rate, origin=origin)
    mean = own[0].limit_denominator(1001) if own else Fraction(25)
    last = last_stamps * time_base if last_stamps > 0 else 1 / mean
    return Timeline(len(stamps), time_base, mean, start, last, stamps, origin)


def _fits(rate: Fraction, stamps: "array[int]", time_base: Fraction) -> bool:
    ticks_a_frame = 1 / (rate * time_base)
    top, bottom, first = ticks_a_frame.numerator, ticks_a_frame.denominator, stamps[0]
    # Where a frame lasts only a few ticks, one tick is a gap, not rounding.
    allowed = bottom if ticks_a_frame >= _FINE_TICKS else 0
    # Integers: one Fraction per frame would take seconds for a long video.
    return all(abs((stamp - first) * bottom - i * top) <= allowed for i, stamp in enumerate(stamps))
