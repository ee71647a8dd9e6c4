"""Summary of a whole video, accumulated from its verdicts block by block.

Its size is bounded: sums, a curve of at most `CURVE_POINTS`, and the first `KEPT` entries of each list with its length.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.metrics.smoothness import MOVEMENT_FRAMES, Smoothness, mean_change, threshold_for
from pipelines.scoring.metrics.verdicts import MOST_DROP, Flags, Verdicts

Seconds = Callable[[int], float]
"""The start of a frame in seconds; also of the frame after the last."""

CURVE_POINTS = 2000
"""More than the chart has pixels in width."""
KEPT = 10_000
"""Entries of each list in the report, which bounds memory and size; counts and shares stay exact.

10,000 blurred and as many frozen runs hold 5 MB, and 14 MB more while 4.5 MB of JSON are written (measured).
"""
WORST = 8
"""Worst frames that are saved as pictures."""

_MODERATE, _SEVERE = 0.2, 0.4
"""Loss of sharpness from which a blurred run counts as moderate or severe."""


@dataclass(slots=True)
class Run:
    """Consecutive frames `[start, stop)` with the same fault. `sharpness` and `remaining` are sums over them.

    `remaining` is a frame's sharpness relative to the better frames nearby.
    """

    start: int
    stop: int
    sharpness: float = 0.0
    remaining: float = 0.0
    worst_frame: int = 0
    worst_remaining: float = math.inf

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def drop(self) -> float:
        """Mean loss of sharpness relative to the better frames nearby, 0 to 1."""
        return 1 - self.remaining / len(self)

    @property
    def severity(self) -> Literal["mild", "moderate", "severe"]:
        """Severity of the drop."""
        if self.drop < _MODERATE:
            return "mild"
        return "moderate" if self.drop < _SEVERE else "severe"

    @property
    def confidence(self) -> float:
        """Confidence that it is a fault, 0 to 1; 1 if the drop is at least twice the largest threshold."""
        return min(1.0, max(0.0, self.drop / (2 * MOST_DROP)))

    @property
    def weight(self) -> float:
        """Rank among runs: the sharpness lost, summed over its frames."""
        return max(0.0, self.drop) * len(self)


@dataclass
class Runs:
    """Runs of flagged frames, joined across block boundaries, never across a cut."""

    count: int = 0
    frames: int = 0
    kept: list[Run] = field(default_factory=list)
    longest: Run | None = None
    worst: list[tuple[float, int, Run]] = field(default_factory=list)
    _open: Run | None = None

    def add(
        self,
        flags: Flags,
        cuts: Flags,
        first: int,
        sharpness: NDArray[np.float64],
        remaining: NDArray[np.float64],
    ) -> None:
        """Add the flags of frames from `first` on, with their sharpness, absolute and relative to the baseline."""
        begins = flags & (cuts | ~np.roll(flags, 1))
        begins[:1] = flags[:1]
        ends = flags & np.append(begins[1:] | ~flags[1:], True)
        for start, stop in zip(
            np.flatnonzero(begins).tolist(), (np.flatnonzero(ends) + 1).tolist(), strict=True
        ):
            if self._open is None or self._open.stop != first + start or cuts[start]:
                self.close()
                self._open = Run(first + start, first + start)
            run = self._open
            run.stop = first + stop
            run.sharpness += float(sharpness[start:stop].sum())
            run.remaining += float(remaining[start:stop].sum())
            lowest = start + int(remaining[start:stop].argmin())
            if remaining[lowest] < run.worst_remaining:
                run.worst_frame, run.worst_remaining = first + lowest, float(remaining[lowest])

    def lasting_longest(self, seconds: Seconds) -> Run | None:
        """Return the run of the longest duration, the first of equals; by frames among those that are not kept."""
        candidates = [*self.kept, self.longest] if self.longest else []
        # Rounded, because equal durations differ by the rounding of their ends.
        return max(candidates, key=lambda run: round(seconds(run.stop) - seconds(run.start), 6), default=None)

    def close(self) -> None:
        """End the current run, if there is one."""
        if self._open is None:
            return
        run, self._open = self._open, None
        self.count += 1
        self.frames += len(run)
        if len(self.kept) < KEPT:
            self.kept.append(run)
        if self.longest is None or len(run) > len(self.longest):
            self.longest = run
        heapq.heappush(self.worst, (run.weight, -run.start, run))
        if len(self.worst) > WORST:
            heapq.heappop(self.worst)


class ScoreCurve:
    """Curves in at most `CURVE_POINTS` buckets: lowest and mean sharpness, mean and largest jump of window scores."""

    def __init__(self, frames: int) -> None:
        self.step = max(1, math.ceil(frames / CURVE_POINTS))
        points = math.ceil(frames / self.step)
        self.lowest = np.full(points, np.inf)
        self.total = np.zeros(points)
        self.count = np.zeros(points, np.int64)
        self.scored = np.zeros(points)
        self.jump = np.zeros(points)
        self._last: float | None = None

    def add(self, first: int, values: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Add the values and window scores of frames from `first` on (0 is the first of the run)."""
        bucket = np.arange(first, first + len(values)) // self.step
        np.minimum.at(self.lowest, bucket, values)
        np.add.at(self.total, bucket, values)
        np.add.at(self.count, bucket, 1)
        np.add.at(self.scored, bucket, scores)
        before = scores[0] if self._last is None else self._last
        np.maximum.at(self.jump, bucket, np.abs(np.diff(scores, prepend=before)))
        self._last = float(scores[-1])

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean value of each bucket."""
        return self.total / np.maximum(1, self.count)

    @property
    def mean_score(self) -> NDArray[np.float64]:
        """Mean window score of each bucket."""
        return self.scored / np.maximum(1, self.count)


class Summary:
    """Counts, means, runs and curves of `frames` frames, the first of which has index `start`.

    `movement` is the amount of motion at the start of the video, 0 to 1; if None, it is computed from the verdicts.
    """

    def __init__(self, start: int, frames: int, movement: float | None = None) -> None:
        self.start = start
        self.curve = ScoreCurve(frames)
        self.blurred, self.frozen, self.cadence, self.blank = Runs(), Runs(), Runs(), Runs()
        self.cuts: list[int] = []
        self.cut_count = 0
        self.frames = 0
        self.movement = 0.0 if movement is None else movement
        self._movement_known = movement is not None
        self.smoothness = Smoothness(threshold_for(self.movement), KEPT)
        self.least_sharp = (math.inf, start)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def collect(self, blocks: Iterable[Verdicts]) -> Iterator[Verdicts]:
        """Pass blocks through and accumulate them."""
        for block in blocks:
            self._add(block)
            yield block
        for runs in (self.blurred, self.frozen, self.cadence, self.blank):
            runs.close()

    def _add(self, block: Verdicts) -> None:
        if self.frames == 0 and not self._movement_known:
            self.movement = mean_change(block["difference"][1:MOVEMENT_FRAMES])
            self.smoothness = Smoothness(threshold_for(self.movement), KEPT)
        first = self.start + self.frames
        sharp = block["sharpness"]
        remaining = sharp / np.maximum(block["baseline"], 1e-9)
        for name in ("blurred", "frozen", "cadence", "blank"):
            getattr(self, name).add(block[name], block["cut"], first, sharp, remaining)
        self.curve.add(self.frames, sharp, block["window_score"])
        for score in block["window_score"].tolist():
            self.smoothness.add(score)
        cuts = np.flatnonzero(block["cut"])
        self.cut_count += len(cuts)
        self.cuts += (first + cuts[: KEPT - len(self.cuts)]).tolist()
        shown = ~block["blank"]
        if shown.any():
            shown_sharp = np.where(shown, sharp, np.inf)
            self.least_sharp = min(
                self.least_sharp, (float(shown_sharp.min()), first + int(shown_sharp.argmin()))
            )
        for name in ("sharpness", "motion", "jerk", "under", "over"):
            known = block[name][np.isfinite(block[name]) & shown]
            self._sums[name] = self._sums.get(name, 0.0) + float(known.sum())
            self._counts[name] = self._counts.get(name, 0) + len(known)
        self.frames += len(block)

    def mean(self, name: str) -> float | None:
        """Return the mean of a column over the frames that are not blank and where it is known; None without any."""
        return self._sums[name] / self._counts[name] if self._counts.get(name) else None

    def worst_frames(self) -> list[int]:
        """Return the worst frames of the `WORST` worst blurred runs, in order; without any, the least sharp frame.

        Empty if all frames are blank.
        """
        if self.frames == self.blank.frames:
            return []
        return sorted(run.worst_frame for *_, run in self.blurred.worst) or [self.least_sharp[1]]

    def describe(self, seconds: Seconds) -> dict[str, Any]:
        """Return the summary as plain JSON values; `seconds(frame)` is the start of a frame."""
        end = self.start + self.frames
        return {
            "frames": self.frames,
            "duration_seconds": _round(seconds(end) - seconds(self.start)),
            "mean_sharpness": _round(self.mean("sharpness")),
            "blurred": {
                "frames": self.blurred.frames,
                "ratio": _round(self.blurred.frames / self.frames),
                "interval_count": self.blurred.count,
                "longest": _longest(self.blurred, seconds),
                "intervals": [self._interval(run, seconds) for run in self.blurred.kept],
            },
            "frozen": {
                "frames": self.frozen.frames,
                "ratio": _round(self.frozen.frames / self.frames),
                "run_count": self.frozen.count,
                "longest": _longest(self.frozen, seconds),
                "runs": [_extent(run, seconds) for run in self.frozen.kept],
            },
            "cadence": {
                "repeated_frames": self.cadence.frames,
                "ratio": _round(self.cadence.frames / self.frames),
                "repeat_count": self.cadence.count,
                "repeats": [_extent(run, seconds) for run in self.cadence.kept],
            },
            "blank": {
                "frames": self.blank.frames,
                "ratio": _round(self.blank.frames / self.frames),
                "run_count": self.blank.count,
                "runs": [_extent(run, seconds) for run in self.blank.kept],
            },
            "cuts": {
                "count": self.cut_count,
                "frames": self.cuts,
                "seconds": [_round(seconds(cut)) for cut in self.cuts],
            },
            "motion": {"mean": _round(self.mean("motion")), "jerkiness": _round(self.mean("jerk"))},
            "exposure": {"under": _round(self.mean("under")), "over": _round(self.mean("over"))},
            "smoothness": {
                "score": _round(self.smoothness.score),
                "threshold": self.smoothness.threshold,
                "artifact_frames": self.smoothness.artifact_count,
            },
            "curve": {
                "frames_a_point": self.curve.step,
                "mean": np.round(self.curve.mean, 4).tolist(),
                "lowest": np.round(self.curve.lowest, 4).tolist(),
                "window_score": np.round(self.curve.mean_score, 4).tolist(),
                "jump": np.round(self.curve.jump, 4).tolist(),
            },
        }

    def _interval(self, run: Run, seconds: Seconds) -> dict[str, Any]:
        return {
            **_extent(run, seconds),
            "severity": run.severity,
            "ratio": _round(len(run) / self.frames),
            "drop": _round(run.drop),
            "mean_sharpness": _round(run.sharpness / len(run)),
            "confidence": _round(run.confidence),
            "worst_frame": run.worst_frame,
        }


def _extent(run: Run, seconds: Seconds) -> dict[str, Any]:
    return {
        "start": run.start,
        "stop": run.stop,
        "start_seconds": _round(seconds(run.start)),
        "stop_seconds": _round(seconds(run.stop)),
    }


def _longest(runs: Runs, seconds: Seconds) -> dict[str, Any] | None:
    run = runs.lasting_longest(seconds)
    return None if run is None else _extent(run, seconds)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
