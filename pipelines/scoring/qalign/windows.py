"""Prepared frames to window scores, one pass: each frame is encoded once, whatever the window, and nothing grows.

The scorer is injected: nothing here knows the network. Of a frame's features those of the last window are held, and
those of the batch at hand.
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
"""What the scorer makes of one frame; it alone looks into it."""

WINDOWS_A_FRAME = 4
"""While so many windows are scored at once, a frame is encoded: its tokens are as many as theirs, or more."""


class Scorer(Protocol):
    """The network, as far as windows are concerned."""

    side: int
    """Pixels of a square's side."""

    def encode(self, squares: Sequence[Pixels]) -> Sequence[Features]:
        """Features of each frame."""
        ...

    def score(self, windows: Sequence[Sequence[Features]]) -> list[float]:
        """Scores, 0 to 1, of windows of equal length."""
        ...

    def kept(self, features: Features) -> NDArray[Any]:
        """Features of one frame as an array, to be kept on disk."""
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


def reach(asked: Span, whole: Span, width: int) -> Span:
    """The frames to encode for the windows around frames `asked` of the `whole`: at most `width - 1` more."""
    start, stop = asked.start - (width - 1) // 2, min(whole.stop, asked.stop + width // 2)
    if asked.start + width // 2 >= whole.stop:
        # A first window that is cut short at the end must be seen not to be that of a video as short as it.
        start -= 1
    return Span(max(whole.start, start), stop)


def sampled(frames: int, rate: float | Fraction, most: int) -> list[int]:
    """Frames that stand for a whole video: one a second, the first of a shorter one; evenly fewer where over `most`."""
    seconds = max(1, int(frames / rate))
    count = min(seconds, most)
    return [int(rate * (i * seconds // count)) for i in range(count)]


def encoded_at_once(batch: int) -> int:
    """How many frames are encoded at once where windows are scored in batches of so many."""
    return max(1, batch // WINDOWS_A_FRAME)


def rated(
    frames: Generator[Prepared], scorer: Scorer, asked: Span, whole: Span, width: int, batch: int
) -> Generator[Rated]:
    """The score of the window of `width` frames around each frame `asked` of the `whole`, in order.

    `frames` are those in `reach`, in order. Windows are scored `batch` at a time; such as show the same frames once.
    Holds a batch of prepared frames and of features, and a window's more.
    """
    waiting: deque[Encoded] = deque()

    def noted() -> Iterator[Encoded]:
        for each in encoded:
            if each.frame.index >= asked.start:
                waiting.append(each)
            yield each

    # Where a chain begins within the video, the first windows are those of frames before: nobody computes them.
    skipped = asked.start - reach(asked, whole, width).start
    with closing(_encoded(frames, scorer, encoded_at_once(batch))) as encoded:
        shown = islice(windows(noted(), width), skipped, skipped + len(asked))
        while group := list(islice(shown, batch)):
            for score in _scores(group, scorer):
                frame, features = waiting.popleft()
                yield Rated(frame, features, score)


def _encoded(frames: Generator[Prepared], scorer: Scorer, count: int) -> Generator[Encoded]:
    with closing(frames):
        while group := list(islice(frames, count)):
            features = scorer.encode([frame.square for frame in group])
            yield from map(Encoded, group, features)


def _scores(group: Sequence[Sequence[Encoded]], scorer: Scorer) -> list[float]:
    """A score for each window; those of the same frames (the first of a video) are computed once."""
    shown = [tuple(each.frame.index for each in window) for window in group]
    once = dict(zip(shown, group, strict=True))
    scores = scorer.score([[each.features for each in window] for window in once.values()])
    known = dict(zip(once, scores, strict=True))
    return [known[frames] for frames in shown]
