"""What a result keeps besides pictures and sound, and what it says about the rest."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from struct import pack

import av
import numpy as np
import pytest
from av.stream import Disposition

from pipelines.errors import UnsupportedVideo
from pipelines.spans import Span
from pipelines.video.join import JoinReport, join_segments
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.video.writer import VideoWriter

Clips = Callable[[str], Path]

CHAPTERS = """;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=One
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=3840
title=Two
"""
TEXTS = """1
00:00:00,500 --> 00:00:01,000
Hello

2
00:00:02,500 --> 00:00:03,000
Goodbye
"""


def copy(source: Path, out: Path, frames: Span | None = None, *, codec: str = "h264") -> JoinReport:
    info = probe(source)
    frames = frames or Span(0, info.frames)
    segment = out.with_name("segment" + (".webm" if codec == "vp9" else ".mov"))
    with VideoWriter(
        segment,
        info.width,
        info.height,
        info.frame_rate,
        codec=codec,
        field_order=info.field_order,
    ) as target:
        for frame in read_frames(info, frames.start, frames.stop):
            target.write(frame.rgb())
    return join_segments([segment], info, frames, out)


@pytest.fixture(scope="module")
def rich(clips: Clips, ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Two languages, the second one default and titled, subtitles, chapters and a timecode."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "chapters.txt").write_text(CHAPTERS)
    (folder / "texts.srt").write_text(TEXTS)
    tones = [part for tone in (440, 880) for part in ("-f", "lavfi", "-i", f"sine={tone}:d=3.84")]
    inputs = ("-i", clips("closed.mp4"), *tones, "-i", folder / "texts.srt", "-i", folder / "chapters.txt")
    maps = [part for number in range(4) for part in ("-map", str(number))]
    names = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra"]
    names += ["-metadata:s:a:1", "title=Commentaire", "-metadata:s:s:0", "language=spa"]
    names += ["-disposition:a:0", "0", "-disposition:a:1", "default", "-map_chapters", "4"]

    def make(suffix: str) -> Path:
        path = folder / f"rich{suffix}"
        texts = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "subrip"}[suffix]
        how = ["-c:v", "copy", "-c:a", "aac", "-c:s", texts, "-timecode", "01:02:03:04"]
        ffmpeg(*inputs, *maps, *names, *how, path)
        return path

    return make


def texts_of(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        plain = {"mov_text": lambda data: data[2:]}.get(stream.codec_context.name, lambda data: data)
        return [
            (
                float(packet.pts * packet.time_base),
                float(packet.duration * packet.time_base),
                plain(bytes(packet)).decode(),
            )
            for packet in container.demux(stream)
            if packet.size > 2
        ]


@pytest.mark.parametrize("source", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("result", [".mp4", ".mkv"])
def test_names_chapters_and_texts_are_kept(source: str, result: str, rich, tmp_path: Path) -> None:
    out = tmp_path / f"out{result}"
    report = copy(rich(source), out)
    assert report.warnings == ()
    with av.open(str(out)) as joined:
        sounds = joined.streams.audio
        assert [stream.language for stream in sounds] == ["eng", "fra"]
        defaults = [bool(stream.disposition & Disposition.default) for stream in sounds]
        assert defaults == [False, True]
        named = sounds[1].metadata
        assert "Commentaire" in (named.get("title"), named.get("name"))
        assert joined.streams.subtitles[0].language == "spa"
        chapters = [
            (chapter["start"] * chapter["time_base"], chapter["end"] * chapter["time_base"])
            for chapter in joined.chapters()
        ]
        assert chapters == [(0, 2), (2, Fraction(384, 100))]
        assert [chapter["metadata"]["title"] for chapter in joined.chapters()] == ["One", "Two"]
        metadata = {key.lower(): text for key, text in joined.streams.video[0].metadata.items()}
        assert metadata["timecode"] == "01:02:03:04"
        begin = joined.streams.video[0].start_time * joined.streams.video[0].time_base
    # Matroska has no times before 0, where the encoder's run-in lies: all tracks begin that much later.
    texts = [(round(start - float(begin), 3), length, text) for start, length, text in texts_of(out)]
    assert texts == [(0.5, 0.5, "Hello"), (2.5, 0.5, "Goodbye")]


def test_a_part_has_its_chapters_texts_and_timecode(rich, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    copy(rich(".mov"), out, Span(20, 70))  # 0.8 to 2.8 s.
    with av.open(str(out)) as joined:
        chapters = [
            (chapter["start"] * chapter["time_base"], chapter["metadata"]["title"])
            for chapter in joined.chapters()
        ]
        assert chapters == [(0, "One"), (Fraction(12, 10), "Two")]
        assert joined.streams.video[0].metadata["timecode"] == "01:02:03:24"
    texts = texts_of(out)
    assert [text for *_, text in texts] == ["Hello", "Goodbye"]
    assert np.allclose([(begin, length) for begin, length, _ in texts], [(0, 0.2), (1.7, 0.3)], atol=0.002)


def test_further_pictures_are_named(clips: Clips, ffmpeg, tmp_path: Path) -> None:
    source = tmp_path / "two.mp4"
    ffmpeg("-i", clips("closed.mp4"), "-map", "0", "-map", "0", "-c", "copy", source)
    assert ["2 picture tracks" in warning for warning in copy(source, tmp_path / "out.mp4").warnings] == [
        True
    ]


def test_a_padded_size_is_named(ffmpeg, tmp_path: Path) -> None:
    source = tmp_path / "odd.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=100x80:r=25:d=0.4,format=yuv444p,scale=81:61", "-c:v", "ffv1", source
    )
    (warning,) = copy(source, tmp_path / "out.mp4").warnings
    assert "81x61 to 82x62" in warning


@pytest.mark.parametrize("codec", ["h264", "prores4444"])
def test_lost_transparency_is_named(codec: str, ffmpeg, tmp_path: Path) -> None:
    source, out = tmp_path / "clear.mov", tmp_path / "out.mov"
    clear = "testsrc2=s=80x60:r=25:d=0.4,format=yuva444p10le,geq=lum='lum(X,Y)':a='1023*lt(X,40)'"
    ffmpeg("-f", "lavfi", "-i", clear, "-c:v", "prores_ks", "-pix_fmt", "yuva444p10le", source)
    assert any("transparent" in warning for warning in copy(source, out, codec=codec).warnings)


def test_opaque_alpha_is_no_loss(ffmpeg, tmp_path: Path) -> None:
    source = tmp_path / "opaque.mov"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=80x60:r=25:d=0.4,format=argb", "-c:v", "qtrle", source)
    assert probe(source).pixel_format == "argb"
    with av.open(str(source)) as container:
        opaque = next(container.decode(video=0)).to_ndarray(format="rgba")[..., 3].min() == 255
    assert bool(copy(source, tmp_path / "out.mp4").warnings) is not opaque


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("codec", ["h264", "prores4444"])
def test_interlaced_video_stays_so(order: str, codec: str, ffmpeg, tmp_path: Path) -> None:
    source, out = tmp_path / "fields.mp4", tmp_path / "out.mov"
    fields = f"testsrc2=s=96x64:r=50:d=0.8,tinterlace=interleave_{'top' if order == 'tff' else 'bottom'}"
    how = ("-vf", f"setfield={order}", "-flags", "+ildct+ilme")
    ffmpeg("-f", "lavfi", "-i", fields, "-c:v", "libx264", *how, source)
    info = probe(source)
    assert info.interlaced and info.field_order == order
    assert copy(source, out, codec=codec).warnings == ()
    joined = probe(out)
    assert joined.interlaced and joined.field_order == order
    with av.open(str(out)) as container:
        assert all(frame.interlaced_frame for frame in container.decode(video=0))


def test_fields_that_are_not_marked_are_named(ffmpeg, tmp_path: Path) -> None:
    source = tmp_path / "fields.mp4"
    how = ("-vf", "setfield=tff", "-flags", "+ildct+ilme")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=0.4", "-c:v", "libx264", *how, source)
    (warning,) = copy(source, tmp_path / "out.mp4", codec="vp9").warnings
    assert "not marked as interlaced" in warning


@pytest.fixture
def cropped(ffmpeg, tmp_path: Path) -> tuple[Path, Path]:
    """A Matroska file without and with 16 rows cropped at the top."""
    whole, cropped = tmp_path / "whole.mkv", tmp_path / "cropped.mkv"
    how = ("-c:v", "libx264", "-crf", "12", "-fflags", "+bitexact", "-write_crc32", "0")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=0.6", *how, whole)
    data = whole.read_bytes()
    siting = bytes.fromhex("55b08455b98101")  # Colour with the chroma siting, in the video's settings.
    assert data.count(siting) == 1
    crop_and_void = bytes.fromhex("54bb8110" + "ec8100")
    cropped.write_bytes(data.replace(siting, crop_and_void))
    return whole, cropped


@pytest.mark.parametrize("decoder", ["auto", "ffmpeg"])
def test_a_container_crops(decoder: str, cropped: tuple[Path, Path], tmp_path: Path) -> None:
    whole, info = (probe(path) for path in cropped)
    assert (info.width, info.height, info.cropped, whole.cropped) == (160, 104, True, False)
    frames = read_frames(info, decoder=decoder)
    for before, after in zip(read_frames(whole, decoder="ffmpeg"), frames, strict=True):
        assert np.array_equal(before.rgb()[16:], after.rgb())
    copy(cropped[1], tmp_path / "out.mp4")
    joined = probe(tmp_path / "out.mp4")
    assert (joined.width, joined.height, joined.frames) == (160, 104, 15)


def with_clean_aperture(whole: Path, path: Path, entry: bytes) -> None:
    """Add `clap` (ISO/IEC 14496-12, 12.1.4) to the video's `entry`: a size and the offset of its centre."""
    data = bytearray(whole.read_bytes())
    box = pack(">I4sIIIIiIiI", 40, b"clap", 120, 1, 64, 1, 10, 1, -6, 1)
    at = 0
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry):
        while data[at + 4 : at + 8] != name:
            at += int.from_bytes(data[at : at + 4])
        size = int.from_bytes(data[at : at + 4])
        data[at : at + 4] = (size + len(box)).to_bytes(4)
        end = at + size
        at += 16 if name == b"stsd" else 8
    data[end:end] = box
    path.write_bytes(data)


