"""ffmpeg understands the stream of raw frames: every layout, and the metadata of its header."""

import itertools
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from pipelines.video.encoding.raw_stream import frame_header, stream_header
from pipelines.video.info import ContentLight, MasteringDisplay
from pipelines.video.samples.layout import _ALPHA_DEPTHS, _DEPTHS, SampleLayout

LAYOUTS = [
    *(
        SampleLayout(bits, kind)
        for kind, bits in itertools.product(("420", "422", "444", "rgb", "gray"), _DEPTHS)
    ),
    *(SampleLayout(bits, kind, alpha=True) for kind, depths in _ALPHA_DEPTHS.items() for bits in depths),
]
P3 = MasteringDisplay(((34000, 16000), (13250, 34500), (7500, 3000)), (15635, 16450), (1, 40_000_000))


def read_back(stream: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-f", "matroska", "-i", "-", *arguments]
    return subprocess.run(command, input=stream, capture_output=True, check=False, timeout=300)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.pixel_format)
def test_every_layout_is_read_as_it_is_sent(layout: SampleLayout) -> None:
    width, height = 6, 4
    size = round(width * height * layout.bytes_per_pixel)
    frames = [np.random.default_rng(k).integers(0, 2**7, size, np.uint8).tobytes() for k in range(2)]
    if layout.bits > 8:
        frames = [(np.frombuffer(frame, np.uint16) & (2**layout.bits - 1)).tobytes() for frame in frames]
    stream = stream_header(width, height, layout, P3, None)
    stream += b"".join(frame_header(index, size) + frame for index, frame in enumerate(frames))
    found = read_back(stream, "-f", "rawvideo", "-pix_fmt", layout.pixel_format, "-")
    assert (
        f"{layout.pixel_format}(" in found.stderr.decode()
        or f"{layout.pixel_format}," in found.stderr.decode()
    )
    assert found.stdout == b"".join(frames)


@pytest.mark.parametrize(
    ("mastering", "light", "said"),
    [
        (
            P3,
            ContentLight(1000, 400),
            ["has_primaries:1 has_luminance:1", "max_luminance=4000.0", "MaxCLL=1000, MaxFALL=400"],
        ),
        (
            MasteringDisplay(luminance=(50, 10_000_000)),
            None,
            ["has_primaries:0 has_luminance:1", "min_luminance=0.005"],
        ),
        (
            MasteringDisplay(P3.primaries, P3.white),
            None,
            ["has_primaries:1 has_luminance:0", "g(0.2650,0.6900)"],
        ),
        (None, ContentLight(1, 65535), ["MaxCLL=1, MaxFALL=65535"]),
    ],
)
def test_metadata_reach_the_frames(
    mastering: MasteringDisplay | None, light: ContentLight | None, said: list[str]
) -> None:
    layout = SampleLayout(10, "420")
    stream = stream_header(4, 4, layout, mastering, light) + frame_header(0, 48) + bytes(48)
    told = read_back(stream, "-vf", "showinfo", "-f", "null", "-").stderr.decode()
    frame = told[told.index("showinfo") :]
    assert all(words in frame for words in said)
    assert ("Mastering" in frame, "MaxCLL" in frame) == (mastering is not None, light is not None)
