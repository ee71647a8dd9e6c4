"""Smoothing of motion: a Kalman smoother over a whole sequence of numbers.

Each number is a random walk (variance `WALK` per frame), observed with noise. Gains do not depend on the values, so
all numbers are smoothed together (Rauch, Tung and Striebel 1965).
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.animation.motion.keypoints import Floats

WALK = 1e-5
"""Variance of the random walk per frame, as in the published system."""

Doubles = NDArray[np.float64]
Gains = tuple[float, float]
"""Gain of the filter forward, and of the smoother backward."""

_DOUBLE_BYTES = 8


def smooth(values: Floats, variance: float) -> Floats:
    """Smooth `values` (T, ...) over all frames; `variance` is that of the noise. Holds a float64 copy."""
    means: NDArray[np.float64] = values.astype(np.float64)
    gains = list(islice(_gains(variance), len(means)))
    for t in range(1, len(means)):
        means[t] = means[t - 1] + gains[t][0] * (means[t] - means[t - 1])
    for t in range(len(means) - 2, -1, -1):
        # The filter predicts the next frame to equal this one.
        means[t] += gains[t][1] * (means[t + 1] - means[t])
    return means.astype(np.float32)


def smooth_file(blocks: Iterable[Floats], variance: float, path: Path) -> None:
    """Smooth a sequence of any length into a file, block by block: (n, width) each, in order.

    `path` becomes a file of float64 rows, `width` smoothed numbers and a gain of the smoother, which `read_smoothed`
    drops. Holds one block.
    """
    sizes, width = [], 0
    with path.open("w+b") as file:
        previous, gains = None, _gains(variance)
        for block in blocks:
            rows, previous = _forward(block, previous, gains)
            file.write(rows.tobytes())
            sizes.append(len(rows))
            width = rows.shape[1]
        later = None
        for at, size in reversed(list(zip(accumulate(sizes, initial=0), sizes, strict=False))):
            file.seek(at * width * _DOUBLE_BYTES)
            rows = np.fromfile(file, np.float64, size * width).reshape(size, width)
            later = _backward(rows, later)
            file.seek(at * width * _DOUBLE_BYTES)
            file.write(rows.tobytes())


def read_smoothed(path: Path, width: int, start: int, stop: int) -> Floats:
    """Read rows `[start, stop)` of a file by `smooth_file`, (N, width)."""
    columns = width + 1
    rows = np.fromfile(path, np.float64, (stop - start) * columns, offset=start * columns * _DOUBLE_BYTES)
    return rows.reshape(-1, columns)[:, :width].astype(np.float32)


def _forward(block: Floats, previous: Doubles | None, gains: Iterator[Gains]) -> tuple[Doubles, Doubles]:
    """Filter a block: estimates from the past and the backward gain of each frame; returns the last estimate, too."""
    rows = np.empty((len(block), block.shape[1] + 1), np.float64)
    means = rows[:, :-1]
    means[:] = block
    for t in range(len(block)):
        gain, rows[t, -1] = next(gains)
        previous_mean = previous if t == 0 else means[t - 1]
        if previous_mean is not None:
            means[t] = previous_mean + gain * (means[t] - previous_mean)
    return rows, means[-1].copy()


def _backward(rows: Doubles, later: Doubles | None) -> Doubles:
    """Smooth the rows of a block in place, given the first estimate of the next block; returns its own first."""
    means = rows[:, :-1]
    for t in range(len(rows) - 1, -1, -1):
        next_mean = later if t == len(rows) - 1 else means[t + 1]
        if next_mean is not None:
            means[t] += rows[t, -1] * (next_mean - means[t])
    first: Doubles = means[0].copy()
    return first


def _gains(variance: float) -> Iterator[Gains]:
    """Yield the gains of one frame after the other."""
    uncertainty = 1.0
    while True:
        gain = uncertainty / (uncertainty + variance)
        next_mean = (1 - gain) * uncertainty
        uncertainty = next_mean + WALK
        yield gain, next_mean / uncertainty
