"""Retry after out-of-memory errors with less effort, and step up again after a while without errors.

The ladder knows nothing about frames: it calls a function with an `Effort` and, where that runs out of memory, calls it
again with a smaller one. Nothing that was finished before is repeated.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, TypeVar

from memory.oom import chain, is_out_of_memory, release

T = TypeVar("T")
Change = Literal["exact", "close", "changes"]


class LimitPassed(MemoryError):
    """More was held than the user allows: the same effort would hold as much again, so a smaller one is tried first."""


@dataclass(frozen=True)
class Effort:
    """How much is computed at once, in frames per window and batch, and at which precision and scale.

    `tile_px` None computes whole frames; `scale` multiplies width and height.
    """

    window: int
    batch: int = 1
    tile_px: int | None = None
    precision: str = "float32"
    scale: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The effort as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The effort that `to_json` gave. Raises TypeError where a value is missing or unknown."""
        return cls(**values)


@dataclass(frozen=True)
class Rung:
    """One way to use less memory.

    `lower` returns a smaller effort, or None where it cannot be reduced further. A rung that returns the same effort is
    tried once per window; it works through `act`, which returns whether there was anything to do.
    """

    name: str
    change: Change
    sentence: str
    lower: Callable[[Effort], Effort | None]
    act: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Step:
    """One step on the ladder, as reported to the user."""

    rung: str
    change: Change
    message: str
    before: Effort
    after: Effort
    down: bool


class Ladder:
    """Runs one window after another with as much effort as memory allows.

    `current` is the effort of the next window. Holds one effort per step that was taken down.
    """

    def __init__(
        self,
        start: Effort,
        rungs: Sequence[Rung],
        *,
        on_step: Callable[[Step], None] = lambda step: None,
        quiet_windows: int = 8,
        free: Callable[[], None] = release,
    ) -> None:
        """Raises ValueError where a rung that changes results comes before one that does not."""
        changing = [rung.change == "changes" for rung in rungs]
        if changing != sorted(changing):
            raise ValueError("rungs that change the result must come last")
        self.current = start
        self._rungs = tuple(rungs)
        self._on_step = on_step
        self._quiet_windows = quiet_windows
        self._free = free
        self._quiet = 0
        self._above: list[tuple[Rung, Effort]] = []
        self._failures: dict[Effort, int] = {}

    def run(self, compute: Callable[[Effort], T]) -> T:
        """Return `compute(effort)`, lowering the effort until memory suffices.

        `compute` must do its work before it returns (no lazy iterator) and may be called again after it failed. Other
        errors pass through. Where no rung is left, the first out-of-memory error is raised.
        """
        self._climb()
        tried: set[str] = set()
        original: BaseException | None = None
        try:
            while True:
                try:
                    result = compute(self.current)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    failure: BaseException = error
                else:
                    self._quiet = 0 if original else self._quiet + 1
                    return result
                # Outside the except block the error is no longer being handled, but its frames still hold arrays.
                _clear_frames(failure)
                original = original or failure
                reduce = any(isinstance(each, LimitPassed) for each in chain(failure))
                del failure
                self._free()
                if not self._descend(tried, reduce=reduce):
                    raise original
        finally:
            # The error's traceback refers to this frame: without this, both and the result would stay alive in a cycle.
            original = None

    def _descend(self, tried: set[str], *, reduce: bool) -> bool:
        """Take the first rung that is left; False where none is.

        With `reduce`, those that lower the effort without changing the result come before those that keep it.
        """

        def order(rung: Rung) -> int:
            return 1 if rung.lower(self.current) == self.current else 2 if rung.change == "changes" else 0

        for rung in sorted(self._rungs, key=order) if reduce else self._rungs:
            lower = rung.lower(self.current)
            if lower is None or (lower == self.current and rung.name in tried):
                continue
            tried.add(rung.name)
            if not rung.act():
                continue
            if lower != self.current:
                self._above.append((rung, self.current))
                self._failures[self.current] = self._failures.get(self.current, 0) + 1
            self._move(lower, rung, rung.sentence, down=True)
            return True
        return False

    def _climb(self) -> None:
        """After enough windows without errors, try the next higher effort; give it up after its second failure.

        A rung that changes results is not climbed again: the look of a video should not change back and forth.
        """
        if self._quiet < self._quiet_windows or not self._above:
            return
        rung, above = self._above[-1]
        if rung.change == "changes" or self._failures.get(above, 0) > 1:
            return
        self._above.pop()
        self._quiet = 0
        self._move(
            above, rung, "No memory error for a while, so the previous setting is tried again.", down=False
        )

    def _move(self, effort: Effort, rung: Rung, message: str, *, down: bool) -> None:
        step = Step(rung.name, rung.change, message, self.current, effort, down)
        self.current = effort
        self._on_step(step)


def standard_rungs(
    *,
    network: bool = True,
    min_window: int = 1,
    min_batch: int = 1,
    tiles_px: Sequence[int] = (),
    precisions: Sequence[str] = (),
    scales: Sequence[float] = (),
    drop_idle: Callable[[], bool] | None = None,
) -> tuple[Rung, ...]:
    """The standard rungs in order: those without a cost first, those that change the result last.

    Without a `network`, batch and window are loops over frames, so results stay the same to the byte; with one, sums
    are computed in another order. `tiles_px`, `precisions` and `scales` list the values to step down through.
    `drop_idle` moves idle networks off the device and returns whether there were any.
    """
    same: Change = "close" if network else "exact"
    rungs = [Rung("retry", "exact", "Out of memory; trying again after freeing caches.", _same)]
    if drop_idle is not None:
        sentence = "Idle networks were moved off the device."
        rungs.append(Rung("drop idle networks", "exact", sentence, _same, drop_idle))
    rungs += [
        Rung("halve batch", same, "Batches are smaller.", _halver("batch", min_batch)),
        Rung("halve window", same, "Windows are shorter, with the same halo.", _halver("window", min_window)),
    ]
    if tiles_px:
        rungs.append(Rung("tile", "close", "Frames are computed in tiles.", _lister("tile_px", tiles_px)))
    if precisions:
        sentence = "Precision is lower, which changes the result a little."
        rungs.append(Rung("lower precision", "changes", sentence, _lister("precision", precisions)))
    if scales:
        sentence = "Frames are computed at a lower resolution, which changes the result."
        rungs.append(Rung("lower resolution", "changes", sentence, _lister("scale", scales)))
    return tuple(rungs)


def _same(effort: Effort) -> Effort:
    return effort


def _halver(field: Literal["batch", "window"], smallest: int) -> Callable[[Effort], Effort | None]:
    def lower(effort: Effort) -> Effort | None:
        now: int = getattr(effort, field)
        half = max(smallest, now // 2)
        if half >= now:
            return None
        return replace(effort, batch=half) if field == "batch" else replace(effort, window=half)

    return lower


def _lister(field: str, values: Sequence[Any]) -> Callable[[Effort], Effort | None]:
    """Step through `values`: to the first from any other value, then to the next."""

    def lower(effort: Effort) -> Effort | None:
        now = getattr(effort, field)
        next_index = values.index(now) + 1 if now in values else 0
        return replace(effort, **{field: values[next_index]}) if next_index < len(values) else None

    return lower


def _clear_frames(error: BaseException) -> None:
    """Release the local variables in the tracebacks of an error and its causes; line numbers stay."""
    for each in chain(error):
        traceback.clear_frames(each.__traceback__)
