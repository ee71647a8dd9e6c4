"""Each way to encode keeps one packet a frame, in order, and what it promises of shape and transparency."""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import cv2
import numpy as np
import pytest

from pipelines.errors import BadInput
from pipelines.settings import VIDEO_SUFFIXES, Codec
from pipelines.spans import Span
from pipelines.video.encoding import encodings
from pipelines.video.encoding.encodings import check_available, encoding
from pipelines.video.info import ColourTags
from pipelines.video.join import join_segments
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Planes
from pipelines.video.writer import VideoWriter

SOFTWARE = ["h264", "h265", "prores4444", "vp9"]
WIDTH, HEIGHT, FRAMES = 159, 95, 8


def segment(path: Path, codec: Codec, first: int, picture: Callable[..., np.ndarray]) -> Path:
    alpha = encoding(codec, 10).alpha
    ratio = Fraction(4, 3)
    with VideoWriter(
        path, WIDTH, HEIGHT, Fraction(25), codec=codec, crf=10, sample_aspect_ratio=ratio
    ) as out:
        for index in range(first, first + FRAMES):
            frame = picture(index, WIDTH, HEIGHT)
            out.write(np.dstack([frame, np.full((HEIGHT, WIDTH), 255, np.uint8)]) if alpha else frame)
    return path


@pytest.mark.parametrize("codec", SOFTWARE)
def test_segments_of_each_codec_join(codec: Codec, tmp_path: Path, picture, number_of, clips) -> None:
    suffix = VIDEO_SUFFIXES[codec]
    parts = [segment(tmp_path / f"{i}{suffix}", codec, i * FRAMES, picture) for i in range(2)]
    with av.open(str(parts[0])) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert len(stamps) == FRAMES and stamps == sorted(stamps), "nothing hidden, nothing reordered"
    source = probe(clips("closed.mp4"))
    out = tmp_path / f"out{suffix}"
    join_segments(parts, source, Span(0, 2 * FRAMES), out)
    info = probe(out)
    even = encoding(codec, 10).even
    assert (info.frames, info.width, info.height) == (16, WIDTH + even, HEIGHT + even)
    assert [number_of(frame.rgb()) for frame in read_frames(info)] == list(range(16))
    if codec != "vp9":
        assert info.sample_aspect_ratio == Fraction(4, 3)


def test_a_webm_takes_its_sound_as_opus_and_says_so(tmp_path: Path, picture, ffmpeg) -> None:
    clip = tmp_path / "clip.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=r=25:d=0.32", "-f", "lavfi", "-i", "sine=d=0.32", "-c:a", "aac", clip
    )
    part = segment(tmp_path / "0.webm", "vp9", 0, picture)
    joined = join_segments([part], probe(clip), Span(0, FRAMES), tmp_path / "out.webm")
    sound = probe(tmp_path / "out.webm").audio
    assert sound and sound.codec == "opus"
    assert "Opus" in joined.warnings[0]


def test_pixels_that_are_not_square_are_told_where_webm_cannot(tmp_path: Path, picture, ffmpeg) -> None:
    clip = tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=r=25:d=0.32,setsar=4/3", clip)
    part = segment(tmp_path / "0.webm", "vp9", 0, picture)
    joined = join_segments([part], probe(clip), Span(0, FRAMES), tmp_path / "out.webm")
    assert "non-square pixels" in joined.warnings[0]


def test_a_silent_join_leaves_the_sound_out(tmp_path: Path, picture, ffmpeg) -> None:
    clip = tmp_path / "clip.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=r=25:d=0.32", "-f", "lavfi", "-i", "sine=d=0.32", "-c:a", "aac", clip
    )
    part = segment(tmp_path / "0.mp4", "h264", 0, picture)
    join_segments([part], probe(clip), Span(0, FRAMES), tmp_path / "out.mp4", silent=True)
    assert probe(tmp_path / "out.mp4").audio is None


def test_every_codec_has_a_suffix() -> None:
    assert set(VIDEO_SUFFIXES) == set(get_args(Codec))


@pytest.mark.parametrize("codec", ["h264_nvenc", "h265_nvenc"])
def test_a_card_is_tried_with_one_frame(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []

    class Done:
        returncode = 1

    def run(arguments: list[str], **more: object) -> Done:
        tried.append(arguments)
        return Done()

    monkeypatch.setattr(encodings.ffmpeg, "run", run)
    encodings._encodes.cache_clear()
    with pytest.raises(BadInput, match=f"{codec} is not available"):
        check_available(codec)
    assert any("nvenc" in argument for argument in tried[0])
    Done.returncode = 0
    encodings._encodes.cache_clear()
    check_available(codec)
    encodings._encodes.cache_clear()


@pytest.mark.parametrize("codec", ["h265", "h265_10"])
@pytest.mark.parametrize(("width", "height"), [(16, 16), (15, 15), (48, 32), (48, 130)])
def test_x265_encodes_narrow_pictures_without_writing_past_its_buffers(
    codec: Codec, width: int, height: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = "libc_malloc_debug.so.0"  # Part of glibc: frees that find their surroundings overwritten abort.
    with suppress(OSError):
        ctypes.CDLL(checked)
        monkeypatch.setenv("LD_PRELOAD", checked)
        monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    path = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    with VideoWriter(path, width, height, Fraction(25), codec=codec) as out:
        for index in range(8):  # It moves: blocks are predicted from others, and weighed by that.
            out.write(texture[index : index + height, 2 * index : 2 * index + width])
    assert probe(path).frames == 8


@pytest.mark.parametrize(("width", "height"), [(17, 19), (22, 22)])
def test_av1_encodes_noise_in_small_pictures(width: int, height: int, tmp_path: Path) -> None:
    path, layout = tmp_path / "clip.mp4", SampleLayout(10, "420")
    across, down = layout.chroma_size(width, height)
    sizes = ((height, width), (down, across), (down, across))
    noise = np.random.default_rng(0)
    with VideoWriter(path, width, height, Fraction(25), codec="av1_10", crf=1, layout=layout) as out:
        for _ in range(40):
            planes = tuple(noise.integers(0, 1024, size, dtype=np.uint16) for size in sizes)
            out.write(Planes(planes, 10, "420"))
    assert probe(path).frames == 40


@pytest.mark.parametrize("codec", [*SOFTWARE, "h265_10", "av1_10", "prores422hq", "ffv1"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 40), (14, 10)])
def test_tiny_pictures_keep_their_size(codec: Codec, width: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / f"clip{VIDEO_SUFFIXES[codec]}"
    ramp = np.add.outer(np.arange(height) * 2, np.arange(width) * 2)
    with VideoWriter(
        path, width, height, Fraction(25), codec=codec, crf=8, colour=ColourTags("tv", "bt709")
    ) as out:
        for index in range(12):
            out.write(np.repeat((60 + 9 * index + ramp)[..., None], 3, axis=2).astype(np.uint8))
    info, even = probe(path), encoding(codec, 8).even
    assert (info.width, info.height) == ((width + even * (width % 2)), (height + even * (height % 2)))
    frames = [frame.rgb()[:height, :width].astype(int) for frame in read_frames(info)]
    assert len(frames) == 12
    for index, frame in enumerate(frames):
        assert np.abs(frame - (60 + 9 * index + ramp)[..., None]).mean() < 6


@pytest.mark.parametrize("codec", SOFTWARE)
def test_software_encodes_everywhere(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_encodes", lambda codec: pytest.fail("not asked"))
    check_available(codec)
