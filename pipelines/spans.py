"""Spans: half-open ranges of frames `[start, stop)`, and the halo around them. Knows neither pixels nor files."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_NAME = re.compile(r"(\d{8})-(\d{8})")


@dataclass(frozen=True, order=True)
class Span:
    """Frames `start` to `stop - 1`."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"a span needs 0 <= start <= stop, not {self.start}, {self.stop}")

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def name(self) -> str:
        """The span as a file name: `00000000-00000240`."""
        return f"{self.start:08d}-{self.stop:08d}"

    @classmethod
    def from_name(cls, name: str) -> "Span | None":
        """Parse a span's file name; None for other names."""
        match = _NAME.fullmatch(name)
        return cls(int(match[1]), int(match[2])) if match and int(match[1]) <= int(match[2]) else None


def split(whole: Span, length: int) -> list[Span]:
    """Split `whole` into spans of `length` frames; a last span of one frame is merged into the one before.

    A one-frame video segment has no duration of its own, which players and joins handle badly.
    Holds one small object per span.
    """
    if length < 2:
        raise ValueError(f"a span needs at least 2 frames, not {length}")
    starts = list(range(whole.start, whole.stop, length))
    if len(starts) > 1 and whole.stop - starts[-1] == 1:
        starts.pop()
    return [Span(a, b) for a, b in zip(starts, [*starts[1:], whole.stop], strict=True)] if starts else []


def runs(missing: Iterable[Span]) -> Iterator[list[Span]]:
    """Group adjacent spans, in order: each group is computed as one chain, so that its halo is read once."""
    group: list[Span] = []
    for span in missing:
        if group and group[-1].stop != span.start:
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def batches(spans: Iterable[Span], start: int, stop: int, size: int) -> Iterator[Span]:
    """Cut frames `[start, stop)` of `spans`, which are in order, into batches of at most `size` frames.

    Each span has its own grid of batches, so that a frame is computed beside the same others wherever a run begins.
    """
    for span in spans:
        for first in range(span.start, span.stop, size):
            batch = Span(max(first, start), max(first, start, min(first + size, span.stop, stop)))
            if batch:
                yield batch


def widen(span: Span, before: int, after: int, whole: Span) -> Span:
    """Extend `span` by a halo of `before` and `after` frames, within `whole`."""
    return Span(max(whole.start, span.start - before), min(whole.stop, span.stop + after))
