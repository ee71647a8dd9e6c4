"""Masks that a job computed, stored as small videos: they can be watched, corrected and used as input again."""

from collections.abc import Generator
from contextlib import closing

import numpy as np

from pipelines.masks.sequence import HALF_WHITE
from pipelines.stages import RunContext
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.vision.types import Mask, Pixels

FOLDER = "state/masks"
SUFFIX = ".mp4"
CRF = 8
"""H.264 quality at which thresholding at one half of white restores even thin lines exactly.

Lossless H.264 would not play in browsers.
"""


def read_tracked(run: RunContext, start: int, stop: int) -> Generator[Mask]:
    """Yield the stored masks `(H, W)` of frames `[start, stop)`. Holds one mask and a decoder."""
    width, height = run.video.width, run.video.height
    for span in run.spans:
        first, last = max(start, span.start), min(stop, span.stop)
        if first >= last:
            continue
        video = probe(run.folder / FOLDER / f"{span.name}{SUFFIX}")
        within = first - span.start, last - span.start
        with closing(read_frames(video, *within, decoder="pyav", luma_only=True)) as frames:
            for frame in frames:
                yield frame.luma()[:height, :width] > HALF_WHITE


def mask_to_rgb(mask: Mask) -> Pixels:
    """Return a picture `(H, W, 3)` uint8, white where `mask` `(H, W)` is True and black elsewhere."""
    return np.repeat((mask.view(np.uint8) * np.uint8(255))[:, :, None], 3, axis=2)
