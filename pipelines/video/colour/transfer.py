"""Transfer functions between signals (0 to 1) and light.

PQ after SMPTE ST 2084 and ITU-R BT.2100 table 4; HLG after BT.2100 table 5; SDR displays after ITU-R BT.1886.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reals = NDArray[np.float64]

PQ_PEAK_NITS = 10000.0
"""Light of the signal 1 in PQ, cd/m2 (ST 2084)."""
HLG_PEAK_NITS = 1000.0
"""Nominal peak of the display for which HLG's system gamma is 1.2 (BT.2100), cd/m2."""
HLG_SYSTEM_GAMMA = 1.2
BT2020_WEIGHTS = (0.2627, 0.6780, 0.0593)
"""Weights of linear red, green and blue in luminance (BT.2020)."""
SDR_GAMMA = 2.4
"""Exponent of BT.1886 for a display whose black is 0."""

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A = 0.17883277
_B = 1 - 4 * _A
_C = 0.5 - _A * np.log(4 * _A)


def pq_to_nits(signal: ArrayLike) -> Reals:
    """Return the light in cd/m2 of a PQ signal (the EOTF of ST 2084)."""
    root = np.clip(np.asarray(signal, np.float64), 0, 1) ** (1 / _M2)
    light = (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)
    return np.asarray(PQ_PEAK_NITS * light, np.float64)


def nits_to_pq(nits: ArrayLike) -> Reals:
    """Return the PQ signal of light in cd/m2 (the inverse EOTF of ST 2084)."""
    power = (np.clip(np.asarray(nits, np.float64), 0, PQ_PEAK_NITS) / PQ_PEAK_NITS) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2, np.float64)


def hlg_to_scene(signal: ArrayLike) -> Reals:
    """Return the scene light (0 to 1) of an HLG signal (the inverse OETF of BT.2100)."""
    value = np.maximum(np.asarray(signal, np.float64), 0)
    upper = (np.exp((value - _C) / _A) + _B) / 12
    return np.asarray(np.where(value <= 0.5, value**2 / 3, upper), np.float64)


def scene_to_hlg(scene: ArrayLike) -> Reals:
    """Return the HLG signal of scene light (the OETF of BT.2100)."""
    value = np.maximum(np.asarray(scene, np.float64), 0)
    upper = _A * np.log(np.maximum(12 * value - _B, 1e-12)) + _C
    return np.asarray(np.where(value <= 1 / 12, np.sqrt(3 * value), upper), np.float64)


def sdr_to_light(signal: ArrayLike) -> Reals:
    """Return the light (0 to 1) of an SDR signal on a display after BT.1886 with black at 0."""
    return np.asarray(np.maximum(np.asarray(signal, np.float64), 0) ** SDR_GAMMA, np.float64)


def light_to_sdr(light: ArrayLike) -> Reals:
    """Return the SDR signal that a display after BT.1886 shows as `light`."""
    return np.asarray(np.maximum(np.asarray(light, np.float64), 0) ** (1 / SDR_GAMMA), np.float64)
