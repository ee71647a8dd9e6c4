"""Pictures are known by their content; they are read upright and in sRGB."""

import io
import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from pipelines.animation.inputs import picture_at, probe_media
from pipelines.errors import BadInput, DamagedVideo, NotAVideo, UnsupportedVideo
from pipelines.video.pictures.images import probe_picture
from pipelines.video.pictures.picture_pixels import read_rgb
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ...picture_files import ADOBE_RGB, DISPLAY_P3, SRGB, SRGB_CURVE, as_srgb, heic, profile

DELAYS = [100, 40, 200, 500, 60]
ORIENTATION = 0x0112


def smooth(height: int = 96, width: int = 160) -> np.ndarray:
    """A picture that lossy formats keep: slow gradients."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) // 2]).astype(np.uint8)


def moving() -> list[np.ndarray]:
    return [np.roll(smooth(), 20 * index, 1) for index in range(len(DELAYS))]


STILLS = {
    "png": ("PNG", {}, 0),
    "jpeg": ("JPEG", {"quality": 95}, 6),
    "avif": ("AVIF", {"quality": 95}, 6),
    "webp": ("WEBP", {"lossless": True}, 0),
    "bmp": ("BMP", {}, 0),
    "tiff": ("TIFF", {}, 0),
}


@pytest.mark.parametrize("name", ["photo", "photo.jfif", "photo.mp4", "photo.png"])
@pytest.mark.parametrize("kind", STILLS)
def test_a_still_is_one_whatever_its_name(kind: str, name: str, tmp_path: Path) -> None:
    form, options, most = STILLS[kind]
    path = tmp_path / name
    Image.fromarray(smooth()).save(path, form, **options)
    media = probe_media(path, salvage=False)
    assert media.kind == "picture"
    assert picture_at(path).kind == "picture"
    info = probe(path)
    assert (info.frames, info.width, info.height, info.audio) == (1, 160, 96, None)
    assert np.abs(next(read_frames(info)).rgb().astype(int) - smooth()).max() <= most


def test_a_gif_of_one_frame_is_a_portrait_and_a_video_of_its_own_length(tmp_path: Path) -> None:
    path = tmp_path / "one.gif"
    Image.fromarray(smooth()).save(path, duration=700)
    assert probe_media(path, salvage=False).kind == "picture"
    assert (probe(path).frames, probe(path).container) == (1, "gif")


def test_a_video_named_as_a_picture_is_a_video(clips, tmp_path: Path) -> None:
    path = tmp_path / "clip.png"
    path.write_bytes(clips("closed.mp4").read_bytes())
    assert probe_media(path, salvage=False).kind == "video"
    with pytest.raises(BadInput, match=r"clip\.png is not a picture"):
        picture_at(path)


def test_a_stream_of_jpegs_stays_a_video(tmp_path: Path) -> None:
    data = io.BytesIO()
    for frame in moving():
        Image.fromarray(frame[:48, :64]).save(data, "JPEG", quality=95)
    (tmp_path / "camera").write_bytes(data.getvalue())
    assert probe(tmp_path / "camera").frames == len(DELAYS)


@pytest.mark.parametrize("name", ["moving.webp", "moving", "moving.png", "moving.jpg"])
@pytest.mark.parametrize(
    ("form", "options", "most"),
    [("WEBP", {"lossless": True}, 0), ("PNG", {}, 0), ("AVIF", {"quality": 95}, 3)],
)
def test_an_animation_is_a_video_with_its_delays(
    form: str, options: dict[str, object], most: int, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    first, *others = (Image.fromarray(frame) for frame in moving())
    first.save(path, form, save_all=True, append_images=others, duration=DELAYS, **options)
    media = probe_media(path, salvage=False)
    assert media.kind == "video"
    frames = list(read_frames(media.video))
    assert [frame.time for frame in frames] == [Fraction(sum(DELAYS[:i]), 1000) for i in range(5)]
    assert media.video.timeline.seconds == Fraction(sum(DELAYS), 1000)
    for frame, drawn in zip(frames, moving(), strict=True):
        assert np.abs(frame.rgb().astype(int) - drawn).mean() <= most
    later = list(read_frames(media.video, 3, 5))
    assert np.array_equal(later[0].rgb(), frames[3].rgb())


def test_a_damaged_animation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "moving.webp"
    first, *others = (Image.fromarray(frame) for frame in moving())
    first.save(path, save_all=True, append_images=others, duration=DELAYS, lossless=True)
    data = bytearray(path.read_bytes())
    picture = data.rindex(b"ANMF") + 24 + 8 + 5
    data[picture : picture + 60] = bytes([255]) * 60
    path.write_bytes(data)
    with pytest.raises(DamagedVideo, match="frame 4 cannot be decoded"):
        probe(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(NotAVideo, match=r"is a picture \(webp\) that cannot be read"):
        probe(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["webp", "avif", "png", "tif", "jpg"])
def test_upright_as_the_camera_says(suffix: str, orientation: int, tmp_path: Path) -> None:
    path, exif = tmp_path / f"photo.{suffix}", Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"webp": {"lossless": True}, "avif": {"quality": 95}, "jpg": {"quality": 95}}
    Image.fromarray(smooth()).save(path, exif=exif, **options.get(suffix, {}))
    turned = {
        **{1: smooth(), 2: smooth()[:, ::-1], 3: smooth()[::-1, ::-1], 4: smooth()[::-1]},
        **{5: smooth().swapaxes(0, 1), 6: np.rot90(smooth(), -1)},
        **{7: smooth()[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(smooth())},
    }[orientation]
    info = probe(path)
    found = next(read_frames(info)).rgb()
    assert (info.height, info.width) == found.shape[:2] == turned.shape[:2]
    assert np.abs(found.astype(int) - turned).max() <= 8


def colours() -> np.ndarray:
    steps = np.linspace(0, 255, 12).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), -1).reshape(12, 144, 3)


PROFILES = {"Display P3": (DISPLAY_P3, SRGB_CURVE), "Adobe RGB": (ADOBE_RGB, (2.19921875,))}


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("space", PROFILES)
def test_a_wide_gamut_becomes_srgb(space: str, suffix: str, tmp_path: Path) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(colours()).save(
        tmp_path / f"0.{suffix}", icc_profile=profile(*PROFILES[space]), **options
    )
    right = as_srgb(colours(), *PROFILES[space])
    assert np.abs(right - colours()).max() > 40
    assert np.abs(read_rgb(tmp_path / f"0.{suffix}") - right).max() <= 3
    assert np.abs(next(read_frames(probe(tmp_path))).rgb() - right).max() <= 3, "in a folder, too"


def test_srgb_and_profiles_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    for icc in (profile(SRGB, SRGB_CURVE), b"no profile", b""):
        Image.fromarray(colours()).save(path, icc_profile=icc)
        assert np.array_equal(read_rgb(path), colours())
    gray = Image.fromarray(colours()[..., 0])
    gray.save(path, icc_profile=profile(*PROFILES["Display P3"]))
    assert np.array_equal(read_rgb(path)[..., 1], colours()[..., 0]), "a profile of RGB in a gray picture"


@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("name", ["IMG_0001.HEIC", "photo.jpg", "photo"])
def test_heic_of_a_phone(name: str, tile: int | None, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # Phones write it beside the turn of the container, which alone counts.
    path = tmp_path / name
    icc = profile(*PROFILES["Display P3"])
    path.write_bytes(heic(smooth(), tile=tile, turns=3, icc=icc, exif=exif.tobytes()[6:]))
    media = probe_media(path, salvage=False)
    assert (media.kind, media.video.width, media.video.height) == ("picture", 96, 160)
    right = as_srgb(np.rot90(smooth(), -1), *PROFILES["Display P3"])
    assert np.abs(read_rgb(path) - right).mean() < 2
    assert np.abs(next(read_frames(probe(path))).rgb() - right).mean() < 2


def test_heic_in_a_folder(tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / f"IMG_{index}.HEIC").write_bytes(heic(np.roll(smooth(), index * 16, 1), tile=64))
    frames = [frame.rgb() for frame in read_frames(probe(tmp_path))]
    assert np.abs(frames[1].astype(int) - np.roll(smooth(), 16, 1)).mean() < 3


def test_heic_that_cannot_be_decoded_says_what_to_convert_to(tmp_path: Path) -> None:
    path = tmp_path / "broken.heic"
    path.write_bytes(heic(smooth())[:-3000])
    with pytest.raises(UnsupportedVideo, match="is a HEIC picture that cannot be decoded") as caught:
        probe_picture(path)
    assert "JPEG or PNG" in caught.value.hint


@pytest.mark.parametrize("orientation", [1, 2, 4, 6])
def test_side_data_that_pyav_does_not_know_is_ignored(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = io.BytesIO()
    for frame in moving():
        Image.fromarray(frame).save(data, "JPEG", quality=95, exif=exif)
    clip = tmp_path / "camera.mov"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
    make = ["-f", "mjpeg", "-framerate", "10", "-i", "-", "-c", "copy", str(clip)]
    subprocess.run([*ffmpeg, *make], input=data.getvalue(), check=True, timeout=300)
    raw = [*ffmpeg, "-i", str(clip), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    info = probe(clip)
    right = np.frombuffer(subprocess.run(raw, capture_output=True, check=True, timeout=300).stdout, np.uint8)
    right = right.reshape(-1, info.height, info.width, 3)
    assert (info.width < info.height) == (orientation == 6)
    found = np.stack([frame.rgb() for frame in read_frames(info)])
    assert np.array_equal(found, right)


def test_the_drawn_profile_is_what_the_formulas_say() -> None:
    assert np.abs(as_srgb(colours(), SRGB, SRGB_CURVE) - colours()).max() < 1
