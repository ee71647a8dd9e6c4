"""Integers only: which frames a network looks at together."""

from collections.abc import Iterator

from pipelines.spans import Span


def batches(spans: list[Span], start: int, stop: int, size: int) -> Iterator[Span]:
    """Frames `[start, stop)` of `spans` in batches of `size` at most.

    Each span has its own grid of batches, so that a frame is computed beside the same others wherever a run begins.
    """
    for span in spans:
        for first in range(span.start, span.stop, size):
            batch = Span(max(first, start), max(first, start, min(first + size, span.stop, stop)))
            if batch:
                yield batch
