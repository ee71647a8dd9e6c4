"""Motion without trembling: a Kalman smoother over a whole sequence of numbers.

Each number walks at random (variance `WALK` a frame) and is seen with noise. Gains do not depend on the numbers, so all
of them are smoothed together (Rauch, Tung and Striebel 1965).
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.animation.keypoints import Floats

WALK = 1e-5


def smooth(seen: Floats, variance: float) -> Floats:
    """`seen` (T, ...), smoothed over all frames; `variance` is that of the noise. Holds `seen` in float64."""
    gains, backward = _gains(len(seen), variance)
    means: NDArray[np.float64] = seen.astype(np.float64)
    for t in range(1, len(means)):
        means[t] = means[t - 1] + gains[t] * (means[t] - means[t - 1])
    for t in range(len(means) - 2, -1, -1):
        # What was expected of the next frame is what is known of this one.
        means[t] += backward[t] * (means[t + 1] - means[t])
    return means.astype(np.float32)


def _gains(frames: int, variance: float) -> tuple[list[float], list[float]]:
    """How far each frame is believed against those before it, and against those after it."""
    gains, backward, uncertainty = [], [], 1.0
    for _ in range(frames):
        gain = uncertainty / (uncertainty + variance)
        after = (1 - gain) * uncertainty
        uncertainty = after + WALK
        gains.append(gain)
        backward.append(after / uncertainty)
    return gains, backward
