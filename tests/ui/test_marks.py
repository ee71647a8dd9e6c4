"""What was painted becomes the masks of a job: only paint counts, and the same paint is the same file."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ui.marks import Mark, Sheet, painted, save_marks


def editor(*strokes: tuple[slice, slice]) -> dict[str, Any]:
    """What an editor gives: a grey picture that is opaque everywhere, and a layer with paint."""
    background = np.full((12, 16, 4), 128, np.uint8)
    layer = np.zeros((12, 16, 4), np.uint8)
    for stroke in strokes:
        layer[stroke] = (255, 45, 45, 255)
    return {"background": background, "layers": [layer], "composite": background}


def mark(*strokes: tuple[slice, slice]) -> Mark:
    found: Mark = np.zeros((12, 16), bool)
    for stroke in strokes:
        found[stroke] = True
    return found


LEFT, RIGHT = (slice(2, 5), slice(1, 4)), (slice(2, 5), slice(10, 14))


def test_only_paint_counts() -> None:
    found = painted(editor(LEFT, RIGHT))
    assert found is not None and np.array_equal(found, mark(LEFT, RIGHT))


@pytest.mark.parametrize(
    "value", [None, {}, {"layers": []}, {"layers": [None]}, editor()], ids=lambda value: str(value)[:20]
)
def test_nothing_painted_is_nothing(value: dict[str, Any] | None) -> None:
    assert painted(value) is None


def test_marks_are_kept_by_frame_and_shown_again(tmp_path: Path) -> None:
    sheet, shown = Sheet().with_painted(editor(LEFT)).turned_to(20, tmp_path / "20.jpg")
    assert sheet.at == 20 and shown["layers"] == [] and shown["background"] == str(tmp_path / "20.jpg")
    sheet = sheet.with_painted(editor(RIGHT))
    assert sorted(sheet.marks) == [0, 20]
    sheet, shown = sheet.turned_to(0, tmp_path / "0.jpg")
    again = painted(shown)
    assert again is not None and np.array_equal(again, mark(LEFT))
    assert sorted(sheet.with_painted(editor()).marks) == [20], "what was wiped off is gone"
    assert sheet.with_newest(editor()) == sheet, "an editor that is late wipes nothing off"
    both = sheet.with_newest(editor(LEFT, RIGHT)).marks
    assert np.array_equal(both[0], mark(LEFT, RIGHT)) and sorted(both) == [0, 20]


def test_marks_to_follow_are_named_by_their_frames(tmp_path: Path) -> None:
    path = save_marks({20: mark(RIGHT), 0: mark(LEFT)}, tmp_path, follow=True)
    with zipfile.ZipFile(path) as bundle:
        assert bundle.namelist() == ["00000000.png", "00000020.png"]
        with bundle.open("00000020.png") as file:
            assert np.array_equal(np.asarray(Image.open(file)) > 127, mark(RIGHT))


def test_marks_that_stay_are_one_picture(tmp_path: Path) -> None:
    path = save_marks({20: mark(RIGHT), 0: mark(LEFT)}, tmp_path, follow=False)
    assert np.array_equal(np.asarray(Image.open(path)) > 127, mark(LEFT, RIGHT))


@pytest.mark.parametrize("follow", [True, False])
def test_the_same_marks_are_the_same_file(tmp_path: Path, follow: bool) -> None:
    first = save_marks({0: mark(LEFT), 9: mark(RIGHT)}, tmp_path / "a", follow=follow)
    second = save_marks({9: mark(RIGHT), 0: mark(LEFT)}, tmp_path / "b", follow=follow)
    other = save_marks({0: mark(LEFT), 9: mark(LEFT)}, tmp_path / "b", follow=follow)
    assert first.read_bytes() == second.read_bytes() and first.parent.name == second.parent.name
    assert other.parent != second.parent
