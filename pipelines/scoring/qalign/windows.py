"""From prepared frames to window scores, in one pass that encodes each frame once, whatever the window.

Independent of the network: the scorer is passed in. Holds the features of one window and of one batch.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import islice
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from pipelines.scoring.metrics.smoothness import windows
from pipelines.scoring.qalign.preprocess import Prepared
from pipelines.spans import Span
from pipelines.vision.types import Pixels

Features = Any
"""A scorer's features of one frame, opaque to this module."""

WINDOWS_A_FRAME = 4
"""Windows scored at once for each frame encoded at once: a frame has at least as many tokens as that many windows."""


class Scorer(Protocol):
    """Encodes frames and scores windows of them."""

    side: int
    """Side of a square in pixels."""

    def encode(self, squares: Sequence[Pixels]) -> Sequence[Features]:
        """Encode squares `(side, side, 3)` uint8 RGB; returns the features of each."""
        ...

    def score(self, windows: Sequence[Sequence[Features]]) -> list[float]:
        """Score windows of equal length, from 0 to 1."""
        ...

    def to_host(self, features: Features) -> NDArray[Any]:
        """Copy the features of one frame to an array in host memory."""
        ...


class Encoded(NamedTuple):
    """A frame and its features."""

    frame: Prepared
    features: Features


class Rated(NamedTuple):
    """A frame, its features, and the score of the window around it."""

    frame: Prepared
    features: Features
    score: float


def reach(span: Span, whole: Span, width: int) -> Span:
    """Return the frames to encode for the windows of frames `span` of `whole`: up to `width` more."""
    start, stop = span.start - (width - 1) // 2, min(whole.stop, span.stop + width // 2)
    if span.start + width // 2 >= whole.stop:
        # With one more frame, `windows` does not take a window cut short at the end for that of a very short video.
        start -= 1
    return Span(max(whole.start, start), stop)


def sampled(frames: int, rate: float | Fraction, most: int) -> list[int]:
    """Choose frames that represent a whole video: one per second, at least one; evenly spread if limited by `most`."""
    seconds = max(1, int(frames / rate))
    count = min(seconds, most)
    return [int(rate * (i * seconds // count)) for i in range(count)]


def encoded_at_once(batch: int) -> int:
    """Return how many frames to encode at once when `batch` windows are scored at once."""
    return max(1, batch // WINDOWS_A_FRAME)


def rated(
    frames: Generator[Prepared], scorer: Scorer, span: Span, whole: Span, width: int, batch: int
) -> Generator[Rated]:
    """Score the window of `width` frames around each frame `span` of `whole`, in order.

    `frames` are those in `reach`, in order. Windows are scored `batch` at a time; equal windows are scored once.
    Holds the prepared frames and features of one batch and one window.
    """
    waiting: deque[Encoded] = deque()

    def queued() -> Iterator[Encoded]:
        for item in encoded:
            if item.frame.index >= span.start:
                waiting.append(item)
            yield item

    # If the span starts within the video, the first windows belong to earlier frames and are skipped.
    skipped = span.start - reach(span, whole, width).start
    with closing(_encoded(frames, scorer, encoded_at_once(batch))) as encoded:
        groups = islice(windows(queued(), width), skipped, skipped + len(span))
        while group := list(islice(groups, batch)):
            for score in _scores(group, scorer):
                frame, features = waiting.popleft()
                yield Rated(frame, features, score)


def _encoded(frames: Generator[Prepared], scorer: Scorer, count: int) -> Generator[Encoded]:
    with closing(frames):
        while group := list(islice(frames, count)):
            features = scorer.encode([frame.square for frame in group])
            yield from map(Encoded, group, features)


def _scores(group: Sequence[Sequence[Encoded]], scorer: Scorer) -> list[float]:
    """Score each window; windows of the same frames (at the start of a video) are computed once."""
    keys = [tuple(item.frame.index for item in window) for window in group]
    unique = dict(zip(keys, group, strict=True))
    scores = scorer.score([[item.features for item in window] for window in unique.values()])
    by_key = dict(zip(unique, scores, strict=True))
    return [by_key[key] for key in keys]
