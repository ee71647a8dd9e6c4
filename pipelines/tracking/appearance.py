"""Appearance of an object: its moving parts, its silhouette and its colours."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.tracking.background import FrameNeighbours
from pipelines.vision.boxes import Box, Outline
from pipelines.vision.crop import Crop
from pipelines.vision.types import Pixels

Histogram = NDArray[np.float64]
"""Shares of pixels by colour bin, `(2048,)` float64, summing to 1."""

MOVING_LEVELS = 24
"""Grey levels off the background from which a pixel counts as moving: about six deviations of ordinary noise."""
SILHOUETTE_SIZE = (32, 32)
"""Width and height at which a silhouette is kept, whatever the size of its box."""

_SPECK_PX = 12
"""Smaller moving parts are noise."""
_BINS = 8 * 16 * 16
"""Of L*, a* and b*: coarse in lightness, which changes with the light."""
_CLOSING = np.ones((5, 5), np.uint8)
"""Joins parts of one object between which the background shows through."""
_SEED = 0


def moving_parts(neighbours: FrameNeighbours, crop: Crop) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Label what moves in `crop`: a label for each pixel, 0 for the background, and the area of each label."""
    moved = (neighbours.difference(crop) > MOVING_LEVELS).astype(np.uint8)
    closed = cv2.morphologyEx(moved, cv2.MORPH_CLOSE, _CLOSING)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    areas = np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32)
    areas[0] = 0
    return np.asarray(labels, np.int32), areas


def moving_mask(
    neighbours: FrameNeighbours, crop: Crop, core: Crop, colours: Histogram | None = None
) -> Outline:
    """Return the mask `(h, w)` {0, 1} of what moves in `crop` and lies mostly in `core`.

    With `colours`, parts whose pixels mostly have other colours are left out.
    """
    labels, areas = moving_parts(neighbours, crop)
    inside = np.bincount(labels[core.slices_in(crop)].ravel(), minlength=len(areas))
    kept = (areas >= _SPECK_PX) & (2 * inside >= areas)
    if colours is not None and kept.any():
        own = (colours > 0)[_colour_bins(neighbours.current.pixels[crop.slices])]
        kept &= 2 * np.bincount(labels.ravel(), own.ravel(), minlength=len(areas)) >= areas
    return kept[labels].astype(np.uint8)


def colour_histogram(pixels: Pixels, outline: Outline) -> Histogram:
    """Return the colour histogram of the pixels within an outline; all 0 if it is empty."""
    bins = _colour_bins(pixels)[outline > 0]
    return np.bincount(bins, minlength=_BINS) / max(1, len(bins))


def similarity(first: Histogram, second: Histogram) -> float:
    """Bhattacharyya coefficient of two histograms: 1 for equal ones, 0 without common colours."""
    return float(np.sqrt(first * second).sum())


def silhouette_of(outline: Outline) -> Outline:
    """Return the silhouette `SILHOUETTE_SIZE` {0, 1} of an outline that fills its box."""
    small = cv2.resize(outline * np.uint8(255), SILHOUETTE_SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(small > 127, np.uint8)


def place_silhouette(silhouette: Outline, box: Box, crop: Crop) -> Outline:
    """Return the outline in `crop` of an object with this silhouette that fills `box`."""
    x, y, width, height = box
    to_crop = np.array(
        [[width / SILHOUETTE_SIZE[0], 0, x - crop.left], [0, height / SILHOUETTE_SIZE[1], y - crop.top]]
    )
    drawn = cv2.warpAffine(silhouette * np.uint8(255), to_crop, crop.size, flags=cv2.INTER_LINEAR)
    return np.asarray(drawn > 127, np.uint8)


def fill_interior(outline: Outline) -> Outline:
    """Return an outline with its interior filled."""
    rims, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(outline), rims, -1, 1, cv2.FILLED), np.uint8)


def grab_cut(pixels: Pixels, labels: Outline, rounds: int = 3) -> Outline:
    """Segment the foreground of a crop by its colours (GrabCut, Rother et al. 2004); deterministic.

    `labels` gives each pixel one of OpenCV's four classes: certain or probable foreground or background.
    """
    foreground = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if foreground.all() or not foreground.any():
        return np.asarray(foreground, np.uint8)
    # Its Gaussian mixtures are initialised at random.
    cv2.setRNGSeed(_SEED)
    labels, no_rectangle = labels.copy(), (0, 0, 0, 0)
    cv2.grabCut(
        pixels, labels, no_rectangle, np.zeros((1, 65)), np.zeros((1, 65)), rounds, cv2.GC_INIT_WITH_MASK
    )
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.uint8)


def _colour_bins(pixels: Pixels) -> NDArray[np.intp]:
    """Histogram bin of each pixel: 8 steps of L*, 16 of a* and 16 of b*."""
    lab = cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)).astype(np.intp)
    return lab[..., 0] >> 5 << 8 | lab[..., 1] & 0xF0 | lab[..., 2] >> 4
