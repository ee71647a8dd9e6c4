"""Which worker computes which spans of a stage: numbers only, no processes, no clock, no files.

A *stretch* is a run of neighbouring spans that one worker computes as one chain, so that their halo is read once.
Whoever is idle takes the longest stretch that waits, else the back half of the longest one at work (work stealing,
Blumofe and Leiserson 1999), else, where somebody is silent, what is left of his as well (a backup task, Dean and
Ghemawat 2004, section 3.6): the first to publish a span wins. A span is published once.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from pipelines.spans import Span, runs

MOST_LOSSES = 3
"""So many workers may be lost at the same span: fewer may be the fault of other programs, more hardly are."""


@dataclass
class _Stretch:
    """What a worker has been given: the spans that it has not published, in order."""

    left: list[Span]
    attempt: int = 1

    @property
    def frames(self) -> int:
        return sum(map(len, self.left))


@dataclass(frozen=True)
class Given:
    """Spans that a worker is to compute now, in order; the worker `taken_from` has to stop where they start."""

    spans: tuple[Span, ...]
    taken_from: int | None = None


@dataclass
class Stretches:
    """The spans of one stage that are missing, and who computes them. Holds one small object a span.

    A stretch costs `halo` frames' work beside its own: what is stolen is so much shorter that thief and victim end
    together, and nothing is stolen where that leaves less than a span. With `in_order` all spans are one stretch,
    which one worker computes at a time.
    """

    missing: Sequence[Span]
    workers: int
    halo: int = 0
    in_order: bool = False
    _waiting: list[_Stretch] = field(init=False)
    _at_work: dict[int, _Stretch] = field(init=False, default_factory=dict)
    _open: set[Span] = field(init=False)
    _losses: Counter[Span] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self._open = set(self.missing)
        groups = [self.missing] if self.in_order and self.missing else list(runs(self.missing))
        share = self._share(1 if self.in_order or not self._is_shareable else self.workers)
        self._waiting = [_Stretch(part) for group in groups for part in _parts(group, share, self.halo)]

    @property
    def is_done(self) -> bool:
        """Whether all spans are published."""
        return not self._open

    @property
    def open_spans(self) -> int:
        """How many spans are still to be published."""
        return len(self._open)

    @property
    def losses(self) -> int:
        """How many workers were lost at the span that cost most of them."""
        return max(self._losses.values(), default=0)

    def work_of(self, worker: int) -> tuple[Span, int] | None:
        """Return the frames that `worker` still has to compute, and which attempt at them it is; None: it is idle."""
        stretch = self._at_work.get(worker)
        if stretch is None or not stretch.left:
            return None
        return Span(stretch.left[0].start, stretch.left[-1].stop), stretch.attempt

    def give(self, worker: int, silent: Collection[int] = ()) -> Given | None:
        """Return what an idle worker is to compute; None where there is nothing for it. `silent` ones are doubled."""
        self._at_work.pop(worker, None)
        if self._waiting:
            stretch = max(self._waiting, key=lambda each: each.frames)
            self._waiting.remove(stretch)
            return self._start(worker, stretch)
        if self.in_order:
            return self._double(worker, silent)
        return self._steal(worker) or self._double(worker, silent)

    def publish(self, worker: int, span: Span) -> bool:
        """Note that `worker` has finished `span`; returns False where that was done before."""
        is_first = span in self._open
        self._open.discard(span)
        for stretch in [*self._at_work.values(), *self._waiting]:
            if stretch.left and stretch.left[0] <= span <= stretch.left[-1] and span in stretch.left:
                stretch.left.remove(span)
        self._waiting = [stretch for stretch in self._waiting if stretch.left]
        return is_first

    def end(self, worker: int) -> None:
        """Note that `worker` says it has done what it was given: what is still open of it waits again."""
        stretch = self._at_work.pop(worker, None)
        if stretch:
            self._wait(stretch.left, stretch.attempt)

    def lose(self, worker: int) -> Span | None:
        """Take back what a lost worker has not finished; returns the span that it was at."""
        stretch = self._at_work.pop(worker, None)
        if stretch is None or not stretch.left:
            return None
        self._losses[stretch.left[0]] += 1
        at = stretch.left[0]
        self._wait(stretch.left, stretch.attempt + 1)
        return at

    def take_back(self, worker: int) -> None:
        """Take back what a worker has not finished that is sent away, which is no fault of its spans."""
        if stretch := self._at_work.pop(worker, None):
            self._wait(stretch.left, stretch.attempt)

    @property
    def _is_shareable(self) -> bool:
        """Whether equal parts with their halo end sooner than the whole does."""
        return self._share(self.workers) + self.halo < self._share(1)

    def _share(self, parts: int) -> int:
        """Frames of one of `parts` equal parts of what is missing."""
        return max(1, -(-sum(map(len, self.missing)) // parts))

    def _start(self, worker: int, stretch: _Stretch, taken_from: int | None = None) -> Given:
        self._at_work[worker] = stretch
        return Given(tuple(stretch.left), taken_from)

    def _steal(self, worker: int) -> Given | None:
        """Take the back half of the longest stretch at work; the span that its worker is at stays there."""
        for victim, stretch in sorted(self._at_work.items(), key=lambda item: -item[1].frames):
            if half := _back_half(stretch.left, self.halo):
                stretch.left = stretch.left[: -len(half)]
                return self._start(worker, _Stretch(half), victim)
        return None

    def _double(self, worker: int, silent: Collection[int]) -> Given | None:
        """Compute what is left of a silent worker's stretch as well."""
        doubled = {tuple(s.left) for w, s in self._at_work.items() if w not in silent}
        for other in silent:
            stretch = self._at_work.get(other)
            if other != worker and stretch and stretch.left and tuple(stretch.left) not in doubled:
                return self._start(worker, _Stretch(list(stretch.left), stretch.attempt + 1))
        return None

    def _wait(self, left: list[Span], attempt: int) -> None:
        """Let spans wait that nobody computes any more."""
        others = {span for stretch in self._at_work.values() for span in stretch.left}
        for group in runs(span for span in left if span in self._open and span not in others):
            self._waiting.append(_Stretch(group, attempt))


def _parts(group: Sequence[Span], frames: int, halo: int) -> Iterable[list[Span]]:
    """Cut neighbouring spans into parts of about `frames` frames: of as many parts as that makes, of equal work.

    Those at the ends have a halo on one side only, so that they are longer by half of it.
    """
    whole = sum(map(len, group))
    count = min(len(group), max(1, round(whole / frames)))
    share = max(0, whole - halo) / count
    part: list[Span] = []
    done = cut = 0
    for span in group:
        part.append(span)
        done += len(span)
        if done >= whole or (cut < count - 1 and done >= share * (cut + 1) + halo / 2):
            yield part
            part, cut = [], cut + 1


def _back_half(spans: list[Span], halo: int) -> list[Span]:
    """Return the later spans after which, `halo` included, thief and victim end together; never the first.

    None where that would save nothing.
    """
    whole = sum(map(len, spans))
    half: list[Span] = []
    taken, ends = 0, whole - 1
    for span in reversed(spans[1:]):
        taken += len(span)
        ends, before = max(whole - taken, taken + halo), ends
        if ends > before:
            break
        half.insert(0, span)
    return half
