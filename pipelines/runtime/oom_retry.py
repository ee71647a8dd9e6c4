"""Items of a stage, whatever memory does: when it ends, the same frame is computed again with less."""

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory.ladder import Effort, Ladder, Rung, Step
from pipelines.errors import DamagedVideo
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage
from pipelines.storage.atomic import write_bytes

_QUIET_FRAMES = 240
_DIGITS = ("float16", "float32")
_END = object()


class OomRetry:
    """The items of `stage`, one a frame, as an unbroken chain where memory allows.

    When memory ends, the chain is dropped and one that is a rung lower is opened at the frame that failed: any span can
    be computed on its own, so nothing finished is repeated. What was lowered so that the result changed is kept with
    the job: a run that is resumed goes on with it. `check` is called before every item, and by stages that compute for
    long without one; it may raise MemoryError. Holds what the chain holds.
    Raises the first out-of-memory error where nothing smaller is left.
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
        self._job = run
        self._check = check
        self._at = 0
        self._chain: Generator[Any] | None = None
        self._opened_with: Effort | None = None
        self._on_step = on_step
        self._lowered = _Lowered(run.folder / "state" / f"{stage.name}-lowered.json")
        self._ladder = Ladder(
            self._lowered.of(Effort(window=run.plan.window_frames, batch=run.plan.batch_frames)),
            rungs,
            on_step=self._told,
            quiet_windows=_QUIET_FRAMES,
        )

    def items(self, span: Span) -> Generator[Any]:
        """Items of `span`, in order. Close the iterator to release decoder and buffers."""
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
            plan = replace(self._job.plan, window_frames=effort.window, batch_frames=effort.batch)
            lowered = self._lowered.of(effort)
            job = replace(
                self._job, plan=plan, effort=lowered, on_step=self._told, check_interrupt=self._check
            )
            self._chain = self._stage.compute(job, self._at, stop)
            self._opened_with = effort
        try:
            self._check()
            item = next(self._chain, _END)
        except BaseException:
            self._drop()
            raise
        if item is _END:
            raise DamagedVideo(
                f"The video ended at frame {self._at}, {stop - self._at} frames early.",
                "--salvage uses what can be read.",
            )
        return item

    def _told(self, step: Step) -> None:
        """A step of the ladder here, or of one that a chain has of its own."""
        if step.change == "changes":
            self._lowered.add(step.after)
        self._on_step(self._at, step)

    def _drop(self) -> None:
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.close()


class _Lowered:
    """What was lowered so that the result changed, in a file that is complete or absent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._effort = Effort.from_json(json.loads(path.read_bytes())) if path.is_file() else Effort(window=1)

    def of(self, effort: Effort) -> Effort:
        """`effort` with no more digits and pixels than are left."""
        digits = min(effort.precision, self._effort.precision, key=_DIGITS.index)
        return replace(effort, precision=digits, scale=min(effort.scale, self._effort.scale))

    def add(self, effort: Effort) -> None:
        """Keep what `effort` lowered further."""
        self._effort = self.of(effort)
        write_bytes(self._path, json.dumps(self._effort.to_json()).encode())
