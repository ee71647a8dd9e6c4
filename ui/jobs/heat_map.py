"""The photograph of a removal's picture, under the map of what was generated, without the chart on white below it.

The page draws the chart itself, in its colours and the visitor's language; the whole picture is among the files.
"""

from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.storage.atomic import atomic_write

_DARK = 150
"""Pixels below this are the photograph, which is dimmed to less than half, or ink; the chart's areas are lighter."""
_ROW, _COLUMN = 0.12, 0.3
"""The shares of a row and a column that are dark where the photograph, if narrow or under a bright map, crosses it."""
_LEAST_ROWS = 24
"""Fewer dark rows than these are a line of text."""


def heat_map(picture: Path) -> Path:
    """Write the photograph beside `picture` and return its path; `picture` itself where it has none."""
    target = picture.with_name(f"{picture.stem}_map.png")
    if target.exists():
        return target
    with Image.open(picture) as whole:
        dark = np.asarray(whole.convert("L")) < _DARK
        rows = [run for run in _runs(dark.mean(axis=1) > _ROW) if run[1] - run[0] >= _LEAST_ROWS]
        if not rows:
            return picture
        top, bottom = rows[0][0], rows[-1][1]
        columns = _runs(dark[top:bottom].mean(axis=0) > _COLUMN)
        if not columns:
            return picture
        # Beside the photograph stands the scale of the map's colours, which is narrower.
        left, right = max(columns, key=lambda run: run[1] - run[0])
        with atomic_write(target) as part:
            whole.crop((left, top, right, bottom)).save(part, "PNG")
    return target


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and stop of each stretch of true flags."""
    found, at = [], 0
    for is_true, run in groupby(flags.tolist()):
        length = len(list(run))
        if is_true:
            found.append((at, at + length))
        at += length
    return found
