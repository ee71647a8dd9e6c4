"""A folder of images is a video."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import DamagedVideo, NotAVideo, UnsupportedVideo
from pipelines.video.pictures.images import largest_decoding_bytes
from pipelines.video.probe import probe
from pipelines.video.reader import held_bytes, read_frames


def save(folder: Path, picture, indices, pattern: str = "frame{}.png") -> None:
    for index in indices:
        Image.fromarray(picture(index)).save(folder / pattern.format(index))


def test_in_natural_order(tmp_path: Path, picture) -> None:
    save(tmp_path, picture, [10, 9, 1, 2, 100])
    (tmp_path / ".frame3.png").write_bytes(b"hidden")
    (tmp_path / "notes.txt").write_text("no picture")
    info = probe(tmp_path)
    assert [path.name for path in info.images] == [f"frame{n}.png" for n in (1, 2, 9, 10, 100)]
    assert (info.frames, info.frame_rate, info.width, info.height) == (5, 25, 160, 96)
    frames = list(read_frames(info))
    assert [frame.time for frame in frames] == [Fraction(index, 25) for index in range(5)]
    for frame, index in zip(frames, (1, 2, 9, 10, 100), strict=True):
        assert np.array_equal(frame.rgb(), picture(index))
        assert frame.luma(40).shape == (24, 40)
    assert held_bytes(info) - largest_decoding_bytes(info) < 7 * 160 * 96 * 3


def test_from_any_start(tmp_path: Path, picture) -> None:
    save(tmp_path, picture, range(8))
    frames = list(read_frames(probe(tmp_path), 5, 7))
    assert [frame.index for frame in frames] == [5, 6]
    assert np.array_equal(frames[1].rgb(), picture(6))


def test_of_unequal_sizes_are_refused(tmp_path: Path, picture) -> None:
    save(tmp_path, picture, range(3))
    Image.fromarray(picture(3, 128, 80)).save(tmp_path / "frame3.png")
    with pytest.raises(UnsupportedVideo, match=r"frame3\.png has 128x80 pixels"):
        probe(tmp_path)


def test_none_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(NotAVideo, match="no readable images"):
        probe(tmp_path)


def test_a_broken_one_is_named_or_left_out(tmp_path: Path, picture) -> None:
    save(tmp_path, picture, range(4))
    (tmp_path / "frame2.png").write_bytes(b"no picture")
    with pytest.raises(DamagedVideo, match=r"frame2\.png"):
        probe(tmp_path)
    info = probe(tmp_path, salvage=True)
    assert (info.frames, info.missing_frames) == (3, 1)
    assert "frame2.png" in (info.damage or "")
    assert sum(1 for _ in read_frames(info, salvage=True)) == 3


def test_one_cut_off_is_named_when_reached(tmp_path: Path, picture) -> None:
    save(tmp_path, picture, range(4))
    cut = tmp_path / "frame2.png"
    cut.write_bytes(cut.read_bytes()[:-3000])
    with pytest.raises(DamagedVideo, match=r"frame2\.png"):
        list(read_frames(probe(tmp_path)))


def test_turned_by_the_camera(tmp_path: Path, picture) -> None:
    image = Image.fromarray(picture(0))
    tags = image.getexif()
    tags[0x0112] = 6
    image.save(tmp_path / "0.png", exif=tags)
    info = probe(tmp_path)
    assert (info.width, info.height) == (96, 160)
    assert np.array_equal(next(read_frames(info)).rgb(), np.rot90(picture(0), -1))


def test_of_other_kinds(tmp_path: Path) -> None:
    deep = (np.arange(96 * 160).reshape(96, 160) * 4).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    gray = Image.fromarray((deep >> 8).astype(np.uint8))
    gray.save(tmp_path / "b.png")
    gray.convert("P").save(tmp_path / "c.png")
    gray.convert("RGBA").save(tmp_path / "d.png")
    for frame in read_frames(probe(tmp_path)):
        assert np.array_equal(frame.rgb()[:, :, 1], deep >> 8)
