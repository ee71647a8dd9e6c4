"""What marks a pixel: transparency of images and videos, label maps, and masks with soft edges."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.masks.sequence import open_masks, reject_unusable
from pipelines.spans import Span
from pipelines.video.info import VideoInfo

from ..mask_clips import HEIGHT, WIDTH, disc, encode_rgba, white

N = 5


def video(frames: int = N) -> VideoInfo:
    return cast(
        VideoInfo,
        SimpleNamespace(frames=frames, width=WIDTH, height=HEIGHT, path=Path("v.mp4"), sample_aspect_ratio=1),
    )


def cut_out(index: int, opacity: int = 255) -> np.ndarray:
    """An object cut out of its background: its upper half dark, its lower half bright, nothing around it."""
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[: HEIGHT // 2, :, :3], rgba[HEIGHT // 2 :, :, :3] = (40, 60, 90), (230, 220, 210)
    rgba[..., 3] = disc(index) * np.uint8(opacity)
    return rgba


def read(path: Path, start: int = 0, stop: int = N) -> np.ndarray:
    return np.stack(list(open_masks(path, video()).read(start, stop)))


DISCS = np.stack([disc(index) for index in range(N)])

MATTES: dict[str, tuple[tuple[str, ...], float]] = {
    "prores.mov": (("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"), 0),
    "vp9.webm": (("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "10", "-g", "2"), 0.003),
    "vp8.webm": (("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "2M"), 0.003),
    "qtrle.mov": (("-c:v", "qtrle"), 0),
    "png.mov": (("-c:v", "png"), 0),
    "ffv1.mkv": (("-c:v", "ffv1", "-pix_fmt", "bgra"), 0),
    "moving.apng": (("-c:v", "apng"), 0),
}


@pytest.mark.parametrize("name", MATTES)
def test_a_matte_video_goes_by_its_alpha_from_any_frame_on(name: str, tmp_path: Path) -> None:
    arguments, most = MATTES[name]
    path = encode_rgba(tmp_path / name, [cut_out(i) for i in range(N)], *arguments)
    found = read(path)
    assert np.mean(found != DISCS) <= most
    assert np.array_equal(read(path, 3, 5), found[3:])
    assert "transparency" in open_masks(path, video()).reading


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("webp", {"lossless": True}), ("webp", {"quality": 95}), ("gif", {"disposal": 2}), ("png", {})],
)
def test_an_animation_goes_by_its_alpha(suffix: str, options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / f"moving.{suffix}"
    first, *others = (Image.fromarray(cut_out(i)) for i in range(N))
    first.save(path, save_all=True, append_images=others, duration=100, **options)
    assert np.array_equal(read(path), DISCS)
    assert np.array_equal(read(path, 2, 4), DISCS[2:4])


@pytest.mark.parametrize("suffix", ["webp", "png", "gif"])
def test_an_opaque_animation_goes_by_brightness(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"moving.{suffix}"
    first, *others = (white(disc(i)) for i in range(N))
    options = {"lossless": True} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=others, duration=100, **options)
    assert np.array_equal(read(path), DISCS)
    assert "brightness" in open_masks(path, video()).reading


@pytest.mark.parametrize("name", ["prores.mov", "vp9.webm", "png.mov", "qtrle.mov"])
def test_an_opaque_alpha_channel_decides_nothing(name: str, tmp_path: Path) -> None:
    frames = [
        np.dstack([np.repeat(disc(i)[..., None] * np.uint8(255), 3, 2), np.full_like(disc(i), 255, np.uint8)])
        for i in range(N)
    ]
    found = read(encode_rgba(tmp_path / name, frames, *MATTES[name][0]))
    assert np.mean(found != DISCS) < 0.004


def test_alpha_decides_also_where_the_first_frames_are_opaque_or_empty(tmp_path: Path) -> None:
    full, none = cut_out(0), cut_out(0, opacity=0)
    full[..., 3] = 255
    frames = [full, none, *(cut_out(i) for i in (2, 3, 4))]
    right = np.stack([np.ones_like(disc(0)), np.zeros_like(disc(0)), *DISCS[2:]])
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    assert np.array_equal(read(tmp_path), right)
    assert np.array_equal(read(encode_rgba(tmp_path / "m.mov", frames, "-c:v", "png")), right)


def test_a_matte_that_is_dark_throughout_is_not_empty(tmp_path: Path) -> None:
    frames = [cut_out(i) // (8, 8, 8, 1) for i in range(N)]
    path = encode_rgba(tmp_path / "m.mov", [frame.astype(np.uint8) for frame in frames], "-c:v", "qtrle")
    reject_unusable(open_masks(path, video()), Span(0, N))


def labels(*values: int, bits: int = 8) -> np.ndarray:
    """Objects side by side, each with its number."""
    image = np.zeros((HEIGHT, WIDTH), np.uint16 if bits == 16 else np.uint8)
    for index, value in enumerate(values):
        image[4:20, 2 + 8 * index : 8 + 8 * index] = value
    return image


LABELS: dict[str, Callable[[], np.ndarray]] = {
    "1, 2": lambda: labels(1, 2),
    "1, 2, 5": lambda: labels(1, 2, 5),
    "one object, 7": lambda: labels(7),
    "grey shades": lambda: labels(30, 60, 90, 120),
    "16 bits": lambda: labels(1, 2, 1001, 26001, bits=16),
    "as RGB": lambda: np.repeat(labels(1, 2, 5)[..., None], 3, 2),
    "as opaque RGBA": lambda: np.dstack([*[labels(1, 2, 5)] * 3, np.full((HEIGHT, WIDTH), 255, np.uint8)]),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_numbers_of_objects_without_a_palette(kind: str, suffix: str, tmp_path: Path) -> None:
    image = LABELS[kind]()
    right = (image[..., :3].max(2) if image.ndim == 3 else image) > 0
    path = tmp_path / f"labels.{suffix}"
    Image.fromarray(image).save(path)
    assert np.array_equal(read(path)[0], right)
    assert "numbers of objects" in open_masks(path, video()).reading


def test_labels_in_a_lossless_video(tmp_path: Path) -> None:
    frames = [
        np.dstack([*[np.roll(labels(1, 2, 5), i, 1)] * 3, np.full((HEIGHT, WIDTH), 255, np.uint8)])
        for i in range(N)
    ]
    path = encode_rgba(tmp_path / "m.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "gray")
    assert np.array_equal(read(path), [frame[..., 0] > 0 for frame in frames])


def soft(index: int, top: int = 255) -> np.ndarray:
    """A disc with antialiased edges: a fine one, averaged."""
    fine = np.kron(disc(index), np.ones((4, 4))) * 255.0
    fine = cv2.GaussianBlur(fine, (0, 0), 3)
    return (cv2.resize(fine, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) * top / 255).astype(np.uint8)


def test_soft_edges_are_no_labels(tmp_path: Path) -> None:
    Image.fromarray(soft(0)).save(tmp_path / "one.png")
    assert 0 < (soft(0) > 127).sum() < 0.8 * (soft(0) > 0).sum()
    assert np.array_equal(read(tmp_path / "one.png")[0], soft(0) > 127)


def test_an_object_that_only_begins_to_show_makes_no_labels(tmp_path: Path) -> None:
    """The first image has a few dim pixels, as an antialiased mask has where an object enters; white comes later."""
    first = np.zeros((HEIGHT, WIDTH), np.uint8)
    first[10:14, 0] = (20, 45, 45, 20)
    images = [first, *(soft(i) for i in range(1, N))]
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    assert np.array_equal(read(tmp_path), np.stack(images) > 127)
    frames = [np.dstack([image] * 3 + [np.full_like(image, 255)]) for image in images]
    film = encode_rgba(tmp_path / "m.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "gray")
    assert np.array_equal(read(film), np.stack(images) > 127)


def test_a_file_that_is_written_again_is_read_by_its_new_rule(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(labels(1, 2)).save(path)
    assert read(path)[0].sum() == (labels(1, 2) > 0).sum()
    Image.fromarray(soft(0)).save(path)
    assert np.array_equal(read(path)[0], soft(0) > 127)


@pytest.mark.parametrize("packed", [False, True])
def test_a_mask_in_place_of_one_of_the_same_size_and_time_is_read_by_its_own_rule(
    packed: bool, tmp_path: Path
) -> None:
    def made(name: str, image: np.ndarray) -> Path:
        Image.fromarray(image).save(tmp_path / f"{name}.bmp")
        path = tmp_path / f"{name}.{'zip' if packed else 'bmp'}"
        if packed:
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(tmp_path / f"{name}.bmp", "mask.bmp")
        os.utime(path, (10**9, 10**9))
        return path

    path, other = made("mask", labels(1, 2)), made("other", soft(0))
    assert read(path)[0].sum() == (labels(1, 2) > 0).sum()
    assert path.stat().st_size == other.stat().st_size
    other.replace(path)
    assert np.array_equal(read(path)[0], soft(0) > 127)


def test_brightness_of_lossy_pictures_is_never_a_label(tmp_path: Path) -> None:
    for suffix in ("jpg", "webp", "avif"):
        path = tmp_path / f"dim.{suffix}"
        Image.fromarray(labels(30, 60)).save(path)
        assert not read(path)[0].any()


def test_a_picture_of_a_camera_with_its_preview_is_one_mask(tmp_path: Path) -> None:
    preview = white(disc(0)).resize((WIDTH // 2, HEIGHT // 2))
    white(disc(0)).save(tmp_path / "photo.jpg", "MPO", save_all=True, append_images=[preview], quality=95)
    assert np.array_equal(read(tmp_path / "photo.jpg")[0], disc(0))
