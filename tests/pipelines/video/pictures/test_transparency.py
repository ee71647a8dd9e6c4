"""Colours that a file hides under transparency are never read; what is half transparent is mixed."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.errors import UnsupportedVideo
from pipelines.video.pictures.heic import has_alpha
from pipelines.video.pictures.images import iter_images, probe_images, probe_picture
from pipelines.video.pictures.picture_pixels import decoding_bytes, read_opacity, read_rgb
from pipelines.video.pictures.transparency import transparency_notes
from pipelines.video.probe import probe
from pipelines.video.reader import choose_decoder, read_frames

from ...picture_files import heic

BLUE = (10, 20, 220)
SEEN, HIDDEN = (90, 170, 60), (230, 40, 30)
SIDE = 48


def opacity() -> Any:
    """Transparent above, opaque below; a column that is half transparent."""
    levels = np.zeros((SIDE, SIDE), np.uint8)
    levels[24:] = 255
    levels[24:, 32:] = 128
    return levels


def straight(levels: Any) -> Image.Image:
    colours = np.where(levels[..., None] > 0, SEEN, HIDDEN).astype(np.uint8)
    return Image.fromarray(np.dstack([colours, levels]))


def rgba(path: Path, form: str, **options: Any) -> None:
    straight(opacity()).save(path, form, **options)


def still_apng(path: Path) -> None:
    straight(opacity()).save(path, "PNG", save_all=True, append_images=[])


def premultiplied_tiff(path: Path) -> None:
    """Pillow reads this kind and does not write it: the tag of its fourth sample is changed to associated alpha."""
    levels = opacity()
    pixels = np.asarray(straight(levels)).copy()
    pixels[..., :3] = np.round(pixels[..., :3] * (levels[..., None] / 255))
    Image.fromarray(pixels).save(path, "TIFF")
    head, entry, value = path.read_bytes().partition(struct.pack("<HHI", 338, 3, 1))
    path.write_bytes(head + entry + struct.pack("<H", 1) + value[2:])
    with Image.open(path) as image:
        assert image.tag_v2[338] == (1,)


def palette(path: Path) -> None:
    indices = np.zeros((SIDE, SIDE), np.uint8)
    levels = opacity()
    indices[levels == 255], indices[levels == 128] = 1, 2
    image = Image.fromarray(indices, "P")
    image.putpalette([*HIDDEN, *SEEN, *SEEN])
    image.save(path, "PNG", transparency=bytes([0, 255, 128]))


KINDS: dict[str, tuple[Callable[[Path], None], int]] = {
    "png": (lambda path: rgba(path, "PNG"), 1),
    "webp": (lambda path: rgba(path, "WEBP", lossless=True, exact=True), 1),
    "lossy-webp": (lambda path: rgba(path, "WEBP", quality=95), 8),
    "tiff": (lambda path: rgba(path, "TIFF"), 1),
    "avif": (lambda path: rgba(path, "AVIF", quality=95), 8),
    "apng-of-one": (still_apng, 1),
    "tiff-premultiplied": (premultiplied_tiff, 2),
    "png-palette": (palette, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_colours_are_not_read(kind: str, tmp_path: Path) -> None:
    write, most = KINDS[kind]
    path = tmp_path / "portrait"
    write(path)
    found = read_rgb(path, background=BLUE).astype(int)
    inner = np.s_[2:20, 2:-2]
    assert np.abs(found[inner] - BLUE).max() <= most
    assert np.abs(found[28:-4, 4:28] - SEEN).max() <= most
    half = (np.array(SEEN) + BLUE) / 2
    assert np.abs(found[28:-4, 36:-4] - half).max() <= most + 1
    levels = read_opacity(path)
    assert levels is not None
    assert np.abs(levels.astype(int) - opacity())[:20].max() <= most
    assert (read_rgb(path)[inner] >= 255 - most).all(), "white where nothing else is asked for"


def test_gray_with_alpha(tmp_path: Path) -> None:
    gray = np.where(opacity() > 0, 90, 230).astype(np.uint8)
    Image.fromarray(np.dstack([gray, opacity()]), "LA").save(tmp_path / "la.png")
    found = read_rgb(tmp_path / "la.png", background=BLUE)
    assert (found[:24] == BLUE).all()
    assert (found[24:, :32] == 90).all()
    assert np.abs(found[24:, 32:].astype(int) - (np.array(BLUE) + 90) / 2).max() <= 1


@pytest.mark.parametrize(
    ("mode", "hidden", "seen"), [("L", 230, 90), ("RGB", HIDDEN, SEEN), ("I;16", 59000, 23040), ("1", 1, 0)]
)
def test_one_transparent_colour(mode: str, hidden: Any, seen: Any, tmp_path: Path) -> None:
    path = tmp_path / "keyed.png"
    pixels = np.full((SIDE, SIDE, 3 if mode == "RGB" else 1), seen)
    pixels[:24] = hidden
    kind = {"I;16": np.uint16, "1": bool}.get(mode, np.uint8)
    Image.fromarray(pixels.squeeze().astype(kind)).save(path, transparency=hidden)
    found = read_rgb(path, background=BLUE)
    assert (found[:24] == BLUE).all()
    level = {"L": 90, "I;16": 90, "1": 0}.get(mode, SEEN)
    assert (found[24:] == level).all()
    levels = read_opacity(path)
    assert levels is not None
    assert (levels[:24] == 0).all() and (levels[24:] == 255).all()


def test_what_is_opaque_throughout_is_read_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    assert np.array_equal(read_rgb(tmp_path / "opaque.png", background=BLUE), pixels[..., :3])
    assert read_opacity(tmp_path / "opaque.png") is None


def test_transparency_lies_as_the_picture_is_turned(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    straight(opacity()).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=turned)
    assert np.array_equal(read_opacity(tmp_path / "turned.png"), opacity())
    assert (read_rgb(tmp_path / "turned.png", background=BLUE)[:24] == BLUE).all()


@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("tile", [None, 64])
def test_heic_hides_them_too(tile: int | None, turns: int, tmp_path: Path) -> None:
    """In tiles and turned, as phones write it; also where it is reduced while it is decoded."""
    levels = np.zeros((128, 192), np.uint8)
    levels[64:] = 255
    colours = np.where(levels[..., None] > 0, SEEN, HIDDEN).astype(np.uint8)
    path = tmp_path / "portrait.heic"
    path.write_bytes(heic(colours, tile=tile, turns=turns, alpha=levels))
    info = replace(probe_picture(path), background=BLUE)
    for at_least in (None, (48, 48)):
        found = np.rot90(read_rgb(path, at_least, BLUE), -turns).astype(int)
        veiled = np.rot90(read_opacity(path, at_least), -turns).astype(int)
        half = len(found) // 2
        assert found.shape[:2] == ((128, 192) if at_least is None else (48, 72))
        assert veiled.shape == found.shape[:2]
        assert np.abs(found[: half - 2] - BLUE).max() <= 4 and veiled[: half - 2].max() <= 3
        assert np.abs(found[half + 2 :] - SEEN).max() <= 6 and veiled[half + 2 :].min() >= 252
    assert transparency_notes(info)[0].startswith(
        "portrait.heic has transparent parts. They are read as #0a14dc;"
    )
    whole = 128 * 192
    assert decoding_bytes(path, (192, 128)) >= (14 + 4 * 13) * whole


def test_heic_whose_transparency_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    """Its hidden colours would be seen otherwise."""
    levels = np.random.default_rng(0).integers(0, 256, (128, 192), np.uint8)
    data = heic(np.full((128, 192, 3), SEEN, np.uint8), alpha=levels)
    path = tmp_path / "portrait.heic"
    path.write_bytes(data[:-3000])
    with pytest.raises(UnsupportedVideo, match="whose transparency cannot be decoded") as caught:
        read_rgb(path)
    assert "PNG" in caught.value.hint


def test_an_opaque_heic_and_its_thumbnail_have_no_transparency(tmp_path: Path) -> None:
    (tmp_path / "photo.heic").write_bytes(heic(np.full((128, 192, 3), SEEN, np.uint8), tile=64))
    assert not has_alpha(tmp_path / "photo.heic")
    assert read_opacity(tmp_path / "photo.heic") is None


def test_folders_and_animations_hide_them_too(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("0.png", "1.png"):
        rgba(folder / name, "PNG")
    frames = [straight(opacity()), straight(255 - opacity())]
    frames[0].save(
        tmp_path / "moving.webp",
        save_all=True,
        append_images=frames[1:],
        lossless=True,
        exact=True,
        duration=40,
    )
    for info in (probe_images(folder, salvage=False), probe(tmp_path / "moving.webp")):
        assert (next(read_frames(info)).rgb()[:24] == 255).all()
    rgba(tmp_path / "one.png", "PNG")
    assert (next(iter_images(probe_picture(tmp_path / "one.png"), 0, 1))[:24] == 255).all()


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("prores.mov", "prores_ks", "yuva444p10le"),
        ("vp9.webm", "libvpx-vp9", "yuva420p"),
        ("png.mov", "png", "rgba"),
        ("animation.mov", "qtrle", "argb"),
    ],
)
def test_videos_hide_them_too(name: str, codec: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / name
    levels = np.where(opacity() > 0, 255, 0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25)
        stream.width = stream.height = SIDE
        stream.pix_fmt = form
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.asarray(straight(levels.astype(np.uint8))), format="rgba")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    info = replace(probe(path), background=BLUE)
    assert choose_decoder(info) == "pyav"
    frame = next(read_frames(info))
    assert np.abs(frame.rgb()[2:20].astype(int) - BLUE).max() <= 2
    assert np.abs(frame.rgb()[30:-4].astype(int) - SEEN).max() <= 8
    assert np.ptp(frame.luma()[2:20].astype(int)) <= 2
    assert transparency_notes(info) == (
        f"{name} has transparent parts. They are read as #0a14dc; colours hidden there are not used.",
    )


def test_what_is_read_of_transparent_pictures_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        rgba(folder / f"{number}.png", "PNG")
    (told,) = transparency_notes(probe_images(folder, salvage=False))
    assert told.startswith("frames has transparent parts. They are read as white;")
    for path in folder.iterdir():
        straight(np.full((SIDE, SIDE), 255, np.uint8)).save(path)
    assert transparency_notes(probe_images(folder, salvage=False)) == ()
