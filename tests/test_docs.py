"""The documentation is true: its pictures are what they claim, and what it names exists."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from docs import pictures

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MOST_PICTURE_BYTES = 400_000


@pytest.fixture(scope="module")
def shots() -> list[pictures.Shot]:
    return list(pictures.shots())


def test_the_mask_covers_the_kite_and_its_shadow_and_nothing_else(shots: list[pictures.Shot]) -> None:
    for shot in shots:
        changed = (shot.frame != shot.clean).any(axis=2)
        assert changed.any() and not (changed & ~shot.mask).any()
        assert changed.sum() > 0.9 * shot.mask.sum()


@pytest.mark.parametrize("depth", [0.0, 0.25, 0.5, 1.0])
def test_all_that_the_kite_hides_is_shown_by_another_frame(shots: list[pictures.Shot], depth: float) -> None:
    height, width = shots[0].mask.shape
    hidden = np.zeros((height, width + 400), bool)
    shown = np.zeros_like(hidden)
    for shot in shots:
        left = 100 + round(shot.camera.right + depth * shot.camera.way)
        hidden[:, left : left + width] |= shot.mask
        shown[:, left : left + width] |= ~shot.mask
    assert hidden.any() and not (hidden & ~shown).any()


def test_the_picture_is_drawn_by_the_real_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "FRAMES", 6)
    monkeypatch.setattr(pictures, "SHOWN", (1, 4))
    pictures.draw(tmp_path / "removed.jpg")
    drawn = cv2.imread(str(tmp_path / "removed.jpg"))
    assert drawn is not None and drawn.shape == cv2.imread(str(DOCS / "removed.jpg")).shape  # type: ignore[union-attr]
    above, below = drawn[:360].astype(int), drawn[-360:].astype(int)
    apart = np.abs(above - below).max(axis=2) > 60
    assert apart[:, :640].sum() > 5000, "the kite is in the upper row and gone from the lower one"
    assert not apart[320:].any(), "all else stays"


def test_pictures_are_small_enough_for_a_page_that_loads_fast() -> None:
    found = [path for path in DOCS.iterdir() if path.suffix in (".png", ".jpg")]
    assert found
    assert {path.name for path in found if path.stat().st_size > MOST_PICTURE_BYTES} == set()
