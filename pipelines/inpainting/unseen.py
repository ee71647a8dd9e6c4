"""Recording which filled pixels were invented because no other frame shows them: how many per frame, and where.

A record per frame and a small heat map per span are stored beside the segments, so that a resumed run reports the same.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.drawing.chart import Box, Chart
from pipelines.drawing.panel import BLUE, INK, TITLE_PX, Panel, ticks_of, values_of
from pipelines.storage.atomic import atomic_write
from pipelines.storage.jpeg import save_picture
from pipelines.storage.span_arrays import read_arrays, save_arrays
from pipelines.vision.types import Mask, Pixels

COLUMNS = ("frame", "time_seconds", "hole_share", "invented_share")
FOLDER = "state/invented"
RECORD = np.dtype([("hole", np.int64), ("invented", np.int64)])
"""Numbers of filled and of invented pixels of a frame."""

_CHROMA = "chroma"
"""Array of the counts of chroma samples at the edge of the hole, in the files of spans whose samples were filled."""

Records = NDArray[np.void]
Heat = NDArray[np.int64]

_HEAT_PX = 320
"""Width of the heat map."""
_CURVE_POINTS = 1000
"""Most points of the curve over time, whatever the length of the video."""

_WIDTH, _HEAD, _CURVE_HEIGHT, _MOST_HEIGHT = 1100, 56, 250, 660
"""Of the report's picture, in pixels: its width, and the heights of its title, its curve and at most of the frame."""
_SIDE, _SCALE_WIDTH = 80, 100
"""Room at the sides for the scales of the curve and of the colours."""
_DIM = 0.45
"""Brightness of the frame under the heat map."""
_COLOURS, _OPACITY = cv2.COLORMAP_INFERNO, 0.85
"""Of the heat map over the frame: what is there can still be made out."""
_MAP_PX = 1280
"""Largest width of the frame under the heat map as a picture of its own: twice what the page gives it."""
_LEAST_TOP = 0.05
"""Smallest upper end of the curve's axis, so that tiny shares do not look large."""


def record_path(folder: Path, span_name: str) -> Path:
    """Return the path of a span's records in the job folder."""
    return folder / FOLDER / f"{span_name}.npz"


class Recorder:
    """Collects the records of one span. Holds 16 bytes per frame and the heat map."""

    def __init__(self, width: int, height: int) -> None:
        scale = min(1.0, _HEAT_PX / width)
        self._size = (max(1, round(width * scale)), max(1, round(height * scale)))
        self._records: list[tuple[int, int]] = []
        self._heat: Heat = np.zeros(self._size[::-1], np.int64)
        self._chroma: list[int] = []

    def add(self, mask: Mask, invented: Mask, chroma: int | None = None) -> None:
        """Add the next frame: its filled pixels `mask` and its `invented` ones, `(H, W)` bool each.

        `chroma` counts the chroma samples that stand for filled and unfilled pixels, where samples were filled.
        """
        if chroma is not None:
            self._chroma.append(chroma)
        count = int(np.count_nonzero(invented))
        self._records.append((int(np.count_nonzero(mask)), count))
        if count:
            shade = invented.view(np.uint8) * np.uint8(255)
            self._heat += cv2.resize(shade, self._size, interpolation=cv2.INTER_AREA).astype(np.int64)

    def save(self, path: Path) -> None:
        """Write the span's file, complete or absent."""
        arrays = {"records": np.array(self._records, RECORD), "heat": self._heat}
        if self._chroma:
            arrays[_CHROMA] = np.array(self._chroma, np.int64)
        save_arrays(path, arrays)


def chroma_at_edges(paths: Iterable[Path]) -> int:
    """Count the chroma samples, of one plane, of the spans at `paths` that stand for filled and unfilled pixels."""
    return sum(int(read_arrays(path, _CHROMA)[0].sum()) for path in paths)


