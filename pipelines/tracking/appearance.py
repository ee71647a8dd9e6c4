"""The object's outline on a frame, its form and its colours, and what moves there against the background."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.tracking.background import FrameNeighbours
from pipelines.vision.boxes import Box, Outline
from pipelines.vision.crop import Crop
from pipelines.vision.types import Pixels

Histogram = NDArray[np.float64]
"""Shares of pixels by colour, `(2048,)`, summing to 1."""

MOVING_LEVELS = 24
"""Grey levels off the background from which a pixel counts as moving; about six deviations of ordinary noise."""
SILHOUETTE_SIZE = (32, 32)

_SPECK_PX = 12
_BINS = 8 * 16 * 16
_CLOSING = np.ones((5, 5), np.uint8)
_SEED = 0


def moving_parts(neighbours: FrameNeighbours, crop: Crop) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """What moves in `crop`: a number for each pixel, 0 where nothing does, and the area of each number."""
    moved = (neighbours.difference(crop) > MOVING_LEVELS).astype(np.uint8)
    closed = cv2.morphologyEx(moved, cv2.MORPH_CLOSE, _CLOSING)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    areas = np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32)
    areas[0] = 0
    return np.asarray(labels, np.int32), areas


def moving_mask(
    neighbours: FrameNeighbours, crop: Crop, core: Crop, colours: Histogram | None = None
) -> Outline:
    """What moves in `crop` and lies mostly in `core`, as an outline of the crop's size.

    With `colours`, parts that are mostly of other ones are left out.
    """
    labels, areas = moving_parts(neighbours, crop)
    inside = np.bincount(labels[core.slices_in(crop)].ravel(), minlength=len(areas))
    kept = (areas >= _SPECK_PX) & (2 * inside >= areas)
    if colours is not None and kept.any():
        own = (colours > 0)[_colour_numbers(neighbours.current.pixels[crop.slices])]
        kept &= 2 * np.bincount(labels.ravel(), own.ravel(), minlength=len(areas)) >= areas
    return kept[labels].astype(np.uint8)


def colour_histogram(pixels: Pixels, outline: Outline) -> Histogram:
    """The colours within an outline; all 0 where it is empty."""
    numbers = _colour_numbers(pixels)[outline > 0]
    return np.bincount(numbers, minlength=_BINS) / max(1, len(numbers))


def similarity(first: Histogram, second: Histogram) -> float:
    """Bhattacharyya coefficient: 1 for the same colours, 0 for none in common."""
    return float(np.sqrt(first * second).sum())


def silhouette_of(outline: Outline) -> Outline:
    """The form of an outline that fills its box, whatever its size."""
    small = cv2.resize(outline * np.uint8(255), SILHOUETTE_SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(small > 127, np.uint8)


def place_silhouette(form: Outline, box: Box, crop: Crop) -> Outline:
    """The outline that a thing of `form` has in `crop` where it fills `box`."""
    x, y, width, height = box
    to_crop = np.array(
        [[width / SILHOUETTE_SIZE[0], 0, x - crop.left], [0, height / SILHOUETTE_SIZE[1], y - crop.top]]
    )
    drawn = cv2.warpAffine(form * np.uint8(255), to_crop, crop.size, flags=cv2.INTER_LINEAR)
    return np.asarray(drawn > 127, np.uint8)


def fill_interior(outline: Outline) -> Outline:
    """An outline with all that lies within it."""
    rims, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(outline), rims, -1, 1, cv2.FILLED), np.uint8)


def grab_cut(pixels: Pixels, labels: Outline, rounds: int = 3) -> Outline:
    """The foreground of a crop by its colours (GrabCut, Rother et al. 2004), the same each time.

    `labels` says of each pixel whether it is, probably is, probably is not or is not foreground, as OpenCV's four.
    """
    surely, maybe = labels == cv2.GC_FGD, labels == cv2.GC_PR_FGD
    foreground = surely | maybe
    if foreground.all() or not foreground.any():
        return np.asarray(foreground, np.uint8)
    # Its mixtures of colours start at random places.
    cv2.setRNGSeed(_SEED)
    labels, rest = labels.copy(), (0, 0, 0, 0)
    cv2.grabCut(pixels, labels, rest, np.zeros((1, 65)), np.zeros((1, 65)), rounds, cv2.GC_INIT_WITH_MASK)
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.uint8)


def _colour_numbers(pixels: Pixels) -> NDArray[np.intp]:
    """Each pixel's bin: 8 steps of L*, 16 of a* and 16 of b*."""
    lab = cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)).astype(np.intp)
    return lab[..., 0] >> 5 << 8 | lab[..., 1] & 0xF0 | lab[..., 2] >> 4
