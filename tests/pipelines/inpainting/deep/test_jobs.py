"""Jobs on deep and HDR clips: samples outside the hole stay, fills have the depth of the source, tags are kept."""

import json
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from pipelines.jobs.events import Done
from pipelines.masks.sequence import dilate
from pipelines.runtime import planning
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.video.samples.planes import Planes

from ...mask_clips import white
from ..standin import install
from ..test_pipeline import ask, blob, result, step, stop_after

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PQ = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
HLG = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67:range=tv"
SDR = "colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
RGB = "color_primaries=bt2020:color_trc=smpte2084"
STEPS = 4
"""Steps by which a mask is dilated, by default."""
FRAMES = 14


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of 10 frames, and a look for a request after each."""
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    choose = planning.choose

    def shorter(*given, **more):
        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": 10})

    monkeypatch.setattr(planning, "choose", shorter)


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    white(blob(96, 64)).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def clip(path: Path, pixel_format: str, tags: str) -> Path:
    """Moving shapes with noise, lossless."""
    drawn = f"testsrc2=size=96x64:rate=25:duration={FRAMES / 25},noise=alls=6:allf=t"
    source = f"{drawn},format={pixel_format},setparams={tags}"
    subprocess.run(
        [FFMPEG, "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "ffv1", "-y", str(path)], check=True
    )
    return path


def planes_of(path: Path) -> list[Planes]:
    return [frame.planes() for frame in read_frames(probe(path), planes=True)]


def touched(mask: np.ndarray, plane: np.ndarray) -> np.ndarray:
    down, across = -(-mask.shape[0] // plane.shape[0]), -(-mask.shape[1] // plane.shape[1])
    return mask.reshape(plane.shape[0], down, plane.shape[1], across).any(axis=(1, 3))


CLIPS = {
    "pq": ("yuv420p10le", PQ),
    "hlg": ("yuv422p10le", HLG),
    "sdr": ("yuv444p12le", SDR),
    "rgb": ("gbrp12le", RGB),
    "eight": ("yuv420p", SDR),
}


@pytest.mark.parametrize(
    ("kind", "deep"),
    [("pq", True), ("hlg", True), ("rgb", True), ("eight", True), ("pq", False), ("sdr", False)],
)
def test_samples_outside_the_hole_are_those_decoded(kind, deep, tmp_path, mask, monkeypatch) -> None:
    if not deep:
        install(monkeypatch.setattr)
    source = clip(tmp_path / "clip.mkv", *CLIPS[kind])
    outputs = result(ask(tmp_path / "jobs", source, mask, codec="ffv1", mask_dilation=STEPS))
    before, after = probe(source), probe(outputs.result)
    assert after.layout == before.layout
    assert after.colour == before.colour
    hole, edges = dilate(np.asarray(blob(96, 64)), STEPS), 0
    for old, new in zip(planes_of(source), planes_of(outputs.result), strict=True):
        for number, (a, b) in enumerate(zip(old.colours, new.colours, strict=True)):
            filled = touched(hole, a)
            assert np.array_equal(a[~filled], b[~filled])
            assert (a[filled] != b[filled]).mean() > 0.5
            if number == 1 and a.shape != hole.shape:
                edges += int((filled & touched(~hole, a)).sum())
    assert json.loads(outputs.report.read_text())["summary"]["chroma_samples_at_edges"] == edges


def test_odd_sizes_of_subsampled_chroma_are_kept(tmp_path, mask, monkeypatch) -> None:
    install(monkeypatch.setattr)
    white(blob(95, 63)).save(mask)
    even = clip(tmp_path / "even.mkv", *CLIPS["pq"])
    source = tmp_path / "clip.mkv"
    crop = ("-vf", "crop=95:63:0:0:exact=1", "-pix_fmt", "yuv420p10le", "-c:v", "ffv1")
    subprocess.run([FFMPEG, "-v", "error", "-i", str(even), *crop, "-y", str(source)], check=True)
    outputs = result(ask(tmp_path / "jobs", source, mask, codec="ffv1"))
    assert (probe(outputs.result).width, probe(outputs.result).height) == (95, 63)
    far = ~dilate(np.asarray(blob(95, 63)), 6)
    for old, new in zip(planes_of(source), planes_of(outputs.result), strict=True):
        assert np.array_equal(old.y[far], new.y[far])


def test_an_interrupted_job_gives_the_same_bytes(tmp_path, mask) -> None:
    source = clip(tmp_path / "clip.mkv", *CLIPS["pq"])
    whole = result(ask(tmp_path / "a", source, mask, codec="ffv1"))
    job = ask(tmp_path / "b", source, mask, codec="ffv1")
    stopped = step(job, **stop_after(4))
    assert not isinstance(stopped, Done)
    assert result(job).result.read_bytes() == whole.result.read_bytes()


def test_a_codec_of_8_bits_gets_sdr_and_so_do_its_pictures(tmp_path, mask) -> None:
    source = clip(tmp_path / "clip.mkv", *CLIPS["pq"])
    folder = tmp_path / "frames"
    outputs = result(ask(tmp_path / "jobs", source, mask, codec="h264", frames_out=folder))
    made = probe(outputs.result)
    assert (made.bit_depth, made.hdr, made.colour.transfer) == (8, None, "bt709")
    pictures = sorted(folder.glob("*.png"))
    assert len(pictures) == FRAMES
    picture = cv2.imread(str(pictures[0]), cv2.IMREAD_UNCHANGED)
    assert picture.dtype == np.uint8
    with closing(read_frames(made)) as frames:
        shown = next(frames).rgb()
    assert np.abs(shown.astype(int) - picture[..., ::-1]).mean() < 8
    deep = tmp_path / "deep"
    result(ask(tmp_path / "deep-jobs", source, mask, codec="ffv1", frames_out=deep))
    assert cv2.imread(str(deep / pictures[0].name), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_a_cut_out_is_deep_and_transparent_around_the_fill(tmp_path, mask) -> None:
    source = clip(tmp_path / "clip.mkv", *CLIPS["hlg"])
    outputs = result(ask(tmp_path / "jobs", source, mask, codec="prores4444"))
    made = probe(outputs.result)
    assert made.pixel_format.startswith("yuva444p")
    assert made.bit_depth >= 10
    assert made.hdr == "hlg"
    frame = next(iter(read_frames(made, alpha=True, planes=True)))
    opacity = frame.planes().alpha
    hole = np.asarray(blob(96, 64))
    assert opacity[hole].min() > 0.9 * opacity.max()
    assert np.median(opacity[~dilate(hole, 8)]) == 0


@pytest.mark.parametrize("kind", ["gray10le", "gray14le"])
def test_the_fill_of_grey_video_is_alone_in_a_transparent_result(kind, tmp_path, mask, monkeypatch) -> None:
    install(monkeypatch.setattr)
    source = clip(tmp_path / "clip.mkv", kind, "range=pc")
    made = result(ask(tmp_path / "jobs", source, mask, codec="prores4444", mask_dilation=0)).result
    assert probe(made).pixel_format.startswith("yuva444")
    hole = np.asarray(blob(96, 64))
    for old, new in zip(planes_of(source), planes_of(made), strict=True):
        assert new.alpha[~dilate(hole, 1)].max() == 0
        assert new.alpha[hole].min() > 0.99 * new.alpha.max()
        shown = (new.y.astype(float) / 2 ** (new.bits - 10) - 64) / 876
        far = ~dilate(hole, 8)
        assert np.abs(shown - old.y / (2**old.bits - 1))[far].mean() < 0.01
        assert abs(new.u[hole].mean() / 2**new.bits - 0.5) < 0.002
