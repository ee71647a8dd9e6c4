"""Sharpness of one picture: how narrow its edges are, where it has any.

In each block of the picture an edge is as narrow as its strongest curvature (Laplacian) is large beside what the
block spans: its range, and its mean gradient. The ratio does not know the contrast, so it compares pictures; blocks
without contrast (sky, a defocused background) do not vote. What sensor noise adds to the curvature is taken out.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]

BLOCK_ROWS = 8
"""Blocks are squares of an eighth of the height, so that the picture's size does not matter."""
VOTING_SHARE = 0.4
"""This share of the blocks votes, those that span most."""
_CURVATURE_STEP = 8  # a byte then holds the strongest
_CURVATURE_GAIN = 80**0.5  # of white noise, through the Laplacian of aperture 3
_NOISE_PEAK = 3.3  # the most of a block's noise, in deviations
_NOISE_KERNEL = np.array([1, -2, 1], np.float32)  # applied both ways: blind to edges and slopes
_NOISE_GAIN = 6 * 0.6745  # median of its magnitude over the deviation of white noise
_NOISE_BANDS = 3
_MOST_GRADIENT = 2 * 255
_FAINT = 0.05  # grey levels a block's mean gradient has at least: a blank picture is not sharp


def sharpness(luma: Luma, noise: float) -> float:
    """Higher = sharper, 0 (nothing but noise) to 1 (nothing but points).

    Args:
        luma: full-range luma `(H, W)` uint8, both sides 16 or more.
        noise: deviation of the noise, grey levels.
    """
    block = max(4, min(luma.shape) // BLOCK_ROWS)
    curvature = np.abs(cv2.Laplacian(luma, cv2.CV_16S, ksize=3))
    peak = _block_max(curvature, block)
    peak = np.sqrt(np.maximum(peak**2 - (_NOISE_PEAK * _CURVATURE_GAIN * noise) ** 2, 0)) / 4
    span = _block_max(luma, block) - _block_min(luma, block)
    framed = cv2.copyMakeBorder(luma, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    across = cv2.absdiff(framed[1:-1, 2:], framed[1:-1, :-2])
    down = cv2.absdiff(framed[2:, 1:-1], framed[:-2, 1:-1])
    gradient = _block_mean(np.add(across, down, dtype=np.uint16), block)
    ranked = np.sort(span, axis=None)
    votes = span >= ranked[int((1 - VOTING_SHARE) * (ranked.size - 1))]
    strength = (float(span[votes].sum()) * float((gradient[votes] + _FAINT).sum())) ** 0.5
    ratio = float(peak[votes].sum()) / strength if strength else 0.0
    return ratio / (1 + ratio)


def noise_deviation(luma: Luma) -> float:
    """Deviation of the noise in grey levels, from the median response of a kernel blind to edges.

    Looks at three bands of rows; flat clipped pictures give 0.
    """
    height, width = luma.shape
    band = max(3, height // (8 * _NOISE_BANDS))
    each = height // _NOISE_BANDS
    start = (each - band) // 2
    bands = luma[: each * _NOISE_BANDS].reshape(_NOISE_BANDS, each, width)[:, start : start + band]
    response = cv2.sepFilter2D(bands.reshape(-1, width), cv2.CV_16S, _NOISE_KERNEL, _NOISE_KERNEL)
    # The first and last row of a band saw the band beside it.
    inner = response.reshape(_NOISE_BANDS, band, width)[:, 1:-1].reshape(-1, width)
    counts = cv2.calcHist([cv2.convertScaleAbs(inner)], [0], None, [256], [0, 256]).ravel()
    return _median(counts.astype(np.float64)) / _NOISE_GAIN


def _median(counts: NDArray[np.float64]) -> float:
    """Median of whole numbers given by their counts, each spread evenly over its unit; 0 if most are 0."""
    below = np.cumsum(counts)
    middle = below[-1] / 2
    value = int(np.searchsorted(below, middle))
    if value == 0:
        return 0.0
    return value - 0.5 + float((middle - below[value - 1]) / counts[value])


def _blocks(picture: NDArray[Any], size: int) -> NDArray[Any]:
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    return picture[: rows * size, : columns * size].reshape(rows, size, columns * size)


def _block_max(picture: NDArray[Any], size: int) -> NDArray[np.float32]:
    tall = _blocks(picture, size).max(axis=1)
    found: NDArray[np.float32] = tall.reshape(len(tall), -1, size).max(axis=2).astype(np.float32)
    return found


def _block_min(picture: NDArray[Any], size: int) -> NDArray[np.float32]:
    tall = _blocks(picture, size).min(axis=1)
    found: NDArray[np.float32] = tall.reshape(len(tall), -1, size).min(axis=2).astype(np.float32)
    return found


def _block_mean(picture: NDArray[np.uint16], size: int) -> NDArray[np.float32]:
    narrow = size <= np.iinfo(np.uint16).max // _MOST_GRADIENT  # twice as fast where the sums fit
    tall = _blocks(picture, size).sum(axis=1, dtype=np.uint16 if narrow else np.uint32)
    found: NDArray[np.float32] = tall.reshape(len(tall), -1, size).mean(axis=2, dtype=np.float32) / size
    return found
