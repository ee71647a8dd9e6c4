"""What is shaded in a chart of the sharpness, read from its pixels."""

import numpy as np

from pipelines.drawing.chart import Chart
from pipelines.drawing.panel import SOFT_INK
from pipelines.scoring.report import chart

PLACE = chart._place(chart._HEAD, chart._PANELS[0], "")


def shaded(picture: Chart) -> list[tuple[float, float]]:
    """Where shading begins and ends, as shares of the chart; the lines of cuts are none."""
    left, right, bottom = int(PLACE.left) + 2, int(PLACE.right), int(PLACE.bottom)
    rows = picture.pixels[bottom - 16 : bottom - 4, left:right].astype(int)
    grey = np.ptp(rows, axis=2) < 0.25 * (255 - rows.min(axis=2)) + 1
    ink = np.frombuffer(bytes.fromhex(SOFT_INK[1:]), np.uint8)
    cut = (np.abs(rows - ink).max(axis=2) < 60).any(axis=0)
    is_shaded = (~grey).any(axis=0) & ~cut
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_shaded, [False]]).astype(int)))
    return [(float(a) / (right - left), float(b) / (right - left)) for a, b in edges.reshape(-1, 2)]
