"""Items of a stage, whatever memory does: when it ends, the same frame is computed again with less."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from memory.ladder import Effort, Ladder, Rung, Step
from pipelines.errors import DamagedVideo
from pipelines.spans import Span
from pipelines.stages import Assignment, Stage

_QUIET_FRAMES = 240
_END = object()


class Supply:
    """The items of `stage`, one a frame, as an unbroken chain where memory allows.

    When memory ends, the chain is dropped and one that is a rung lower is opened at the frame that failed: any span can
    be computed on its own, so nothing finished is repeated. `check` is called before every item and may raise
    MemoryError. Holds what the chain holds.
    Raises the first out-of-memory error where nothing smaller is left.
    """

    def __init__(
        self,
        stage: Stage,
        job: Assignment,
        rungs: Sequence[Rung],
        *,
        check: Callable[[], None],
        on_step: Callable[[int, Step], None],
    ) -> None:
        self._stage = stage
        self._job = job
        self._check = check
        self._at = 0
        self._chain: Generator[Any] | None = None
        self._opened_with: Effort | None = None
        self._on_step = lambda step: on_step(self._at, step)
        self._ladder = Ladder(
            Effort(window=job.plan.window_frames, batch=job.plan.batch_frames),
            rungs,
            on_step=self._on_step,
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
            job = replace(self._job, plan=plan, effort=effort, on_step=self._on_step, look=self._check)
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

    def _drop(self) -> None:
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.close()
