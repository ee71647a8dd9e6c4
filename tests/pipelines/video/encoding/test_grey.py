"""Grey stays grey, black stays black and white stays white in every codec, from any depth, range and layout."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.settings import FixedCodec
from pipelines.video.colour.as_yuv import as_yuv
from pipelines.video.encoding.encodings import keeps_depth
from pipelines.video.info import ColourTags
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.video.samples.layout import SampleLayout, Subsampling
from pipelines.video.samples.planes import Planes
from pipelines.video.writer import VideoWriter

WIDTH, HEIGHT = 192, 32
SHARES = (0.0, 0.2, 1.0)
"""Three fields of grey, wide enough for their middles not to be reached by what codecs do at their edges."""


def fields(top: int) -> np.ndarray:
    row = np.repeat(np.rint(np.array(SHARES) * top), WIDTH // len(SHARES))
    return np.repeat(row[None], HEIGHT, axis=0).astype(np.uint8 if top == 255 else np.uint16)


def grey(bits: int, subsampling: Subsampling) -> Planes:
    return Planes((fields(2**bits - 1),) * (1 if subsampling == "gray" else 3), bits, subsampling)


def middles(plane: np.ndarray) -> Iterator[float]:
    width = plane.shape[1] // len(SHARES)
    for number in range(len(SHARES)):
        yield float(plane[4:-4, number * width + width // 4 : (number + 1) * width - width // 4].mean())


LIMITED: list[tuple[FixedCodec, str | None]] = [
    ("h264", "tv"),
    ("h265", "tv"),
    ("vp9", "tv"),
    ("av1_10", "tv"),
]
LIMITED += [("h265_10", "tv"), ("prores422hq", "tv"), ("prores4444", "tv"), ("prores422hq", "pc")]
FULL: list[tuple[FixedCodec, str | None]] = [("h264", "pc"), ("h265", "pc"), ("vp9", "pc"), ("av1_10", "pc")]
FULL += [("h265_10", "pc")]


@pytest.mark.parametrize(
    ("source", "codec", "asked"),
    [
        (source, codec, asked)
        for source in ("rgb24", "gray10", "gray16", "rgb12")
        for codec, asked in (*LIMITED, *FULL)
        if source == "rgb24" or keeps_depth(codec)  # others are given frames of 8 bits, which are RGB
    ],
)
def test_codes_of_grey(source: str, codec: FixedCodec, asked: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{'.mov' if codec.startswith('prores') else '.webm' if codec == 'vp9' else '.mp4'}"
    frame = None
    if source != "rgb24":
        frame = grey(int(source[-2:]), "gray" if source[:4] == "gray" else "rgb")
    with VideoWriter(
        path,
        WIDTH,
        HEIGHT,
        Fraction(25),
        colour=ColourTags(asked, "bt709"),
        codec=codec,
        crf=1,
        layout=frame.layout if frame else None,
    ) as out:
        for _ in range(2):
            out.write(frame or np.dstack([fields(255)] * 3))
    info = probe(path)
    full = (codec, asked) in FULL
    assert info.colour.range == ("pc" if full else "tv")
    for read in read_frames(info, planes=True):
        planes = read.planes()
        step, top = 2 ** (planes.bits - 8), 2**planes.bits - 1
        code = max(1, step / 4)  # Of 10 bits: ProRes 4444 comes with 12.
        black, span = (0, top) if full else (16 * step, 219 * step)
        assert list(middles(planes.y)) == pytest.approx([black + share * span for share in SHARES], abs=code)
        for chroma in (planes.u, planes.v):
            assert list(middles(chroma)) == pytest.approx([128 * step] * 3, abs=0.1)


@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
@pytest.mark.parametrize("signal_range", ["tv", "pc"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["gray", "rgb"])
def test_conversion_is_exact(
    kind: Subsampling, bits: int, signal_range: str, subsampling: Subsampling
) -> None:
    codes = (
        np.linspace(0, 2**bits - 1, 200).round().reshape(10, 20).astype(np.uint8 if bits == 8 else np.uint16)
    )
    source = Planes((codes,) * (1 if kind == "gray" else 3), bits, kind)
    layout = SampleLayout(10, subsampling, alpha=subsampling == "444")
    made = as_yuv(source, layout, ColourTags(signal_range, "bt2020nc"))
    share = codes / (2**bits - 1)
    exact = 1023 * share if signal_range == "pc" else 64 + 876 * share
    assert made.layout == layout
    assert np.abs(made.y - exact).max() < 1
    assert abs((made.y - exact).mean()) < 0.1
    assert (made.u == 512).all()
    assert (made.v == 512).all()
    assert made.alpha is None or (made.alpha == 1023).all()


def test_opacity_is_brought_to_the_depth() -> None:
    plane, layout = np.array([[0, 2048, 4095]], np.uint16), SampleLayout(10, "444", alpha=True)
    made = as_yuv(Planes((plane,) * 3, 12, "rgb", plane), layout, ColourTags("tv", "bt709"))
    assert made.alpha is not None
    assert made.alpha.tolist()[0][::2] == [0, 1023]
    assert made.alpha[0, 1] in (511, 512)