@dataclass
class Invention:
    """Summary over all frames: how much was filled, how much of that was invented, where, and when."""

    frames: int
    pixels: int
    filled: int = 0
    invented: int = 0
    frames_filled: int = 0
    frames_invented: int = 0
    worst_frame: int | None = None
    worst_share: float = 0.0
    heat: Heat | None = None

    def __post_init__(self) -> None:
        self._step = max(1, -(-self.frames // _CURVE_POINTS))
        self._curve = np.zeros((-(-self.frames // self._step), 2), np.int64)

    @property
    def share(self) -> float:
        """Share of all filled pixels that was invented."""
        return self.invented / self.filled if self.filled else 0.0

    def curve(self) -> list[tuple[int, float]]:
        """Return (first frame, share) of at most 1,000 equal stretches, counted from the first computed frame."""
        hole, invented = self._curve.T
        shares = invented / np.maximum(hole, 1)
        return [(i * self._step, round(float(share), 4)) for i, share in enumerate(shares)]

    def watch(self, paths: Iterable[Path]) -> Iterator[Records]:
        """Yield the records of each span, in order, and add them to the summary. Holds one span's."""
        at = 0
        for path in paths:
            records, heat = read_arrays(path, "records", "heat")
            self._take(records, at)
            self.heat = heat if self.heat is None else self.heat + heat
            at += len(records)
            yield records

    def _take(self, records: Records, at: int) -> None:
        hole, invented = records["hole"], records["invented"]
        self.filled += int(hole.sum())
        self.invented += int(invented.sum())
        self.frames_filled += int(np.count_nonzero(hole))
        self.frames_invented += int(np.count_nonzero(invented))
        shares = invented / np.maximum(hole, 1)
        if shares.max(initial=0) > self.worst_share:
            self.worst_frame, self.worst_share = at + int(shares.argmax()), float(shares.max())
        points = (np.arange(len(records)) + at) // self._step
        np.add.at(self._curve, points, np.stack([hole, invented], axis=1))

    def describe(self, start: int, seconds: Callable[[int], float]) -> dict[str, Any]:
        """Return the summary as it stands in a report; `start` is the first computed frame of the video."""
        worst = None if self.worst_frame is None else start + self.worst_frame
        return {
            "frames": self.frames,
            "frames_filled": self.frames_filled,
            "frames_invented": self.frames_invented,
            "mean_hole_share": round(self.filled / (self.frames * self.pixels), 6),
            "mean_invented_share": round(self.share, 6),
            "worst_frame": worst,
            "worst_invented_share": round(self.worst_share, 6),
            "invented_curve": [(round(seconds(start + i), 3), share) for i, share in self.curve()],
        }


def write_table(
    path: Path, spans: Iterable[Records], start: int, pixels: int, seconds: Callable[[int], float]
) -> None:
    """Write one row per frame as the spans arrive; fixed decimals, so that equal runs give equal bytes."""
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        frame = start
        for records in spans:
            for hole, invented in records.tolist():
                share = invented / hole if hole else 0.0
                table.writerow((frame, f"{seconds(frame):.6f}", f"{hole / pixels:.6f}", f"{share:.6f}"))
                frame += 1


def save_heat_map(path: Path, frame: Pixels, found: Invention) -> None:
    """Save `frame` `(H, W, 3)` uint8 under the heat map as a JPEG, without axes and words: brighter is more often.

    Raises ValueError if nothing was invented.
    """
    if found.heat is None or not found.heat.any():
        raise ValueError("nothing was invented")
    height, width = frame.shape[:2]
    scale = min(1.0, _MAP_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    save_picture(_under_heat(frame, found.heat, size), path, most_width_px=_MAP_PX)


def draw_invention(
    path: Path, title: str, frame: Pixels, found: Invention, start: int, seconds: Callable[[int], float]
) -> None:
    """Draw the report's picture to `path` as PNG: `frame` `(H, W, 3)` under the heat map, and the share over time.

    `found` summarises all frames, of which `start` is the first; `seconds` maps a frame to its time.
    """
    height, width = frame.shape[:2]
    scale = min((_WIDTH - 2 * _SIDE - _SCALE_WIDTH) / width, _MOST_HEIGHT / height)
    shown = (max(1, round(width * scale)), max(1, round(height * scale)))
    chart = Chart(_WIDTH, _HEAD + shown[1] + _CURVE_HEIGHT)
    headline = f"{100 * found.share:.1f} % of what was filled is shown by no other frame"
    chart.text(f"{title}   ·   {headline}", _SIDE // 4, 14, INK, size_px=TITLE_PX, anchor="la")
    left = (_WIDTH - shown[0]) // 2
    most = 0.0
    if found.heat is not None and found.heat.any():
        most = found.heat.max() / (255 * found.frames)
        picture = _under_heat(frame, found.heat, shown)
        _draw_scale(chart, Box(left + shown[0] + 14, _HEAD, left + shown[0] + 30, _HEAD + shown[1]), most)
    else:
        picture = (cv2.resize(frame, shown, interpolation=cv2.INTER_AREA) * _DIM).astype(np.uint8)
    chart.picture(picture, left, _HEAD)

    points = found.curve()
    times, shares = [seconds(start + index) for index, _ in points], [share for _, share in points]
    top = min(1.0, 1.1 * max(_LEAST_TOP, *shares))
    below = Box(_SIDE, _HEAD + shown[1] + 30, _WIDTH - _SIDE, _HEAD + shown[1] + _CURVE_HEIGHT - 57)
    panel = Panel(chart, below, times[0], times[-1], top)
    panel.scales(ticks_of(panel.start, panel.stop), "time in the video (s)")
    chart.text("invented share", 12, (below.top + below.bottom) / 2, INK, anchor="lm", turned=True)
    panel.area(times, shares, BLUE, 0.35)
    panel.curve(times, shares, BLUE, width_px=1, dotted=len(times) < 4)
    chart.save(path)


def _draw_scale(chart: Chart, box: Box, most: float) -> None:
    """Draw which colour of the heat map is which share of all frames, up to `most`."""
    ramp = np.linspace(1, 0, int(box.height), dtype=np.float32)[:, None]
    chart.picture(np.repeat(_coloured(ramp), int(box.width), axis=1), int(box.left), int(box.top))
    for value, words in values_of(most):
        chart.text(words, box.right + 6, box.bottom - value / most * box.height, INK, anchor="lm")
    chart.text(
        "share of all frames", box.right + 62, (box.top + box.bottom) / 2, INK, anchor="lm", turned=True
    )


def _under_heat(frame: Pixels, heat: Heat, size: tuple[int, int]) -> Pixels:
    """Return `frame` resized to `size` (width, height) and dimmed, under the colours of `heat`."""
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if size != frame.shape[1::-1] else frame
    share, cover = (
        cv2.resize(each.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        for each in (heat / heat.max(), heat > 0)
    )
    opacity = _OPACITY * cover[..., None]
    mixed = (1 - opacity) * _DIM * small + opacity * _coloured(share)
    picture: Pixels = mixed.round().astype(np.uint8)
    return picture


def _coloured(share: NDArray[Any]) -> Pixels:
    """Return the colours `(H, W, 3)` of shares of the most, `(H, W)` in [0, 1]."""
    return cv2.applyColorMap((255 * share).round().astype(np.uint8), _COLOURS)[..., ::-1].astype(np.uint8)
