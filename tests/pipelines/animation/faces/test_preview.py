"""Preview of faces before a run: selected faces are marked, missing ones are not, and nothing is refused here."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.animation.faces.preview import HEIGHT_PX, marked_faces, marked_source
from pipelines.errors import BadInput, NotEnoughMemory, OverLimit
from pipelines.example.moving_face import DrawnFace
from pipelines.settings import AnimateSettings
from pipelines.video.writer import VideoWriter

MARK = (20, 184, 166)

Saved = Callable[[str, Any], Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def save(name: str, picture: Any) -> Path:
        Image.fromarray(picture).save(tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def driving(tmp_path: Path, driver: DrawnFace) -> Path:
    """Write a video without a face for ten frames, then with one."""
    path = tmp_path / "driving.mp4"
    with VideoWriter(path, 256, 256, Fraction(25), crf=10) as film:
        for frame in range(20):
            film.write(driver.picture if frame >= 10 else np.zeros_like(driver.picture))
    return path


def marks(picture: Any) -> list[tuple[int, int]]:
    """Return the first and last column of each vertical line of a mark."""
    columns = np.flatnonzero((np.abs(picture.astype(int) - MARK).max(axis=2) < 60).sum(axis=0) > 60)
    edges = np.flatnonzero(np.diff(columns, prepend=-9) > 1)
    return [(int(part[0]), int(part[-1])) for part in np.split(columns, edges[1:]) if len(part)]


def test_both_faces_are_marked_and_the_driving_where_it_is_first_seen(
    saved: Saved, driving: Path, driver: DrawnFace
) -> None:
    shown = marked_faces((saved("portrait.png", driver.picture), driving), AnimateSettings()).pixels
    assert shown.shape[0] == HEIGHT_PX and shown.shape[1] == 2 * HEIGHT_PX + 8
    left, right, beside, last = marks(shown)
    share = HEIGHT_PX / 256
    box = driver.box
    assert left[0] == pytest.approx((box.x - box.size / 2) * share, abs=20)
    assert right[1] == pytest.approx((box.x + box.size / 2) * share, abs=20)
    assert beside[0] - left[0] == pytest.approx(HEIGHT_PX + 8, abs=12)
    assert last[0] - right[0] == pytest.approx(HEIGHT_PX + 8, abs=12)
    assert shown[:, HEIGHT_PX + 8 :].mean() > 60, "the frame with the face, not one without"


def test_faces_that_are_not_found_are_not_marked(saved: Saved, driver: DrawnFace) -> None:
    blank = saved("blank.png", np.full((90, 120, 3), 90, np.uint8))
    nobody = marked_faces((blank, blank), AnimateSettings())
    assert marks(nobody.pixels) == []
    assert [side.side for side in nobody.missing] == ["source", "driving"]
    assert all(side.smallest_px and side.smallest_px <= 48 for side in nobody.missing)
    found = marked_faces(
        (blank, saved("face.png", driver.picture)), AnimateSettings(source_box="30,20,50,60")
    )
    assert len(marks(found.pixels)) == 4


def test_all_of_several_are_marked_and_a_part_of_the_driving_is_searched(
    saved: Saved, driving: Path, driver: DrawnFace
) -> None:
    pair = saved("pair.png", np.hstack([driver.picture, driver.picture]))
    one, both = (
        marked_faces((pair, driving), AnimateSettings(face=which, start=0.4)) for which in ("largest", "all")
    )
    assert len(marks(one.pixels)) < len(marks(both.pixels))


def test_every_face_can_be_chosen_by_where_it_is(saved: Saved, driving: Path, driver: DrawnFace) -> None:
    pair = saved("pair.png", np.hstack([driver.picture, driver.picture]))
    marked = [marked_faces((pair, driving), AnimateSettings(face=which)) for which in ("1", "2", "3")]
    places = marked[0].places
    assert [(place.side, place.number) for place in places] == [("source", 1), ("source", 2), ("driving", 1)]
    assert all(each.places == places for each in marked), "whichever is meant"
    width = marked[0].pixels.shape[1]
    for each, place in zip(marked, places[:2], strict=False):
        left, right = (edge * width for edge in (place.left, place.left + place.width))
        assert marks(each.pixels)[0][0] == pytest.approx(left, abs=3)
        assert marks(each.pixels)[1][0] == pytest.approx(right, abs=3)
    assert len(marks(marked[2].pixels)) == 2, "there is no third one: only the driving's is marked"


def test_a_portrait_alone_is_refused(saved: Saved, driver: DrawnFace) -> None:
    with pytest.raises(BadInput, match="no driving video"):
        marked_faces((saved("portrait.png", driver.picture),), AnimateSettings())


def test_a_picture_that_the_limit_does_not_hold_is_not_decoded(
    saved: Saved, tmp_path: Path, driver: DrawnFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = saved("small.png", driver.picture), tmp_path / "large.png"
    Image.new("RGB", (4000, 4000)).save(large, compress_level=1)
    monkeypatch.setattr(
        "pipelines.animation.faces.preview.read_picture", lambda *a: np.zeros((9, 9, 3), np.uint8)
    )
    limited = AnimateSettings(ram_limit_gb=0.07)
    for inputs in ((large, small), (small, large)):
        with pytest.raises(NotEnoughMemory, match=r"Decoding large\.png takes 0\.\d+ GiB, and 0\.06 GiB"):
            marked_faces(inputs, limited)


def test_a_number_that_no_face_has_is_missing_with_the_faces_that_there_are(
    saved: Saved, driving: Path, driver: DrawnFace
) -> None:
    marked = marked_faces((saved("portrait.png", driver.picture), driving), AnimateSettings(face="2"))
    assert [(side.side, side.faces) for side in marked.missing] == [("source", 1)]
    assert {place.side for place in marked.places} == {"source", "driving"}


def test_the_source_alone_is_marked_as_beside_its_driving(saved: Saved, driver: DrawnFace) -> None:
    path = saved("portrait.png", driver.picture)
    alone = marked_source(path, AnimateSettings())
    assert alone.pixels.shape == (HEIGHT_PX, HEIGHT_PX, 3)
    assert [place.side for place in alone.places] == ["source"] and not alone.missing
    missing = marked_source(saved("empty.png", np.zeros_like(driver.picture)), AnimateSettings()).missing
    assert [(side.side, side.faces) for side in missing] == [("source", 0)]
    with pytest.raises(OverLimit):
        marked_source(path, AnimateSettings(), most_pixels=9)
