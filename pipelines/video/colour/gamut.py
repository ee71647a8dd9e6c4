"""Conversion between sets of primaries, computed from the chromaticities of ITU-R BT.709, BT.2020 and SMPTE EG 432."""

from functools import cache

import numpy as np

from pipelines.video.colour.transfer import Reals

_D65 = (0.3127, 0.3290)
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_XY = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte431": _P3,
    "smpte432": _P3,
}
"""Chromaticities of red, green and blue, by ffmpeg's names. White is D65 for all: neutral stays neutral."""


def is_wide(primaries: str | None) -> bool:
    """Tell whether these primaries reach so far beyond BT.709 that pictures look pale without a conversion."""
    return primaries in _XY and primaries != "bt709"


@cache
def to_bt709(primaries: str | None) -> Reals:
    """Return the matrix (3, 3) from linear light in `primaries` to BT.709; the identity where they are not wide."""
    if primaries is None or not is_wide(primaries):
        return np.eye(3)
    return np.asarray(np.linalg.solve(_to_xyz("bt709"), _to_xyz(primaries)), np.float64)


def _to_xyz(primaries: str) -> Reals:
    red, green, blue, white = ((x / y, 1.0, (1 - x - y) / y) for x, y in (*_XY[primaries], _D65))
    matrix = np.array((red, green, blue)).T
    return np.asarray(matrix * np.linalg.solve(matrix, white), np.float64)
