"""Recording which filled pixels were invented because no other frame shows them: how many per frame, and where.

A record per frame and a small heat map per span are stored beside the segments, so that a resumed run reports the same.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

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

_INK, _BLUE, _GREY = "#22303c", "#1f6f9f", "#9aa7b1"
_DPI = 110
_WIDTH_IN, _CURVE_IN = 10.0, 2.2
"""Width of the picture and height of its curve, in inches."""
_DIM = 0.45
"""Brightness of the frame under the heat map."""
_COLOURS, _OPACITY = "inferno", 0.85
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
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    heat = found.heat / found.heat.max()
    share, cover = (
        cv2.resize(each.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) for each in (heat, heat > 0)
    )
    colours = 255 * matplotlib.colormaps[_COLOURS](share)[..., :3]
    opacity = _OPACITY * cover[..., None]
    mixed = (1 - opacity) * _DIM * small + opacity * colours
    save_picture(mixed.round().astype(np.uint8), path, most_width_px=_MAP_PX)


def draw_invention(
    path: Path, title: str, frame: Pixels, found: Invention, start: int, seconds: Callable[[int], float]
) -> None:
    """Draw the report's picture to `path` as PNG: `frame` `(H, W, 3)` under the heat map, and the share over time.

    `found` summarises all frames, of which `start` is the first; `seconds` maps a frame to its time.
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
        drawn = above.imshow(shown, extent=(0, width, height, 0), cmap=_COLOURS, alpha=_OPACITY, vmin=0)
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
