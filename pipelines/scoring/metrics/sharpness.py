"""Sharpness of one picture: how narrow its edges are.

In each block the strongest curvature (Laplacian) is divided by the block's range and mean gradient: the larger the
ratio, the narrower the edge. The ratio does not depend on contrast, so it is comparable between pictures. Only blocks
with contrast vote, not sky or a defocused background. The share of sensor noise in the curvature is subtracted.

Of the usual measures, compared on seven clips with synthetic blur, edge width ranked blurred frames best (AUC 0.96, the
next 0.91).
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]

BLOCK_ROWS = 8
"""Blocks are squares of an eighth of the shorter side, so that the size of the picture does not matter."""
VOTING_SHARE = 0.4
"""Share of the blocks that vote: those with the largest range."""
_CURVATURE_GAIN = 80**0.5
"""Gain of the 3 x 3 Laplacian on white noise (root of the sum of its squared coefficients)."""
_NOISE_PEAK = 3.3
"""Largest noise value to be expected in a block, in standard deviations."""
_NOISE_KERNEL = np.array([1, -2, 1], np.float32)
"""Applied along both axes it does not respond to edges and slopes (Immerkaer, 1996)."""
_NOISE_GAIN = 6 * 0.6745
"""Median magnitude of the kernel's response to white noise of deviation 1."""
_NOISE_BANDS = 3
_MAX_GRADIENT = 2 * 255
_LEAST_COARSE = 1.0
"""Added to the coarse structure, in squared grey levels, so that a blank picture does not count as detailed."""
_MIN_GRADIENT = 0.05
"""Added to a block's mean gradient, in grey levels, so that a blank picture does not count as sharp."""


def sharpness(luma: Luma, noise: float) -> float:
    """Measure sharpness from 0 (only noise) to 1 (only single points); higher is sharper.

    Args:
        luma: full-range luma `(H, W)` uint8, both sides 16 or more.
        noise: standard deviation of the noise, grey levels.
    """
    block = max(4, min(luma.shape) // BLOCK_ROWS)
    curvature = np.abs(cv2.Laplacian(luma, cv2.CV_16S, ksize=3))
    peak = _block_max(curvature, block)
    peak = np.sqrt(np.maximum(peak**2 - (_NOISE_PEAK * _CURVATURE_GAIN * noise) ** 2, 0)) / 4
    contrast = _block_max(luma, block) - _block_min(luma, block)
    padded = cv2.copyMakeBorder(luma, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    across = cv2.absdiff(padded[1:-1, 2:], padded[1:-1, :-2])
    down = cv2.absdiff(padded[2:, 1:-1], padded[:-2, 1:-1])
    gradient = _block_mean(np.add(across, down, dtype=np.uint16), block)
    ranked = np.sort(contrast, axis=None)
    votes = contrast >= ranked[int((1 - VOTING_SHARE) * (ranked.size - 1))]
    strength = (float(contrast[votes].sum()) * float((gradient[votes] + _MIN_GRADIENT).sum())) ** 0.5
    ratio = float(peak[votes].sum()) / strength if strength else 0.0
    return ratio / (1 + ratio)


def detail(reduced: Luma, small: Luma) -> float:
    """Measure how strong the structure of few pixels is in comparison with that of many, in the same picture.

    Unlike `sharpness` it depends on what is shown, so it only compares frames of a shot; there a blur lowers it by more
    than compression and noise vary it: on encoded clips by 34 standard deviations (median), `sharpness` by 22.

    Args:
        reduced: luma at half the width or at a quarter, uint8: structure of two pixels or of four.
        small: the same at a fifth of the width or less.
    """
    fine = cv2.norm(cv2.Laplacian(reduced, cv2.CV_16S, ksize=1), cv2.NORM_L2SQR) / reduced.size
    across = cv2.norm(small[:, 1:], small[:, :-1], cv2.NORM_L2SQR) / small.size
    down = cv2.norm(small[1:], small[:-1], cv2.NORM_L2SQR) / small.size
    return float((fine / (across + down + _LEAST_COARSE)) ** 0.5)


def noise_deviation(luma: Luma) -> float:
    """Estimate the noise (standard deviation, grey levels) from the median response of an edge-blind kernel.

    Samples three bands of rows, which is faster than the whole picture. Flat clipped pictures give 0.
    """
    height, width = luma.shape
    band = max(3, height // (8 * _NOISE_BANDS))
    each = height // _NOISE_BANDS
    start = (each - band) // 2
    bands = luma[: each * _NOISE_BANDS].reshape(_NOISE_BANDS, each, width)[:, start : start + band]
    response = cv2.sepFilter2D(bands.reshape(-1, width), cv2.CV_16S, _NOISE_KERNEL, _NOISE_KERNEL)
    # The responses in the first and last row of a band mix in the neighbouring band.
    inner = response.reshape(_NOISE_BANDS, band, width)[:, 1:-1].reshape(-1, width)
    counts = cv2.calcHist([cv2.convertScaleAbs(inner)], [0], None, [256], [0, 256]).ravel()
    return _median(counts.astype(np.float64)) / _NOISE_GAIN


def _median(counts: NDArray[np.float64]) -> float:
    """Compute the median of integers from their histogram, interpolated within a bin; 0 if most are 0."""
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
    columns = _blocks(picture, size).max(axis=1)
    found: NDArray[np.float32] = columns.reshape(len(columns), -1, size).max(axis=2).astype(np.float32)
    return found


def _block_min(picture: NDArray[Any], size: int) -> NDArray[np.float32]:
    columns = _blocks(picture, size).min(axis=1)
    found: NDArray[np.float32] = columns.reshape(len(columns), -1, size).min(axis=2).astype(np.float32)
    return found


def _block_mean(picture: NDArray[np.uint16], size: int) -> NDArray[np.float32]:
    fits_uint16 = size <= np.iinfo(np.uint16).max // _MAX_GRADIENT  # twice as fast as uint32
    columns = _blocks(picture, size).sum(axis=1, dtype=np.uint16 if fits_uint16 else np.uint32)
    found: NDArray[np.float32] = columns.reshape(len(columns), -1, size).mean(axis=2, dtype=np.float32) / size
    return found
