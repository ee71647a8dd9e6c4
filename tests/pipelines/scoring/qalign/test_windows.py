"""Frames to window scores: each frame encoded once, any span on its own, nothing that grows."""

import gc
import weakref
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pytest

from pipelines.scoring.qalign.preprocess import Prepared
from pipelines.scoring.qalign.windows import encoded_at_once, rated, reach, sampled
from pipelines.spans import Span


class Token:
    """Features of one frame, which can be seen to live."""

    def __init__(self, frame: int) -> None:
        self.frame = frame


class Counting:
    """The score of a window is made of its frames in order, so that none can be mixed up."""

    side = 1

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.batches: list[list[tuple[int, ...]]] = []
        self.alive: weakref.WeakSet[Token] = weakref.WeakSet()
        self.most_alive = 0

    def encode(self, squares: Sequence[Any]) -> list[Token]:
        frames = [int(square[0]) for square in squares]
        self.encoded += frames
        tokens = [Token(frame) for frame in frames]
        self.alive.update(tokens)
        self.most_alive = max(self.most_alive, len(self.alive))
        return tokens

    def score(self, windows: Sequence[Sequence[Token]]) -> list[float]:
        self.batches.append([tuple(token.frame for token in window) for window in windows])
        return [score_of(window) for window in self.batches[-1]]

    def to_host(self, features: Token) -> Any:
        return np.array([features.frame])


def score_of(window: Sequence[int]) -> float:
    return sum((place + 1) * (frame + 1) for place, frame in enumerate(window)) / 1000


def pictures(span: Span, read: list[int] | None = None) -> Generator[Prepared]:
    for index in range(span.start, span.stop):
        if read is not None:
            read.append(index)
        yield Prepared(index, np.array([index]), None, 0.0)  # type: ignore[arg-type]


def run(scorer: Counting, asked: Span, whole: Span, width: int, batch: int) -> list[float]:
    found = list(rated(pictures(reach(asked, whole, width)), scorer, asked, whole, width, batch))
    assert [each.frame.index for each in found] == list(range(asked.start, asked.stop))
    assert [each.features.frame for each in found] == list(range(asked.start, asked.stop))
    return [each.score for each in found]


def test_windows_are_the_published_ones(golden: Any) -> None:
    tables = golden("windows.npz")
    assert len(tables) > 20
    for name, table in tables.items():
        frames, width = (int(part[1:]) for part in name.split("_"))
        whole = Span(0, frames)
        assert run(Counting(), whole, whole, width, 3) == [score_of(row) for row in table.tolist()], name


@pytest.mark.parametrize("width", range(1, 8))
@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_each_frame_is_read_and_encoded_once(width: int, frames: int) -> None:
    scorer, read, whole = Counting(), [], Span(0, frames)
    assert len(list(rated(pictures(whole, read), scorer, whole, whole, width, 4))) == frames
    assert scorer.encoded == read == list(range(frames))


@pytest.mark.parametrize("width", [*range(1, 9), 30])
def test_any_span_on_its_own_has_the_same_scores_in_any_batch(width: int) -> None:
    whole = Span(100, 111)
    known = run(Counting(), whole, whole, width, 1)
    for start in range(100, 111):
        for stop in range(start + 1, 112):
            scorer = Counting()
            assert run(scorer, Span(start, stop), whole, width, 4) == known[start - 100 : stop - 100]
            assert len(scorer.encoded) <= stop - start + width - 1
            assert all(len(group) <= 4 for group in scorer.batches)


def test_windows_of_the_same_frames_are_scored_once() -> None:
    scorer, whole = Counting(), Span(0, 12)
    run(scorer, whole, whole, 9, 6)
    assert [len(group) for group in scorer.batches] == [3, 6]
    assert scorer.batches[0][0] == (0,) * 9


def test_what_is_held_does_not_grow() -> None:
    most = {}
    for frames in (60, 600):
        scorer, whole = Counting(), Span(0, frames)
        for _ in rated(pictures(whole), scorer, whole, whole, 5, 8):
            gc.collect(0)
        most[frames] = scorer.most_alive
    assert most[60] == most[600] <= 5 + 2 * 8 + 2 * encoded_at_once(8)


def test_leaving_early_closes_the_frames() -> None:
    whole, closed = Span(0, 50), []

    def frames() -> Generator[Prepared]:
        try:
            yield from pictures(whole)
        finally:
            closed.append(True)

    scores = rated(frames(), Counting(), whole, whole, 3, 4)
    next(scores)
    scores.close()
    assert closed == [True]


def test_one_frame_a_second_stands_for_a_video(golden: Any) -> None:
    for case in golden("sampling.json"):
        # The published rule gives a clip below a second no frame at all; the first stands for it.
        assert sampled(case["frames"], case["fps"], 100) == (case["indices"] or [0])


def test_a_long_video_is_sampled_evenly() -> None:
    chosen = sampled(25 * 3600, 25, 31)
    assert len(chosen) == 31 and chosen[0] == 0 and chosen[-1] < 25 * 3600
    apart = np.diff(chosen)
    assert apart.min() >= 2900 - 25 and apart.max() <= 2904 + 25
