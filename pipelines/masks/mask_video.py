"""Masks that a job made, kept as small films: they can be watched, corrected and given back."""

from collections.abc import Generator
from contextlib import closing

import numpy as np

from pipelines.masks.resize import Pixels
from pipelines.masks.sequence import HALF_WHITE, Mask
from pipelines.stages import RunContext
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

FOLDER = "state/masks"
SUFFIX = ".mp4"
CRF = 8
"""Exact at one half of white, down to thin lines; lossless H.264 would not play in browsers."""


def read_tracked(run: RunContext, start: int, stop: int) -> Generator[Mask]:
    """The masks `(H, W)` of frames `[start, stop)`, as they were kept. Holds one, and a decoder."""
    width, height = run.video.width, run.video.height
    for span in run.spans:
        first, last = max(start, span.start), min(stop, span.stop)
        if first >= last:
            continue
        film = probe(run.folder / FOLDER / f"{span.name}{SUFFIX}")
        part = first - span.start, last - span.start
        with closing(read_frames(film, *part, decoder="pyav", luma_only=True)) as frames:
            for frame in frames:
                yield frame.luma()[:height, :width] > HALF_WHITE


def mask_to_rgb(mask: Mask) -> Pixels:
    """White where `mask` is True, `(H, W, 3)` uint8."""
    return np.repeat((mask.view(np.uint8) * np.uint8(255))[:, :, None], 3, axis=2)
