"""The report as one picture: where the fill was invented, and when."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipelines.inpainting.unseen import Invention
from pipelines.vision.types import Pixels

_INK, _BLUE, _GREY = "#22303c", "#1f6f9f", "#9aa7b1"
_DPI = 110
_WIDTH_IN = 10.0
_CURVE_IN = 2.2
_DIM = 0.45
_LEAST_TOP = 0.05


def draw_invention(
    path: Path, title: str, frame: Pixels, found: Invention, start: int, seconds: Callable[[int], float]
) -> None:
    """Draw to `path` as PNG: `frame` (H, W, 3) with what was invented over it, and the share of it over time.

    `found` is of all frames, of which `start` is the first; `seconds` tells when a frame begins.
    """
    height, width = frame.shape[:2]
    picture_in = min(6.0, (_WIDTH_IN - 1) * height / width)
    figure = Figure(
        figsize=(_WIDTH_IN, picture_in + _CURVE_IN + 0.8), dpi=_DPI, layout="constrained", facecolor="white"
    )
    above, below = figure.subplots(2, 1, height_ratios=[picture_in, _CURVE_IN])
    headline = f"{100 * found.share:.1f} % of what was filled is shown by no other frame"
    figure.suptitle(f"{title}   ·   {headline}", x=0.012, ha="left", fontsize=11, color=_INK)
    above.imshow((frame * _DIM).astype(np.uint8), extent=(0, width, height, 0))
    if found.heat is not None and found.heat.any():
        share = found.heat / (255 * found.frames)
        shown = np.ma.masked_equal(share, 0)
        drawn = above.imshow(shown, extent=(0, width, height, 0), cmap="inferno", alpha=0.85, vmin=0)
        figure.colorbar(drawn, ax=above, label="share of all frames", fraction=0.03)
    above.set_axis_off()
    points = found.curve()
    times = [seconds(start + index) for index, _ in points]
    below.fill_between(times, [share for _, share in points], color=_BLUE, alpha=0.35, linewidth=0)
    below.plot(times, [share for _, share in points], color=_BLUE, linewidth=1.1)
    top = max(_LEAST_TOP, *(share for _, share in points))
    below.set(xlabel="time in the video (s)", ylabel="invented share", ylim=(0, min(1.0, 1.1 * top)))
    below.set_xlim(times[0], max(times[-1], times[0] + 1e-3))
    below.spines[["top", "right"]].set_visible(False)
    below.spines[["left", "bottom"]].set_color(_GREY)
    # No date and no version inside: equal runs give equal bytes.
    figure.savefig(path, format="png", metadata={"Software": None})
