"""Each way to encode keeps one packet a frame, in order, and what it promises of shape and transparency."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from pipelines.errors import BadInput
from pipelines.settings import VIDEO_SUFFIXES, Codec
from pipelines.spans import Span
from pipelines.video.encoding import encodings
from pipelines.video.encoding.encodings import check_available, encoding
from pipelines.video.join import join_segments
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
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


@pytest.mark.parametrize("codec", SOFTWARE)
def test_software_encodes_everywhere(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_encodes", lambda codec: pytest.fail("not asked"))
    check_available(codec)
