"""The spans of one stage, computed and published: by a run on its own, or by a member of a crew."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from memory.ladder import Rung
from pipelines.runtime.oom_retry import OomRetry
from pipelines.runtime.progress import Throughput
from pipelines.runtime.reporter import Reporter
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage
from pipelines.storage.atomic import put_once
from pipelines.storage.kept_files import describe


def span_file(folder: Path, stage: Stage, span: Span) -> Path:
    """Return the place of a span's own file, in the job's `folder`."""
    return folder / stage.folder / f"{span.name}{stage.suffix}"


class SpanWork:
    """Computes spans of `stage` and publishes their files. Holds what the stage's generator holds."""

    def __init__(
        self,
        stage: Stage,
        run: RunContext,
        rungs: Sequence[Rung],
        report: Reporter,
        *,
        check: Callable[[], None],
        check_inputs: Callable[[], None],
    ) -> None:
        """`check` is called before every item and may raise; `check_inputs` before a span is published."""
        self._stage, self._run, self._report = stage, run, report
        self._check_inputs = check_inputs
        self._retry = OomRetry(stage, run, rungs, check=check, on_step=report.degraded)

    def compute(self, group: Sequence[Span], throughput: Throughput, done: int) -> Generator[Span]:
        """Compute adjacent spans as one chain, so that their halo is read once; yields each when it is published.

        `done` frames of the stage are finished. Close the generator to release decoder and buffers.
        """
        with closing(self._retry.items(Span(group[0].start, group[-1].stop))) as items:
            for span in group:
                part = islice(items, len(span))
                self._write(span, self._report.followed(self._stage, part, span.start, done, throughput))
                done += len(span)
                yield span

    def _write(self, span: Span, items: Iterator[Any]) -> None:
        """Write the files of a span, its own last, and report them."""
        stage, folder = self._stage, self._run.folder
        own = span_file(folder, stage, span)
        values: list[float] = []  # bounded by the span
        with put_once(own) as part:
            sink = stage.sink(self._run, part)
            try:
                for item in items:
                    sink.write(item)
                    if (value := stage.value(item)) is not None:
                        values.append(value)
                sink.close()
                self._check_inputs()
            except BaseException:
                sink.abandon()
                raise
        files = describe(folder, [own, *stage.beside(self._run, span)])
        self._report.finished(own, span, values, files)
