"""Repair time stamps that do not rise: duplicates, steps back, outliers, clocks that restart.

A repair is local. Frames whose stamps rise keep them, so that a variable rate survives, and after a restart all frames
move together. Everything here is in frame order, the order in which decoders give frames.
"""

import itertools
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

_LOOK_AHEAD = 3
"""A clock has restarted where this many further frames are still earlier than the last one before: decoders reorder
frames, but stamps that only changed places rise again sooner."""
_OUTLIER_STEPS = 3
"""Usual steps from which a lone stamp counts as an outlier, not as a long frame."""
JUMP_SECONDS = 10
"""Gap from which a broadcast clock may have jumped, as in ffmpeg (`-dts_delta_threshold`)."""
_LISTED = 3
"""Frames that a sentence names at most."""


@dataclass(frozen=True)
class Restart:
    """A clock that restarts at frame `index`: `before` and `after` are the stamps on both sides."""

    index: int
    before: int
    after: int
    shift: int
    """Ticks to add to the file's clock from here on."""


@dataclass(frozen=True)
class Repair:
    """Rising stamps, and what was changed: `moved` has (frame, ticks), `missing` the number of stamps made up."""

    stamps: "array[int]"
    moved: tuple[tuple[int, int], ...] = ()
    restarts: tuple[Restart, ...] = ()
    missing: int = 0

    def delayed(self, ticks: Sequence[int]) -> "Repair":
        """The same with `ticks` more between the frames on both sides of each restart."""
        stamps, restarts, total = array("q", self.stamps), list[Restart](), 0
        ends = [*(item.index for item in self.restarts[1:]), len(stamps)]
        for restart, end, more in zip(self.restarts, ends, ticks, strict=True):
            total += more
            restarts.append(replace(restart, shift=restart.shift + total))
            for index in range(restart.index, end):
                stamps[index] += total
        return replace(self, stamps=stamps, restarts=tuple(restarts))

    def sentences(self, time_base: Fraction) -> tuple[str, ...]:
        """Warnings that name the frames and by how much they moved."""
        said = [
            f"The clock of the source jumps at frame {restart.index} (from {_seconds(restart.before, time_base)}"
            f" to {_seconds(restart.after, time_base)}); its times continue from the frame before."
            for restart in self.restarts[:_LISTED]
        ]
        if len(self.restarts) > _LISTED:
            said.append(
                f"The clock jumps {len(self.restarts) - _LISTED} more times, which was handled alike."
            )
        if self.moved:
            more = len(self.moved) - _LISTED
            numbers = ", ".join(str(index) for index, _ in self.moved[:_LISTED])
            frames = f"{'frame' if len(self.moved) == 1 else 'frames'} {numbers}"
            frames += f" and {more} more" if more > 0 else ""
            most = max(abs(ticks) for _, ticks in self.moved)
            said.append(
                f"Equal or backward times in the source: {frames} moved by at most {_seconds(most, time_base)}."
            )
        if self.missing:
            said.append(
                f"{self.missing} frames of the source have no time; they were spread between their neighbours."
            )
        return tuple(said)


def _seconds(ticks: int, time_base: Fraction) -> str:
    return f"{float(ticks * time_base):.6g} s"


def repair(
    found: Sequence[int | None], time_base: Fraction, *, jumps: Callable[[int, int], bool] | None = None
) -> Repair | None:
    """Make rising stamps of `found`, one per frame; None where fewer than half have one.

    `jumps` says whether the clock jumped ahead between two stamps that lie far apart; without it, none does.
    Holds 16 bytes per frame.
    """
    known = [stamp for stamp in found if stamp is not None]
    if not known or 2 * len(known) < len(found):
        return None
    step = usual_step(found)
    stamps = _filled(found, step) if len(known) < len(found) else array("q", known)
    filled = array("q", stamps)
    restarts: list[Restart] = []
    shift, far = 0, max(_OUTLIER_STEPS * step, round(JUMP_SECONDS / time_base))
    for index in range(1, len(stamps)):
        stamp, last = filled[index] + shift, stamps[index - 1]
        if stamp < last:
            ahead = filled[index + 1 : index + 1 + _LOOK_AHEAD]
            if _continues(stamps, index, stamp, step):
                before = stamps[index - 2]
                stamps[index - 1] = before + (stamp - before) // 2
            elif len(ahead) and all(later + shift <= last for later in ahead):
                shift += last + step - stamp
                restarts.append(Restart(index, filled[index - 1], filled[index], shift))
            elif last - stamp > _OUTLIER_STEPS * step:
                after = ahead[0] + shift if len(ahead) else last + 2 * step
                stamps[index] = last + (after - last) // 2
                continue
        elif jumps and stamp - last > far and jumps(filled[index - 1], filled[index]):
            shift += last + step - stamp
            restarts.append(Restart(index, filled[index - 1], filled[index], shift))
        stamps[index] = filled[index] + shift
        _settle(stamps, index)
    for index in range(1, len(stamps)):
        stamps[index] = max(stamps[index], stamps[index - 1] + 1)
    return Repair(stamps, _moves(filled, stamps, restarts), tuple(restarts), len(found) - len(known))


def usual_step(found: Sequence[int | None]) -> int:
    """The median distance between neighbours that rise; 1 where none do."""
    pairs = itertools.pairwise(found)
    steps = sorted(b - a for a, b in pairs if a is not None and b is not None and b > a)
    return steps[len(steps) // 2] if steps else 1


def _continues(stamps: "array[int]", index: int, stamp: int, step: int) -> bool:
    """Whether `stamp` goes on from the frame before the last one, so that the last one is the outlier."""
    if index < 2:
        return False
    before, outlier = stamps[index - 2], stamps[index - 1]
    return before < stamp <= before + _OUTLIER_STEPS * step < outlier


def _settle(stamps: "array[int]", index: int) -> None:
    """Move the stamp at `index` back to its place among the ones before it: frames come in the order of display."""
    while index and stamps[index] < stamps[index - 1]:
        stamps[index - 1], stamps[index] = stamps[index], stamps[index - 1]
        index -= 1


def _filled(found: Sequence[int | None], step: int) -> "array[int]":
    """Give frames without a stamp one between their neighbours, or at the usual step outside of them."""
    stamps, last = array("q"), -1
    for index, stamp in enumerate(found):
        if stamp is None:
            continue
        gap = index - last
        for missing in range(last + 1, index):
            if last < 0:
                stamps.append(stamp - (index - missing) * step)
            else:
                stamps.append(stamps[last] + (stamp - stamps[last]) * (missing - last) // gap)
        stamps.append(stamp)
        last = index
    stamps.extend(stamps[last] + (index - last) * step for index in range(last + 1, len(found)))
    return stamps


def _moves(
    filled: "array[int]", stamps: "array[int]", restarts: Sequence[Restart]
) -> tuple[tuple[int, int], ...]:
    moved, shift, due = [], 0, list(restarts)
    for index, (was, now) in enumerate(zip(filled, stamps, strict=True)):
        if due and due[0].index == index:
            shift = due.pop(0).shift
        if now != was + shift:
            moved.append((index, now - was - shift))
    return tuple(moved)
