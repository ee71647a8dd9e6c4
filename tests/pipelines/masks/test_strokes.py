"""What was painted becomes the masks of a job: strokes in pixels of the video, and the same paint is the same file."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import BadInput, OverLimit
from pipelines.masks import strokes
from pipelines.masks.strokes import Mark, Stroke, painted, read_strokes, save_marks

SIZE = (64, 48)


def drawn(text: str, size: tuple[int, int] = SIZE) -> dict[int, Mark]:
    return dict(painted(read_strokes(text), size))


def test_a_stroke_is_a_line_with_round_ends_in_pixels_of_the_video() -> None:
    mark = drawn("8:20,24,40,24@3")[3]
    assert mark.shape == (48, 64)
    across, down = mark.any(axis=0).nonzero()[0], mark.any(axis=1).nonzero()[0]
    assert (across.min(), across.max(), down.min(), down.max()) == (16, 44, 20, 28)
    assert mark[24, 16] and not mark[20, 16], "round"
    dot = drawn("9:10,10@0")[0]
    assert dot[10, 6] and dot[10, 14] and not dot[6, 6]


def test_a_stroke_may_leave_the_picture() -> None:
    mark = drawn("6:60,40,900,700@0")[0]
    assert mark[47, 63] or mark[40, 60]


def test_what_is_wiped_off_is_gone_and_what_is_painted_later_is_not() -> None:
    assert drawn("8:20,24,40,24@3 !30:30,24@3 2:30,24@3")[3].sum() < 30
    assert drawn("8:20,24@3 !40:20,24@3") == {}, "a frame without paint is none that is marked"


def test_frames_come_in_order_and_each_with_its_own_paint() -> None:
    found = drawn("8:20,24@41 8:50,10@0 8:30,24@41")
    assert list(found) == [0, 41]
    assert found[41][24, 20] and found[41][24, 30] and not found[41][10, 50]


@pytest.mark.parametrize("word", ["1,2@0", "8:1@0", "8:1,2,3@0", "8:1,2", "x", "8:-1,2@0", "99999:1,2@0"])
def test_what_is_no_stroke_is_refused(word: str) -> None:
    with pytest.raises(BadInput, match="no stroke"):
        Stroke.parse(word)


def test_there_is_an_end_to_what_can_be_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [f"8:1,2@{frame}" for frame in range(strokes.MOST_FRAMES + 1)]
    assert len(read_strokes(" ".join(frames[:-1]))) == strokes.MOST_FRAMES
    with pytest.raises(OverLimit, match="201 frames"):
        read_strokes(" ".join(frames))
    monkeypatch.setattr(strokes, "MOST_CHARACTERS", 20)
    with pytest.raises(OverLimit, match="More is painted"):
        read_strokes("8:1,2@0 8:1,2@0 8:1,2@0")


def test_marks_to_follow_are_named_by_their_frames(tmp_path: Path) -> None:
    found = drawn("8:20,24@20 8:50,10@0")
    path = save_marks(found.items(), tmp_path, follow=True)
    assert path is not None
    with zipfile.ZipFile(path) as bundle:
        assert bundle.namelist() == ["00000000.png", "00000020.png"]
        with bundle.open("00000020.png") as file:
            assert np.array_equal(np.asarray(Image.open(file)) > 127, found[20])


def test_marks_that_stay_are_one_picture(tmp_path: Path) -> None:
    found = drawn("8:20,24@20 8:50,10@0")
    path = save_marks(found.items(), tmp_path, follow=False)
    assert path is not None
    assert np.array_equal(np.asarray(Image.open(path)) > 127, found[0] | found[20])


@pytest.mark.parametrize("follow", [True, False])
def test_the_same_marks_are_the_same_file(tmp_path: Path, follow: bool) -> None:
    asked = ("8:20,24@20 8:50,10@0", "8:50,10@0 8:20,24@20", "8:20,24@20 8:51,10@0")
    paths = [
        save_marks(painted(read_strokes(text), SIZE), tmp_path / str(k), follow=follow)
        for k, text in enumerate(asked)
    ]
    first, second, other = (path.read_bytes() for path in paths if path)
    assert first == second != other
    assert len({path.parent.name for path in paths if path}) == 2


def test_nothing_painted_is_no_file(tmp_path: Path) -> None:
    assert save_marks(painted([], SIZE), tmp_path, follow=True) is None
    assert list(tmp_path.iterdir()) == []


def test_a_stroke_costs_its_rectangle_however_many_points_and_however_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zigzag = ",".join(f"{n % 60},{n % 40}" for n in range(30_000))
    assert drawn(f"9999:{zigzag}@0")[0].all()
    monkeypatch.setattr(strokes, "MOST_PIXELS", 10**6)
    assert drawn("9999:" + ",".join(["1,1"] * 90_000) + "@0")[0].all()
    many = " ".join(f"{'!' * (n % 2)}{n % 7 + 1}:5,5@0" for n in range(200))
    with pytest.raises(OverLimit, match=r"takes 2 megapixels to draw; 1 is the most.*with one width"):
        drawn(many)
    with pytest.raises(OverLimit):
        drawn("4:" + ",".join(["0,0,3000,0"] * 300) + "@0", (4000, 20))


@pytest.mark.parametrize("reach", [2, 7, 15])
def test_a_dot_is_a_disc(reach: int) -> None:
    y, x = np.mgrid[:48, :64]
    assert np.array_equal(drawn(f"{2 * reach}:30,20@0")[0], np.hypot(x - 30, y - 20) <= reach)


def test_strokes_of_several_widths_are_those_of_each() -> None:
    words = ["8:20,24,40,24@3", "2:3,3,60,40@3", "30:30,24@3"]
    together = drawn(" ".join(words))[3]
    assert np.array_equal(together, np.logical_or.reduce([drawn(word)[3] for word in words]))
