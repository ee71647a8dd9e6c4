"""Prepass that measures every driving frame for cuts: 60 bytes per frame, kept span by span."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.inputs import InputMedia, read_frames_of
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.video.reader import Frame
from pipelines.vision.dissolves import REACH, Dissolve, find_dissolves, without_overlaps
from pipelines.vision.shots import (
    CONTEXT,
    GRID,
    MIN_SIDE,
    SMALL_WIDTH,
    find_cuts,
    find_jumps,
    find_zoom_cuts,
    flow_back,
    largest_step,
    residual,
    thumbnail,
    zoom_step,
)
from pipelines.vision.types import Pixels

FOLDER, SUFFIX = "state/shots", ".npy"
"""Folder in the job's folder, one file per span."""
ROW = np.dtype(
    [("residual", np.float32), ("zoom", np.float32), ("step", np.float32), ("grid", np.uint8, GRID)]
)
Rows = NDArray[np.void]
"""`(frames,)` of `ROW`: what `vision.shots` needs of each frame."""
Grid = NDArray[np.uint8]

_MOST_SHOTS = 100_000
"""Cuts that are kept in memory; a video with more is followed over the later ones as one shot."""


class ShotStage(OneFile):
    """Measurements of the driving frames by which its cuts are found."""

    name = "shots"
    folder = FOLDER
    suffix = SUFFIX

    def __init__(self, driving: InputMedia) -> None:
        self._driving = driving

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Rows]:
        """Yield a row of `ROW` for each of the frames `[start, stop)`. Reads one frame before them."""
        before: Pixels | None = None
        with closing(read_frames_of(run, self._driving, max(run.frames.start, start - 1), stop)) as frames:
            for frame in frames:
                now = _small(frame)
                if frame.index >= start:
                    yield _measure(now, before)
                before = now

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a `.npy` of `ROW`, `(frames,)`."""
        return RowSink[Rows, Rows](path, rows_of(ROW), row=lambda row: row)

    def preview(self, item: Rows) -> Pixels | None:
        """Show nothing."""
        return None

    def value(self, item: Rows) -> float | None:
        """Draw no curve."""
        return None


@dataclass(frozen=True, eq=False)
class Shots:
    """Shots of a driving video, in order, and the dissolves between them; thumbnails of the first and last frames."""

    spans: tuple[Span, ...]
    edges: tuple[tuple[Grid, Grid], ...]
    mixed: tuple[bool, ...]
    """Whether it is no shot, but the dissolve from one to another."""


def read_shots(run: RunContext) -> Shots:
    """Find cuts and dissolves in the rows of all frames. Holds those of one span, and a hundred bytes per shot."""
    cuts, dissolves = _find(run)
    mixed = {dissolve.start: dissolve.stop for dissolve in dissolves}
    cuts = [cut for cut in cuts if not any(each.start < cut < each.stop for each in dissolves)]
    edges = sorted({run.frames.start, *cuts, *mixed, *mixed.values()} - {run.frames.stop})
    spans = [Span(*pair) for pair in pairwise([*edges, run.frames.stop])]
    wanted = iter(sorted({index for span in spans for index in (span.start, span.stop - 1)}))
    grids: dict[int, Grid] = {}
    base = run.frames.start
    index = next(wanted, None)
    for rows in read_rows(run):
        while index is not None and index < base + len(rows):
            grids[index] = rows["grid"][index - base].copy()
            index = next(wanted, None)
        base += len(rows)
    return Shots(
        tuple(spans),
        tuple((grids[span.start], grids[span.stop - 1]) for span in spans),
        tuple(span.start in mixed for span in spans),
    )


def _find(run: RunContext) -> tuple[list[int], list[Dissolve]]:
    """Find the first frames of shots after a cut, and the dissolves."""
    context = max(CONTEXT, REACH)
    cuts: list[int] = []
    dissolves: list[Dissolve] = []
    cluster: list[Dissolve] = []
    held, base, done = np.zeros(0, ROW), run.frames.start, run.frames.start
    for rows, final in _with_final(read_rows(run)):
        held = np.concatenate((held, rows))
        ready = base + len(held) - (0 if final else context)
        if ready <= done:
            continue
        found = (
            find_cuts(held["grid"], held["residual"])
            | find_zoom_cuts(held["zoom"])
            | find_jumps(held["step"])
        )
        at = np.flatnonzero(found[done - base : ready - base]) + done
        cuts += at[: _MOST_SHOTS - len(cuts)].tolist()
        for each in find_dissolves(held["grid"], held["residual"], done - base, ready - base):
            moved = Dissolve(base + each.start, base + each.stop, each.evidence)
            if dissolves and moved.start < dissolves[-1].stop:
                continue
            if cluster and moved.start > max(other.stop for other in cluster):
                dissolves += without_overlaps(cluster)
                cluster = []
            cluster.append(moved)
        keep = max(base, ready - context)
        held, base, done = held[keep - base :].copy(), keep, ready
    return cuts, (dissolves + without_overlaps(cluster))[:_MOST_SHOTS]


def read_rows(run: RunContext) -> Iterator[Rows]:
    """Yield the rows of each span, in order. Holds one span's."""
    for span in run.spans:
        yield read_array(run.folder / FOLDER / f"{span.name}{SUFFIX}")


def _with_final(blocks: Iterator[Rows]) -> Iterator[tuple[Rows, bool]]:
    """Pair each block with whether it is the last."""
    block = next(blocks, None)
    while block is not None:
        following = next(blocks, None)
        yield block, following is None
        block = following


def _small(frame: Frame) -> Pixels:
    """Return the luma of a frame, small, no side shorter than `MIN_SIDE`."""
    luma = frame.luma(SMALL_WIDTH)
    height, width = (max(MIN_SIDE, side) for side in luma.shape)
    if (height, width) == luma.shape:
        return luma
    return cv2.resize(luma, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _measure(now: Pixels, before: Pixels | None) -> Rows:
    row = np.zeros((), ROW)
    row["grid"] = thumbnail(now)
    row["residual"] = row["step"] = np.nan
    if before is not None:
        flow = flow_back(now, before)
        row["residual"], row["zoom"] = residual(now, before, flow), zoom_step(flow)
        row["step"] = largest_step(flow)
    return row
