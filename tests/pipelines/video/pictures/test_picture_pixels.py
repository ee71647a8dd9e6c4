"""Pictures are decoded no larger than they are needed, in the memory that is predicted."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memory.process_tree import own_peak_bytes, reset_own_peak
from memory.units import MIB
from pipelines.animation.inputs import InputMedia, picture_at, picture_bytes, read_picture
from pipelines.masks.bundle import mask_size
from pipelines.video.clock.timeline import constant
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.images import probe_images
from pipelines.video.pictures.picture import size_of
from pipelines.video.pictures.picture_pixels import decoding_bytes, read_rgb
from pipelines.video.reader import held_bytes, read_frames

from ...picture_files import heic

ORIENTATION = 0x0112
KINDS = {
    "jpeg": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "png": ("PNG", {"compress_level": 1}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "webp": ("WEBP", {"quality": 80, "method": 0}),
    "avif": ("AVIF", {"quality": 80, "speed": 10}),
}


def gradient(width: int, height: int) -> np.ndarray:
    """A picture of which each reduced copy is known: slow gradients, red across and green down."""
    x, y = np.arange(width) * 255 // (width - 1), np.arange(height) * 255 // (height - 1)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1], picture[..., 2] = x[None], y[:, None], 40
    return picture


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_a_picture_is_reduced_but_not_below_what_is_needed(
    kind: str, orientation: int, tmp_path: Path
) -> None:
    form, options = KINDS[kind]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"photo.{form.lower()}"
    more = {} if form == "BMP" else {"exif": exif}
    Image.fromarray(gradient(1000, 700)).save(path, form, **options, **more)
    width, height = size_of(path)
    full = read_rgb(path)
    assert full.shape == (height, width, 3)
    small = read_rgb(path, (width // 5, height // 5))
    factor = width // small.shape[1]
    assert factor in ((4, 5) if form == "JPEG" else (5,))
    assert small.shape == (-(-height // factor), -(-width // factor), 3)
    expected = np.asarray(Image.fromarray(full).reduce(factor)).astype(int)
    assert np.abs(expected - small).mean() < 1
    assert np.array_equal(read_rgb(path, (width, height)), full), "as large as needed"


@pytest.mark.parametrize(
    "mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "I;16"], ids=lambda mode: mode.replace(";", "")
)
def test_strips_give_what_the_whole_gives(mode: str, tmp_path: Path) -> None:
    """Every mode is converted strip by strip: 1,200 x 2,000 pixels are three strips."""
    picture = Image.fromarray(gradient(1200, 2000))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    path = tmp_path / "picture.tiff"
    picture.save(path)
    with Image.open(path) as image:
        if mode == "I;16":
            whole = np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
        else:
            whole = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_rgb(path), whole)


@pytest.mark.parametrize("tile", [None, 64])
def test_a_heic_is_reduced_by_its_decoder(tile: int | None, tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(heic(gradient(320, 192), tile=tile))
    assert size_of(path) == (320, 192)
    assert read_rgb(path, (80, 48)).shape == (48, 80, 3)
    assert read_rgb(path).shape == (192, 320, 3)


@pytest.mark.skipif(not reset_own_peak(), reason="this system does not set marks back")
@pytest.mark.parametrize("at_least", [None, (500, 500)])
@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "webp"])
def test_reading_holds_what_is_predicted(kind: str, at_least, tmp_path: Path) -> None:
    form, options = KINDS[kind]
    path = tmp_path / "photo"
    Image.fromarray(gradient(4000, 4000)).save(path, form, **options)
    read_rgb(path, (8, 8))  # Libraries are loaded.
    reset_own_peak()
    before = own_peak_bytes()
    read_rgb(path, at_least)
    held = own_peak_bytes() - before
    assert held <= 1.25 * decoding_bytes(path, (4000, 4000), at_least) + 4 * MIB


@pytest.mark.skipif(not reset_own_peak(), reason="this system does not set marks back")
@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_folder_holds_what_is_predicted(kind: str, tmp_path: Path) -> None:
    form, options = KINDS[kind]
    for number in range(2):
        Image.fromarray(gradient(3000, 2000)).save(tmp_path / f"{number}.{kind}", form, **options)
    info = probe_images(tmp_path, salvage=False)
    read_rgb(tmp_path / f"0.{kind}", (8, 8))  # Libraries are loaded.
    reset_own_peak()
    before = own_peak_bytes()
    for frame in read_frames(info):
        frame.rgb()
    held = own_peak_bytes() - before
    assert held <= 1.1 * held_bytes(info) + 4 * MIB
    frames_alone = 6 * 3 * 3000 * 2000
    assert held_bytes(info) >= frames_alone + decoding_bytes(info.images[0], (3000, 2000))


def test_a_jpeg_that_is_needed_small_is_cheap(tmp_path: Path) -> None:
    Image.fromarray(gradient(4000, 4000)).save(tmp_path / "photo.jpg")
    media = picture_at(tmp_path / "photo.jpg")
    assert picture_bytes(media, (500, 500)) < 20 * MIB < 100 * MIB < picture_bytes(media)
    assert read_picture(media, (500, 500)).shape == (500, 500, 3)


def test_a_video_costs_no_picture(tmp_path: Path) -> None:
    info = VideoInfo(tmp_path / "v.mp4", "mp4", "h264", 64, 48, constant(3, 25))
    assert picture_bytes(InputMedia("video", info)) == 0


def test_the_largest_mask_is_known_before_any_is_decoded(tmp_path: Path) -> None:
    folder, archive = tmp_path / "masks", tmp_path / "masks.zip"
    folder.mkdir()
    for number, size in enumerate([(64, 48), (640, 480), (32, 24)]):
        Image.new("L", size).save(folder / f"{number}.png")
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, path.name)
    assert mask_size(folder, 3) == mask_size(archive, 3) == mask_size(folder / "1.png", 3) == (640, 480)
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert mask_size(tmp_path / "no.png", 3) is None
    assert mask_size(tmp_path / "missing.png", 3) is None
