"""The tone map from HDR to SDR: ITU-R BT.2390's knee, applied to the largest of red, green and blue.

SDR white stands for `TARGET_NITS` cd/m2 of HDR, the reference white of BT.2408; what is brighter, up to `PEAK_NITS`, is
compressed into the range above the knee (88 cd/m2). Reference white itself becomes the SDR signal 0.90.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from pipelines.video.colour.transfer import Reals, nits_to_pq, pq_to_nits

REFERENCE_WHITE_NITS = 203.0
"""Diffuse white in HDR: the PQ signal 0.58, the HLG signal 0.75 (ITU-R BT.2408)."""
TARGET_NITS = REFERENCE_WHITE_NITS
"""What SDR white stands for."""
PEAK_NITS = 1000.0
"""Light that becomes SDR white; beyond, it is clipped. The nominal peak of HLG, and of most mastering for PQ."""


def tone_map(nits: ArrayLike, target: float = TARGET_NITS, peak: float = PEAK_NITS) -> Reals:
    """Return light in cd/m2 after the EETF of BT.2390 (section 5.4.1, black unchanged): `peak` becomes `target`."""
    top = nits_to_pq(peak)
    level, most = np.clip(nits_to_pq(nits) / top, 0, 1), float(nits_to_pq(target) / top)
    knee = 1.5 * most - 0.5
    t = np.maximum(level - knee, 0) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    )
    return pq_to_nits(np.where(level < knee, level, bent) * top)


def undo_tone_map(nits: ArrayLike, target: float = TARGET_NITS, peak: float = PEAK_NITS) -> Reals:
    """Return the light in cd/m2 that `tone_map` turns into `nits`; the peak from `target` on."""
    before, after = _curve(target, peak)
    return np.asarray(np.interp(np.asarray(nits, np.float64), after, before), np.float64)


@cache
def _curve(target: float, peak: float) -> tuple[Reals, Reals]:
    before = pq_to_nits(np.linspace(0, float(nits_to_pq(peak)), 4097))
    return before, tone_map(before, target, peak)