@pytest.mark.parametrize("decoder", ["auto", "pyav", "ffmpeg"])
def test_a_clean_aperture_crops(decoder: str, clips: Clips, ffmpeg, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "clap.mp4"
    ffmpeg("-i", clips("closed.mp4"), "-an", "-c", "copy", whole)
    with_clean_aperture(whole, path, b"avc1")
    info, full = probe(path), probe(whole)
    assert (info.width, info.height, info.cropped) == (120, 64, True)
    if decoder == "pyav":
        with pytest.raises(UnsupportedVideo, match="--decoder auto"):
            next(read_frames(info, decoder=decoder))
        return
    read = zip(read_frames(info, decoder=decoder), read_frames(full, decoder="ffmpeg"), strict=True)
    for cut, frame in read:
        assert np.array_equal(cut.rgb(), frame.rgb()[10:74, 30:150])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67", "bt709"])
def test_luma_of_a_deep_clip_does_not_depend_on_a_crop(
    container: str, transfer: str, ffmpeg, tmp_path: Path
) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / f"clap.{container}"
    tags = f"setparams=colorspace=bt2020nc:range=tv:color_primaries=bt2020:color_trc={transfer}"
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s=160x96:d=0.2,format=yuv420p10le,{tags}", "-c:v", "libx265"),
        *("-x265-params", "log-level=error", "-tag:v", "hvc1", whole),
    )
    with_clean_aperture(whole, tmp_path / "clap.mp4", b"hvc1")
    if container == "mkv":
        ffmpeg("-i", tmp_path / "clap.mp4", "-c", "copy", path)
    info, full = probe(path), probe(whole)
    assert (info.width, info.height, info.cropped) == (120, 64, True)
    cut, uncut = read_frames(info, luma_only=True), read_frames(full, luma_only=True)
    for one, other in zip(cut, uncut, strict=True):
        assert np.array_equal(one.luma(), other.luma()[10:74, 30:150])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_crop_of_hdr_keeps_samples_tags_and_metadata(container: str, ffmpeg, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / f"clap.{container}"
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    tags = "setparams=colorspace=bt2020nc:range=tv:color_primaries=bt2020:color_trc=smpte2084"
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s=160x96:d=0.4,format=yuv420p10le,{tags}", "-c:v", "libx265"),
        *(
            "-x265-params",
            f"log-level=error:master-display={display}:max-cll=1000,400",
            "-tag:v",
            "hvc1",
            whole,
        ),
    )
    with_clean_aperture(whole, tmp_path / "clap.mp4", b"hvc1")
    if container == "mkv":
        ffmpeg(
            "-i", tmp_path / "clap.mp4", "-c", "copy", path
        )  # FFmpeg writes what MP4 tells as Matroska's crop.
    info, full = probe(path), probe(whole)
    assert (info.width, info.height, info.cropped, full.cropped) == (120, 64, True, False)
    kept = ("colour", "bit_depth", "mastering", "light", "hdr")
    assert [getattr(info, key) for key in kept] == [getattr(full, key) for key in kept]
    assert full.mastering and full.light and full.hdr == "pq"
    for cut, frame in zip(read_frames(info, planes=True), read_frames(full, planes=True), strict=True):
        some, all_ = cut.planes(), frame.planes()
        assert np.array_equal(some.y, all_.y[10:74, 30:150])
        assert np.array_equal(some.u, all_.u[5:37, 15:75])
        assert np.array_equal(some.v, all_.v[5:37, 15:75])
