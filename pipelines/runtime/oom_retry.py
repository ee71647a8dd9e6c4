"""Items of a stage, retried with less when memory runs out."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory.ladder import Effort, Ladder, Rung, Step
from pipelines.errors import DamagedVideo
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage
from pipelines.storage.sealed import Damaged, read_sealed, write_sealed

_QUIET_FRAMES = 240
"""Frames without an out-of-memory error before the ladder steps up again: the shortest span."""
_PRECISIONS = ("float16", "float32")
"""Lowest first."""
_END = object()


class OomRetry:
    """The items of `stage`, one per frame, from one generator for as long as memory suffices.

    When memory runs out, that generator is closed and another is opened one rung lower, at the frame that failed: any
    span can be computed on its own, so nothing finished is repeated. Steps that change the result are stored with the
    run, so that a resumed run continues with them. `check` is called before every item and after the last, and by
    stages that compute for long without yielding one; it may raise MemoryError. Holds what the generator holds.
    Raises the first out-of-memory error where no lower rung is left.
    """

    def __init__(
        self,
        stage: Stage,
        run: RunContext,
        rungs: Sequence[Rung],
        *,
        check: Callable[[], None],
        on_step: Callable[[int, Step], None],
    ) -> None:
        self._stage = stage
        self._run = run
        self._check = check
        self._at = 0
        self._chain: Generator[Any] | None = None
        self._opened_with: Effort | None = None
        self._on_step = on_step
        self._lowered = _Lowered(run.folder / "state" / f"{stage.name}-lowered.json")
        self._ladder = Ladder(
            self._lowered.of(Effort(window=run.plan.window_frames, batch=run.plan.batch_frames)),
            rungs,
            on_step=self._on_ladder_step,
            quiet_windows=_QUIET_FRAMES,
        )

    def items(self, span: Span) -> Generator[Any]:
        """Yield the items of `span`, in order. Close the generator to release decoder and buffers."""
        self._at = span.start
        try:
            while self._at < span.stop:
                item = self._ladder.run(lambda effort: self._next(effort, span.stop))
                self._at += 1
                yield item
        finally:
            self._drop()

    def _next(self, effort: Effort, stop: int) -> Any:
        if self._chain is None or effort != self._opened_with:
            self._drop()
            plan = replace(self._run.plan, window_frames=effort.window, batch_frames=effort.batch)
            lowered = self._lowered.of(effort)
            run = replace(
                self._run,
                plan=plan,
                effort=lowered,
                on_step=self._on_ladder_step,
                check_interrupt=self._check,
            )
            self._chain = self._stage.compute(run, self._at, stop)
            self._opened_with = effort
        try:
            self._check()
            item = next(self._chain, _END)
            if self._at + 1 == stop:
                self._check()  # No later item shows what the last one needed.
        except BaseException:
            self._drop()
            raise
        if item is _END:
            raise DamagedVideo(
                f"The video ended at frame {self._at}, {stop - self._at} frames early.",
                "Use --salvage to continue with the frames that can be read.",
                "video.ended_early",
                frame=self._at,
                missing=stop - self._at,
            )
        return item

    def _on_ladder_step(self, step: Step) -> None:
        """Report a step of this ladder, or of one inside the stage, and store it if it changes the result."""
        if step.change == "changes":
            self._lowered.add(step.after)
        self._on_step(self._at, step)

    def _drop(self) -> None:
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.close()


class _Lowered:
    """The lowest precision and scale used so far, stored with the run: both change the result."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._effort = Effort.from_json(read_sealed(path))
        except (
            FileNotFoundError,
            Damaged,
            KeyError,
            TypeError,
        ):  # What was lost is found out again, where memory runs out again.
            self._effort = Effort(window=1)

    def of(self, effort: Effort) -> Effort:
        """`effort` with at most the stored precision and scale."""
        precision = min(effort.precision, self._effort.precision, key=_PRECISIONS.index)
        return replace(effort, precision=precision, scale=min(effort.scale, self._effort.scale))

    def add(self, effort: Effort) -> None:
        """Store the precision and scale of `effort` where they are lower."""
        self._effort = self.of(effort)
        write_sealed(self._path, self._effort.to_json())
