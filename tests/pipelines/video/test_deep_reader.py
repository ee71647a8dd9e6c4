"""Deep and HDR clips are read as they are stored, by each decoder and from any frame."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UnsupportedVideo
from pipelines.video.colour.samples import sdr_rgb
from pipelines.video.decoders.decoding import iter_decoded
from pipelines.video.info import ColourTags, ContentLight, MasteringDisplay
from pipelines.video.probe import probe
from pipelines.video.reader import choose_decoder, held_bytes, read_frames
from pipelines.video.samples.layout import SampleLayout, layout_of

FFmpeg = Callable[..., bytes]

MASTERING = MasteringDisplay(((34000, 16000), (13250, 34500), (7500, 3000)), (15635, 16450), (50, 10_000_000))
PQ = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
HLG = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67:range=tv"
SDR_2020 = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=bt2020-10:range=tv"
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
X265 = f"log-level=error:master-display={DISPLAY}:max-cll=1000,400"


def drawn(ffmpeg: FFmpeg, path: Path, pixel_format: str, tags: str, *how: str, size: str = "64x48") -> Path:
    """A moving gradient with noise, 8 frames."""
    source = f"testsrc2=s={size}:r=25:d=0.32,noise=alls=8:allf=t,format={pixel_format},setparams={tags}"
    ffmpeg("-f", "lavfi", "-i", source, *how, path)
    return path


def stored(ffmpeg: FFmpeg, path: Path, pixel_format: str) -> bytes:
    """All samples of the clip as the ffmpeg program decodes them."""
    return ffmpeg("-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", pixel_format, "-")


CLIPS = {
    "pq.mp4": ("yuv420p10le", PQ, "-c:v", "libx265", "-x265-params", X265),
    "hlg.mkv": ("yuv420p10le", HLG, "-c:v", "libx265", "-x265-params", "log-level=error"),
    "sdr.mp4": ("yuv420p10le", SDR_2020, "-c:v", "libx265", "-x265-params", "log-level=error"),
    "twelve.mp4": ("yuv444p12le", PQ, "-c:v", "libx265", "-x265-params", "log-level=error"),
    "av1.mp4": ("yuv420p10le", PQ, "-c:v", "libsvtav1", "-preset", "10"),
    "vp9.webm": ("yuv420p10le", HLG, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "h264.mp4": ("yuv422p10le", SDR_2020, "-c:v", "libx264", "-preset", "ultrafast"),
    "prores.mov": ("yuv422p10le", HLG, "-c:v", "prores_ks"),
    "ffv1.mkv": ("yuv422p12le", PQ, "-c:v", "ffv1"),
    "rgb.mkv": ("gbrp12le", "color_primaries=bt2020:color_trc=smpte2084", "-c:v", "ffv1"),
    "gray.mkv": ("gray12le", "range=pc", "-c:v", "ffv1"),
    "alpha.mov": ("yuva444p10le", HLG, "-c:v", "prores_ks"),
}


@pytest.mark.parametrize("name", CLIPS)
def test_samples_are_those_that_ffmpeg_decodes_from_any_frame(name: str, tmp_path: Path, ffmpeg) -> None:
    pixel_format, tags, *how = CLIPS[name]
    info = probe(drawn(ffmpeg, tmp_path / name, pixel_format, tags, *how))
    want = stored(ffmpeg, info.path, info.layout.pixel_format)
    assert info.deep and choose_decoder(info) == "pyav"
    assert info.hdr == ("pq" if "2084" in tags else "hlg" if "b67" in tags else None)
    for decoder in ("auto", "ffmpeg"):
        for start in (0, 3):
            got = b"".join(
                plane.tobytes()
                for frame in read_frames(info, start, decoder=decoder, planes=True)
                for plane in frame.planes().stored
            )
            assert got == want[len(want) * start // 8 :]


def test_static_metadata_and_tags_are_read(tmp_path: Path, ffmpeg) -> None:
    info = probe(drawn(ffmpeg, tmp_path / "a.mp4", *CLIPS["pq.mp4"]))
    assert info.colour == ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
    assert (info.mastering, info.light) == (MASTERING, ContentLight(1000, 400))
    assert info.notes == ()


@pytest.mark.parametrize(("levels", "light"), [("0,0", None), ("1000,0", ContentLight(1000, 0))])
def test_an_unknown_light_level_is_none_and_half_of_one_is_read(
    levels: str, light: ContentLight | None, tmp_path: Path, ffmpeg
) -> None:
    pixel_format, tags, *how, _ = CLIPS["pq.mp4"]
    path = drawn(
        ffmpeg, tmp_path / "a.mp4", pixel_format, tags, *how, f"log-level=error:max-cll={levels}:hdr10=1"
    )
    info = probe(path)
    assert (info.light, info.notes) == (light, ())


def test_metadata_that_pyav_refuses_is_read_as_printed(tmp_path: Path, ffmpeg, monkeypatch) -> None:
    from pipelines.video.decoders import light

    class Refusing:
        @property
        def side_data(self) -> object:
            raise ValueError("29 is not a valid Type")

    path = drawn(ffmpeg, tmp_path / "a.mp4", *CLIPS["pq.mp4"])
    found = light.read_light(path, 0, Refusing())
    assert (found.mastering, found.light) == (MASTERING, ContentLight(1000, 400))


@pytest.mark.parametrize("turned", [90, 180])
@pytest.mark.parametrize("name", ["pq.mp4", "h264.mp4"])
def test_turned_and_mirrored_clips_give_the_same_samples(
    name: str, turned: int, tmp_path: Path, ffmpeg
) -> None:
    path = drawn(ffmpeg, tmp_path / name, *CLIPS[name])
    ffmpeg("-display_rotation", turned, "-i", path, "-c", "copy", tmp_path / "turned.mp4")
    ffmpeg("-display_hflip", "-i", path, "-c", "copy", tmp_path / "mirrored.mp4")
    plain, turning, mirrored = (probe(tmp_path / other) for other in (name, "turned.mp4", "mirrored.mp4"))
    assert (turning.rotation, mirrored.mirrored) == (turned, True)
    for frame, other, flipped in zip(
        *(read_frames(info, planes=True) for info in (plain, turning, mirrored)), strict=True
    ):
        assert np.array_equal(np.rot90(frame.planes().y, turned // 90), other.planes().y)
        assert np.array_equal(frame.planes().y[:, ::-1], flipped.planes().y)
        assert other.planes().layout == turning.layout


SHAPES = ["yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "gray10le", "gbrp10le"]


@pytest.mark.parametrize("range", ["tv", "pc"])
@pytest.mark.parametrize("pixel_format", SHAPES)
def test_each_code_of_grey_is_shown_as_the_nearest_level(
    pixel_format: str, range: str, tmp_path: Path, ffmpeg
) -> None:
    """The conversion of libswscale makes 253 of the white of 4:2:0, and 126 of the middle."""
    layout = layout_of(pixel_format)
    top = 2**layout.bits - 1
    ramp = np.tile(np.arange(top + 1, dtype=np.uint16), (4, 1))
    chroma = np.full(layout.chroma_size(top + 1, 4)[::-1], (top + 1) // 2, np.uint16)
    planes = {"gray": [ramp], "rgb": [ramp] * 3}.get(layout.subsampling, [ramp, chroma, chroma])
    raw = ("-f", "rawvideo", "-pix_fmt", pixel_format, "-s", f"{top + 1}x4", "-i", "-")
    tagged = ("-vf", f"setparams=range={range}", "-color_range", range)
    ffmpeg(
        *raw, *tagged, "-c:v", "ffv1", tmp_path / "a.mkv", stdin=b"".join(plane.tobytes() for plane in planes)
    )
    info = probe(tmp_path / "a.mkv")
    full = range == "pc" or layout.subsampling in ("gray", "rgb")
    black, span = (0, top) if full else (16 << (layout.bits - 8), 219 << (layout.bits - 8))
    levels = np.clip((ramp.astype(float) - black) / span, 0, 1)[..., None] * 255
    for decoder in ("pyav", "ffmpeg"):
        shown = next(read_frames(info, decoder=decoder)).rgb()
        assert np.abs(shown - levels).max() <= 0.501
        assert np.ptp(shown, axis=2).max() == 0


def test_colours_of_deep_sdr_are_closer_than_those_of_libswscale(tmp_path: Path, ffmpeg) -> None:
    how = ("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", "log-level=error:lossless=1")
    drawing = ("-f", "lavfi", "-i", "testsrc=s=640x360:r=25:d=0.04")
    ffmpeg(*drawing, *how, tmp_path / "a.mp4")
    drawn = np.frombuffer(ffmpeg(*drawing, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"), np.uint8).reshape(
        360, 640, 3
    )
    info = probe(tmp_path / "a.mp4")
    _, decoded = next(iter_decoded(info))
    made = next(read_frames(info)).rgb(), decoded.to_ndarray(format="rgb24")
    own, other = (np.abs(pixels.astype(int) - drawn).mean() for pixels in made)
    assert own < other


@pytest.mark.parametrize("turned", [90, 180, 270])
@pytest.mark.parametrize("name", ["sdr.mp4", "h264.mp4", "pq.mp4"])
def test_a_turn_changes_no_colour(name: str, turned: int, tmp_path: Path, ffmpeg) -> None:
    path = drawn(ffmpeg, tmp_path / name, *CLIPS[name])
    ffmpeg("-display_rotation", turned, "-i", path, "-c", "copy", tmp_path / "turned.mp4")
    for plain, turning in zip(
        read_frames(probe(path)), read_frames(probe(tmp_path / "turned.mp4")), strict=True
    ):
        assert np.array_equal(np.rot90(plain.rgb(), turned // 90), turning.rgb())


def test_stored_colours_of_transparent_sdr_show_where_ffmpeg_reads(tmp_path: Path, ffmpeg) -> None:
    name, (pixel_format, _, *how) = "alpha.mov", CLIPS["alpha.mov"]
    info = probe(drawn(ffmpeg, tmp_path / name, pixel_format, SDR_2020, *how))
    stored = next(read_frames(info, planes=True)).planes()
    frame = next(read_frames(info, decoder="ffmpeg"))
    assert frame.alpha() is None
    opaque = replace(info.colour, primaries=None)
    assert np.array_equal(frame.rgb(), sdr_rgb(replace(stored, alpha=None), opaque))


@pytest.mark.parametrize("name", ["pq.mp4", "hlg.mkv", "sdr.mp4"])
def test_a_conformance_window_is_cropped_by_each_decoder(name: str, tmp_path: Path, ffmpeg) -> None:
    """H.265 codes whole blocks of 8; the sizes are not multiples of it."""
    info = probe(drawn(ffmpeg, tmp_path / name, *CLIPS[name], size="70x46"))
    assert (info.width, info.height) == (70, 46)
    for one, other in zip(read_frames(info), read_frames(info, decoder="ffmpeg"), strict=True):
        assert one.luma().shape == (46, 70)
        assert np.array_equal(one.luma(), other.luma())
        assert np.array_equal(one.rgb(), other.rgb())


@pytest.mark.parametrize("name", [name for name in CLIPS if name != "alpha.mov"])
def test_pixels_do_not_depend_on_the_decoder(name: str, tmp_path: Path, ffmpeg) -> None:
    info = probe(drawn(ffmpeg, tmp_path / name, *CLIPS[name]))
    for one, other in zip(read_frames(info), read_frames(info, decoder="ffmpeg"), strict=True):
        assert np.array_equal(one.rgb(), other.rgb())
        assert np.array_equal(one.luma(), other.luma())


@pytest.mark.parametrize("range", ["tv", "pc"])
def test_eight_bits_are_read_as_stored_on_request(range: str, tmp_path: Path, ffmpeg) -> None:
    path = drawn(
        ffmpeg, tmp_path / "a.mp4", "yuv420p", f"range={range}", "-c:v", "libx264", "-preset", "ultrafast"
    )
    info = probe(path)
    want = stored(ffmpeg, path, "yuvj420p" if range == "pc" else "yuv420p")
    assert info.layout == SampleLayout(8, "420")
    for decoder in ("auto", "pyav", "ffmpeg"):
        frames = read_frames(info, decoder=decoder, planes=True)
        assert b"".join(plane.tobytes() for frame in frames for plane in frame.planes().stored) == want


def test_decord_is_not_asked_for_hdr_or_samples(tmp_path: Path, ffmpeg) -> None:
    hdr = probe(drawn(ffmpeg, tmp_path / "hdr.mp4", "yuv420p", PQ, "-c:v", "libx264"))
    sdr = probe(drawn(ffmpeg, tmp_path / "sdr.mp4", "yuv420p", "range=tv", "-c:v", "libx264"))
    assert choose_decoder(hdr) == "pyav"
    with pytest.raises(UnsupportedVideo, match="HDR"):
        next(read_frames(hdr, decoder="decord"))
    with pytest.raises(UnsupportedVideo, match="samples"):
        next(read_frames(sdr, decoder="decord", planes=True))


def test_memory_counts_two_bytes_a_sample(tmp_path: Path, ffmpeg) -> None:
    deep = probe(drawn(ffmpeg, tmp_path / "a.mkv", "yuv420p10le", PQ, "-c:v", "ffv1"))
    shallow = replace(deep, bit_depth=8, pixel_format="yuv420p", colour=ColourTags())
    assert held_bytes(deep, "pyav") == 2 * held_bytes(shallow, "pyav")
    assert held_bytes(deep, "ffmpeg") > held_bytes(shallow, "ffmpeg")


def with_dolby(path: Path, profile: int, compatible: int) -> Path:
    """Put a configuration of Dolby Vision into the first sample entry of an MP4 whose index comes last."""
    data = path.read_bytes()
    record = bytes([1, 0, profile << 1, 6 << 3 | 0b101, compatible << 4]) + bytes(19)
    box = (8 + len(record)).to_bytes(4, "big") + (b"dvvC" if profile > 7 else b"dvcC") + record
    at = data.index(b"hvc1", data.index(b"moov")) - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    grown = bytearray(data)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        place = data.index(kind, data.index(b"moov")) - 4
        size = int.from_bytes(data[place : place + 4], "big") + len(box)
        grown[place : place + 4] = size.to_bytes(4, "big")
    grown[end:end] = box
    path.write_bytes(grown)
    return path


@pytest.mark.parametrize(
    ("profile", "compatible", "tags", "said"),
    [
        (8, 1, PQ, "profile 8.1). Its HDR10 base"),
        (8, 4, HLG, "profile 8.4). Its HLG base"),
        (7, 6, PQ, "profile 7"),
    ],
)
def test_dolby_vision_is_read_as_its_base_and_told(
    profile: int, compatible: int, tags: str, said: str, tmp_path: Path, ffmpeg
) -> None:
    how = ("-c:v", "libx265", "-x265-params", "log-level=error", "-tag:v", "hvc1")
    path = with_dolby(drawn(ffmpeg, tmp_path / "a.mp4", "yuv420p10le", tags, *how), profile, compatible)
    info = probe(path)
    assert info.hdr and len(info.notes) == 1 and said in info.notes[0]
    assert sum(1 for _ in read_frames(info)) == 8


def with_hdr10_plus(stream: bytes) -> bytes:
    """Put a message of SMPTE ST 2094-40 with one window and no curves before the first picture of raw HEVC."""
    fields = [
        (1, 8),
        (1, 2),
        (400, 27),
        (0, 1),
        (5000, 17),
        (5000, 17),
        (5000, 17),
        (900, 17),
        (0, 4),
        (0, 10),
    ]
    bits = "".join(f"{value:0{width}b}" for value, width in [*fields, (0, 1), (0, 1), (0, 1)])
    body = int(bits.ljust(128, "0"), 2).to_bytes(16, "big")
    message = bytes.fromhex("b5 003c 0001 04") + body
    unit = b"\0\0\0\1" + bytes([39 << 1, 1, 4, len(message)]) + message + b"\x80"
    # Bytes that would look like the start of a unit are kept apart.
    unit = unit[:4] + unit[4:].replace(b"\0\0\0", b"\0\0\3\0").replace(b"\0\0\1", b"\0\0\3\1")
    starts = [at for at in range(len(stream) - 5) if stream[at : at + 3] == b"\0\0\1"]
    first = next(at for at in starts if stream[at + 3] >> 1 < 32)
    at = first - 1 if stream[first - 1] == 0 else first
    return stream[:at] + unit + stream[at:]


def test_hdr10_plus_is_left_out_and_told(tmp_path: Path, ffmpeg) -> None:
    path = drawn(ffmpeg, tmp_path / "a.hevc", *CLIPS["pq.mp4"])
    path.write_bytes(with_hdr10_plus(path.read_bytes()))
    info = probe(path)
    assert len(info.notes) == 1 and "HDR10+" in info.notes[0]
    assert info.mastering == MASTERING


def test_dolby_vision_without_a_base_is_refused(tmp_path: Path, ffmpeg) -> None:
    how = ("-c:v", "libx265", "-x265-params", "log-level=error", "-tag:v", "hvc1")
    path = with_dolby(drawn(ffmpeg, tmp_path / "a.mp4", "yuv420p10le", "range=pc", *how), 5, 0)
    with pytest.raises(UnsupportedVideo, match=r"Dolby Vision \(profile 5\)"):
        probe(path)


@pytest.mark.parametrize(("matrix", "name"), [("ycgco", "YCgCo"), ("ictcp", "ICtCp")])
def test_colours_that_cannot_be_converted_are_refused(matrix: str, name: str, tmp_path: Path, ffmpeg) -> None:
    path = tmp_path / "a.mp4"
    source = "testsrc2=size=64x48:rate=25:duration=0.2,format=yuv420p10le"
    how = ("-c:v", "libx265", "-x265-params", f"log-level=none:colormatrix={matrix}")
    ffmpeg("-f", "lavfi", "-i", source, *how, path)
    with pytest.raises(UnsupportedVideo, match=name):
        probe(path)
