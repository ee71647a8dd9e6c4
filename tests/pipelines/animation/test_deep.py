"""Animation with deep and HDR inputs: seen as SDR; into a deep source video faces are pasted as samples."""

import subprocess
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from pipelines.animation.engine import Animated
from pipelines.animation.pipeline import AnimatePipeline
from pipelines.runtime import planning
from pipelines.stages import RunContext
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.vision.types import Size

from .running import StandIn, ask, result, shorten, stand_in

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PQ = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
FRAMES = 10


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch.setattr)
    stand_in(monkeypatch.setattr)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A clip in PQ, 10 bits, lossless."""
    path = tmp_path / "deep.mkv"
    drawn = f"testsrc2=size=64x48:rate=25:duration={FRAMES / 25},noise=alls=6:allf=t"
    source = f"{drawn},format=yuv420p10le,setparams={PQ}"
    subprocess.run(
        [FFMPEG, "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "ffv1", str(path)], check=True
    )
    return path


def test_a_deep_source_video_keeps_its_samples_outside_what_is_animated(deep: Path, tmp_path: Path) -> None:
    outputs = result(ask(tmp_path / "jobs", deep, deep, codec="ffv1", frames_out=tmp_path / "frames"))
    before, after = probe(deep), probe(outputs.result)
    assert (after.layout, after.colour) == (before.layout, before.colour)
    pairs = zip(read_frames(before, planes=True), read_frames(after, planes=True), strict=True)
    for index, (old, new) in enumerate(pairs):
        for a, b in zip(old.planes().colours, new.planes().colours, strict=True):
            corner = np.zeros(a.shape, bool)
            corner[: 8 * a.shape[0] // 48, : 8 * a.shape[1] // 64] = True
            assert np.array_equal(a[~corner], b[~corner])
        # The stand-in makes the corner as grey as the number of the frame.
        assert np.abs(new.rgb()[1:7, 1:7].astype(int) - index).max() <= 3
    pictures = sorted((tmp_path / "frames").glob("*.png"))
    assert cv2.imread(str(pictures[-1]), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_chroma_stays_in_its_place(deep: Path, tmp_path: Path) -> None:
    placed = tmp_path / "placed.mkv"
    subprocess.run(
        [
            FFMPEG,
            "-v",
            "error",
            "-i",
            str(deep),
            "-c:v",
            "ffv1",
            "-chroma_sample_location",
            "topleft",
            str(placed),
        ],
        check=True,
    )
    assert probe(placed).chroma_location == "topleft"
    assert (
        probe(result(ask(tmp_path / "jobs", placed, placed, codec="ffv1")).result).chroma_location
        == "topleft"
    )


def test_by_default_the_result_of_a_deep_source_video_is_deep_and_hdr(deep: Path, tmp_path: Path) -> None:
    made = probe(result(ask(tmp_path / "jobs", deep, deep)).result)
    assert (made.codec, made.bit_depth, made.hdr) == ("av1", 10, "pq")
    eight = probe(result(ask(tmp_path / "eight", deep, deep, codec="h264")).result)
    assert (eight.bit_depth, eight.hdr, eight.colour.transfer) == (8, None, "bt709")


class Reduced(StandIn):
    """The stand-in on frames that are reduced to 32x24 and trimmed to 30x22."""

    @property
    def size(self) -> Size:
        return 30, 22

    @property
    def reduced(self) -> Size:
        return 32, 24

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        for item in super().frames(run, start, stop):
            source = cv2.resize(item.source, self.reduced, interpolation=cv2.INTER_LINEAR)[:22, :30]
            pixels = source.copy()
            pixels[:8, :8] = item.index
            yield replace(item, source=source, pixels=pixels)


@pytest.mark.parametrize("kind", ["yuv420p10le", "yuv444p12le"])
def test_a_deep_source_video_that_is_reduced_has_a_deep_result(
    kind: str, deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "open_pipeline", lambda task, *asked: AnimatePipeline.open(Reduced, *asked))
    source = tmp_path / "source.mkv"
    subprocess.run(
        [FFMPEG, "-v", "error", "-i", str(deep), "-pix_fmt", kind, "-c:v", "ffv1", str(source)], check=True
    )
    before, after = probe(source), probe(result(ask(tmp_path / "jobs", source, deep, codec="ffv1")).result)
    assert (after.layout, after.colour) == (before.layout, before.colour)
    assert (after.width, after.height) == (30, 22)
    for index, (old, new) in enumerate(
        zip(read_frames(before, planes=True), read_frames(after, planes=True), strict=True)
    ):
        luma = cv2.resize(old.planes().y, (32, 24), interpolation=cv2.INTER_AREA)[:22, :30].astype(int)
        # By the colours, dithered, which clip what lies beyond their range.
        assert np.abs(new.planes().y[8:, 8:] - luma[8:, 8:]).mean() < 4 << (before.bit_depth - 10)
        assert np.abs(new.rgb()[1:7, 1:7].astype(int) - index).mean() <= 3
    made = probe(result(ask(tmp_path / "auto", source, deep)).result)
    assert (made.codec, made.bit_depth, made.hdr) == ("av1", 10, "pq")


def test_a_deep_source_beside_its_driving_is_sdr_and_that_is_said(deep: Path, tmp_path: Path) -> None:
    job = ask(tmp_path / "jobs", deep, deep, side_by_side=True)
    made = probe(result(job).result)
    assert (made.codec, made.bit_depth, made.hdr) == ("h264", 8, None)
    assert any("side by side" in getattr(event, "message", "") for event, _ in job.journal.read())


def test_a_deep_driving_is_seen_as_sdr(deep: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "portrait.png")
    made = probe(result(ask(tmp_path / "jobs", tmp_path / "portrait.png", deep)).result)
    assert (made.codec, made.bit_depth, made.hdr, made.frames) == ("h264", 8, None, FRAMES)
