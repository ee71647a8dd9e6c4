"""Planes hold the samples of a frame unchanged, whatever its format, and upright."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from pipelines.video.clock.timeline import constant
from pipelines.video.frame import Frame, YuvPicture
from pipelines.video.info import VideoInfo
from pipelines.video.samples.layout import SampleLayout, layout_of
from pipelines.video.samples.planes import Planes, frame_of, planes_of


def drawn(layout: SampleLayout, width: int = 7, height: int = 5) -> Planes:
    """Random samples in this layout."""
    rng, most = np.random.default_rng(1), 2**layout.bits
    dtype = np.uint8 if layout.bits == 8 else np.uint16
    across, down = layout.chroma_size(width, height)
    sizes = (
        [(height, width)] * 3
        if layout.subsampling in ("444", "rgb")
        else [(height, width), *[(down, across)] * 2]
    )
    sizes = sizes[: 1 if layout.subsampling == "gray" else 3] + [(height, width)] * layout.alpha
    return Planes.of_stored(tuple(rng.integers(0, most, size).astype(dtype) for size in sizes), layout)


def same(one: Planes, other: Planes) -> bool:
    return one.layout == other.layout and all(map(np.array_equal, one.stored, other.stored))


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("yuv420p", SampleLayout(8, "420")),
        ("yuvj420p", SampleLayout(8, "420")),
        ("nv12", SampleLayout(8, "420")),
        ("p010le", SampleLayout(10, "420")),
        ("yuv422p10be", SampleLayout(10, "422")),
        ("yuv444p12le", SampleLayout(12, "444")),
        ("yuv440p12le", SampleLayout(12, "444")),
        ("yuva444p10le", SampleLayout(10, "444", alpha=True)),
        ("gbrp12le", SampleLayout(12, "rgb")),
        ("rgb48le", SampleLayout(16, "rgb")),
        ("rgba", SampleLayout(8, "rgb", alpha=True)),
        ("pal8", SampleLayout(8, "rgb", alpha=True)),
        ("gray12le", SampleLayout(12, "gray")),
        ("ya8", SampleLayout(8, "444", alpha=True)),
        ("x2rgb10le", SampleLayout(10, "rgb")),
    ],
)
def test_each_format_has_a_layout_that_holds_its_samples(name: str, layout: SampleLayout) -> None:
    assert layout_of(name) == layout
    assert layout_of(layout.pixel_format) == layout


EVERY = [
    "yuv420p",
    "yuv420p10le",
    "yuv422p12le",
    "yuv444p16le",
    "yuva444p12le",
    "gbrp10le",
    "gbrap12le",
    "gray10le",
]


@pytest.mark.parametrize("name", EVERY)
def test_samples_come_back_from_a_frame_unchanged(name: str) -> None:
    planes = drawn(layout_of(name))
    assert frame_of(planes).format.name == name
    assert same(planes_of(frame_of(planes)), planes)


@pytest.mark.parametrize(
    ("packed", "planar"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le"), ("rgb48le", "gbrp16le")]
)
def test_packed_formats_are_only_taken_apart(packed: str, planar: str) -> None:
    planes = drawn(layout_of(planar), 16, 8)
    frame: VideoFrame = frame_of(planes).reformat(format=packed)
    assert same(planes_of(frame), planes)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_samples_are_the_stored_ones(name: str, turns: int) -> None:
    planes = drawn(layout_of(name), 6, 5)
    info = VideoInfo(
        Path(), "mp4", "hevc", 5, 6, constant(1, Fraction(25)), rotation=90 * turns, pixel_format=name
    )
    turned = Frame(0, Fraction(0), YuvPicture(frame_of(planes), info)).planes()
    assert turned.layout == info.layout
    assert np.array_equal(turned.y, np.rot90(planes.y, turns))
    if turned.subsampling != "gray":
        chroma = np.rot90(turned.v, -turns)
        step = 2 if turned.subsampling != planes.subsampling else 1
        assert np.array_equal(chroma[:, ::step], planes.v)
        assert np.array_equal(chroma[:, step - 1 :: step], planes.v)


def test_samples_of_another_depth_are_refused() -> None:
    with pytest.raises(ValueError, match="10 bits"):
        Planes((np.zeros((2, 2), np.uint8),), 10, "gray")


def test_the_file_of_a_deep_clip_gives_its_samples(tmp_path: Path, ffmpeg) -> None:
    planes = drawn(SampleLayout(12, "444"), 16, 8)
    raw = b"".join(plane.tobytes() for plane in planes.stored)
    ffmpeg(
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv444p12le",
        "-s",
        "16x8",
        "-i",
        "-",
        "-c:v",
        "ffv1",
        tmp_path / "a.mkv",
        stdin=raw,
    )
    with av.open(tmp_path / "a.mkv") as container:
        assert same(planes_of(next(container.decode(video=0))), planes)
