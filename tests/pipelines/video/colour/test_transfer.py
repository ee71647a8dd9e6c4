"""Transfer functions, gamuts and the tone map against points and formulas that the standards publish."""

import numpy as np
import pytest

from pipelines.video.colour.gamut import is_wide, to_bt709
from pipelines.video.colour.tone_map import PEAK_NITS, TARGET_NITS, tone_map, undo_tone_map
from pipelines.video.colour.transfer import (
    hlg_to_scene,
    light_to_sdr,
    nits_to_pq,
    pq_to_nits,
    scene_to_hlg,
    sdr_to_light,
)

SIGNALS = np.linspace(0, 1, 2001)
BT2408_TABLE_1 = [(26, 0.38, 0.38), (162, 0.56, 0.71), (203, 0.58, 0.75)]
"""ITU-R BT.2408, table 1: cd/m2 on a display of 1000, and the signals of PQ and HLG, in whole percent."""


def test_pq_meets_published_points() -> None:
    # ST 2084: 100, 1000 and 4000 cd/m2 are the codes 520, 769 and 923 of 10 bits in full range.
    assert np.rint(nits_to_pq([0, 100, 1000, 4000, 10000]) * 1023).tolist() == [0, 520, 769, 923, 1023]


@pytest.mark.parametrize(("nits", "pq", "hlg"), BT2408_TABLE_1)
def test_nominal_levels_are_those_of_bt2408(nits: float, pq: float, hlg: float) -> None:
    assert nits_to_pq(nits) == pytest.approx(pq, abs=0.0055)
    assert scene_to_hlg((nits / 1000) ** (1 / 1.2)) == pytest.approx(hlg, abs=0.0055)


def test_hlg_meets_the_points_of_bt2100() -> None:
    assert scene_to_hlg([0, 1 / 12, 1]) == pytest.approx([0, 0.5, 1], abs=1e-6)
    assert hlg_to_scene(0.25) == pytest.approx(0.25**2 / 3)


def test_transfers_and_their_inverses_cancel() -> None:
    assert nits_to_pq(pq_to_nits(SIGNALS)) == pytest.approx(SIGNALS, abs=1e-6)
    assert scene_to_hlg(hlg_to_scene(SIGNALS)) == pytest.approx(SIGNALS, abs=1e-6)
    assert light_to_sdr(sdr_to_light(SIGNALS)) == pytest.approx(SIGNALS)


def test_bt2020_becomes_bt709_by_the_matrix_of_bt2407() -> None:
    published = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    assert to_bt709("bt2020") == pytest.approx(np.array(published), abs=1e-4)


@pytest.mark.parametrize("primaries", ["bt2020", "smpte431", "smpte432", "bt709", "smpte170m", None])
def test_white_stays_white_in_every_gamut(primaries: str | None) -> None:
    assert to_bt709(primaries).sum(axis=1) == pytest.approx(np.ones(3))
    assert is_wide(primaries) == (primaries in ("bt2020", "smpte431", "smpte432"))


def test_the_tone_map_is_the_knee_of_bt2390() -> None:
    top, most = 0.7518, 0.5807 / 0.7518  # PQ signals of 1000 and 203 cd/m2
    knee = 1.5 * most - 0.5
    t = (most - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    )
    assert nits_to_pq(tone_map(203)) == pytest.approx(spline * top, abs=3e-4)
    assert light_to_sdr(tone_map(203) / TARGET_NITS) == pytest.approx(0.90, abs=0.005)


def test_the_tone_map_keeps_what_is_dark_and_grows_up_to_the_peak() -> None:
    dark = np.linspace(0, 85, 100)
    assert tone_map(dark) == pytest.approx(dark, abs=1e-6)
    bright = tone_map(np.geomspace(85, PEAK_NITS, 500))
    assert (np.diff(bright) > 0).all()
    assert tone_map([PEAK_NITS, 4000, 10000]) == pytest.approx([TARGET_NITS] * 3)


def test_the_tone_map_can_be_undone_below_its_peak() -> None:
    nits = np.geomspace(0.01, 900, 300)
    assert undo_tone_map(tone_map(nits)) == pytest.approx(nits, rel=0.01)
