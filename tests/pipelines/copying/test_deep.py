"""Copies of deep and HDR clips: samples, colour tags and static metadata as they were, looked at with ffmpeg itself."""

import json
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job
from pipelines.settings import CopySettings
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

ROOT = Path(__file__).parents[3]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FRAMES, SPANNED = 20, 250
"""Frames of most clips, and of those with two spans: 240 and 10."""
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params")
PQ, HLG, SDR = "smpte2084", "arib-std-b67", "bt2020-10"
CLIPS = {
    "pq": ("yuv420p10le", PQ, *X265, f"log-level=error:master-display={DISPLAY}:max-cll=1000,400"),
    "hlg": ("yuv420p10le", HLG, *X265, "log-level=error"),
    "sdr": ("yuv420p10le", SDR, "-c:v", "libx264", "-preset", "ultrafast"),
    "twelve": ("yuv444p12le", PQ, *X265, f"log-level=error:master-display={DISPLAY}:max-cll=993,112"),
    "prores": ("yuv422p10le", HLG, "-c:v", "prores_ks"),
    "ffv1": ("gbrp12le", PQ, "-c:v", "ffv1"),
    "odd": ("yuv420p10le", HLG, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
}


def ffmpeg(*arguments: object) -> bytes:
    done = subprocess.run(
        [FFMPEG, "-v", "error", "-y", *map(str, arguments)], capture_output=True, check=True
    )
    return done.stdout


def drawn(folder: Path, name: str, frames: int = FRAMES) -> Path:
    pixel_format, transfer, *how = CLIPS[name]
    matrix = "" if pixel_format.startswith("gbr") else "colorspace=bt2020nc:range=tv:"
    tags = f"setparams={matrix}color_primaries=bt2020:color_trc={transfer}"
    size = "63x47" if name == "odd" else "64x48"
    path = folder / f"clip{'.mov' if name == 'prores' else '.mkv'}"
    source = f"testsrc2=s={size}:r=25:d={frames / 25},noise=alls=8:allf=t,format={pixel_format},{tags}"
    ffmpeg("-f", "lavfi", "-i", source, *how, path)
    return path


def told(path: Path) -> tuple[list[str], list[str]]:
    """Colour tags of a file and static metadata of its first frame, in the words of the ffmpeg program."""
    look = ("-frames:v", "1", "-vf", "showinfo", "-f", "null", "-")
    said = subprocess.run([FFMPEG, "-i", path, *look], capture_output=True, check=True).stderr.decode()
    line = next(line for line in said.splitlines() if "Video:" in line)
    tags = re.search(r"(?:yuv|gbr)\w+\(([^)]*)\)", line)
    found = re.findall(r"(has_primaries.*|MaxCLL.*)", said)
    # AV1 stores luminance in other units, which are as fine.
    rounded = {re.sub(r"0\.\d+(?=, max)", lambda number: f"{float(number[0]):.4f}", line) for line in found}
    return tags[1].split(", ")[:2] if tags else [], sorted(rounded)


def hashes(path: Path, pixel_format: str) -> list[str]:
    """A hash of the decoded samples of each frame."""
    listing = ffmpeg("-i", path, "-map", "0:v", "-pix_fmt", pixel_format, "-f", "framemd5", "-").decode()
    return [line.rsplit(",", 1)[1].strip() for line in listing.splitlines() if not line.startswith("#")]


def copied(folder: Path, clip: Path, **settings: object) -> tuple[Job, events.Event]:
    job = Job.create(folder, "copy", (clip,), CopySettings(engine="builtin", **settings), 1)
    return job, step(job)


def step(job: Job, **more: object) -> events.Event:
    job.forget_request()
    job.journal.append(events.Queued(job=job.id, task="copy", name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


def warnings(job: Job) -> list[str]:
    return [event.message for event, _ in job.journal.read() if event.type == "warning"]


@pytest.mark.parametrize("name", ["pq", "sdr", "twelve", "prores", "ffv1", "odd"])
def test_a_lossless_copy_has_every_sample_and_all_metadata(name: str, tmp_path: Path) -> None:
    frames = SPANNED if name == "pq" else FRAMES
    clip = drawn(tmp_path, name, frames)
    job, done = copied(tmp_path / "jobs", clip, codec="ffv1")
    assert done.type == "done", done
    assert not warnings(job)
    result, pixel_format = done.outputs.result, CLIPS[name][0]
    assert result.suffix == ".mkv"
    assert hashes(result, pixel_format) == hashes(clip, pixel_format)
    assert told(result) == told(clip)
    before, after = probe(clip), probe(result)
    assert len(hashes(result, pixel_format)) == after.frames == frames
    kept = ("colour", "bit_depth", "pixel_format", "mastering", "light", "hdr", "width", "height")
    assert [getattr(before, key) for key in kept] == [getattr(after, key) for key in kept]


@pytest.mark.parametrize(
    ("name", "codec", "kind", "pixel_format"),
    [
        ("pq", "auto", "av1", "yuv420p10le"),
        ("pq", "h265_10", "hevc", "yuv420p10le"),
        ("pq", "prores422hq", "prores", "yuv422p10le"),
        ("pq", "prores4444", "prores", "yuv444p10le"),
        ("twelve", "auto", "av1", "yuv420p10le"),
        ("hlg", "h265_10", "hevc", "yuv420p10le"),
        ("ffv1", "auto", "av1", "yuv420p10le"),
    ],
)
def test_each_deep_codec_keeps_tags_and_metadata(
    name: str, codec: str, kind: str, pixel_format: str, tmp_path: Path
) -> None:
    frames = SPANNED if (name, codec) == ("pq", "h265_10") else FRAMES
    clip = drawn(tmp_path, name, frames)
    job, done = copied(tmp_path / "jobs", clip, codec=codec, crf=10)
    assert done.type == "done", done
    before, after = probe(clip), probe(done.outputs.result)
    assert (after.codec, after.pixel_format, after.frames) == (kind, pixel_format, frames)
    assert ["12 bits" in said for said in warnings(job)] == ([True] if before.bit_depth == 12 else [])
    assert (after.mastering, after.light, after.hdr) == (before.mastering, before.light, before.hdr)
    if not before.rgb:
        assert after.colour == before.colour
        assert told(done.outputs.result)[0] == told(clip)[0]
    assert told(done.outputs.result)[1] == told(clip)[1]
    for one, other in zip(read_frames(before), read_frames(after), strict=True):
        same = one.luma().astype(int) - other.luma()[: before.height, : before.width]
        assert np.abs(same).mean() < 5, "each frame at its place, in its colours"


@pytest.mark.parametrize(
    ("levels", "codec", "keeps"),
    [
        ("1000,0", "auto", True),
        ("0,400", "h265_10", True),
        ("0,400", "auto", False),
        ("1000,0", "ffv1", False),
    ],
)
def test_half_a_light_level_is_kept_where_it_can_be(
    levels: str, codec: str, keeps: bool, tmp_path: Path
) -> None:
    pixel_format, transfer, *how = CLIPS["pq"]
    tags = f"setparams=colorspace=bt2020nc:range=tv:color_primaries=bt2020:color_trc={transfer}"
    clip = tmp_path / "clip.mp4"
    options = how[-1].replace("1000,400", levels)
    ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=s=64x48:d=0.2,format={pixel_format},{tags}", *how[:-1], options, clip
    )
    job, done = copied(tmp_path / "jobs", clip, codec=codec)
    before, after = probe(clip), probe(done.outputs.result)
    assert (after.light == before.light, after.light is None) == (keeps, not keeps)
    assert after.mastering == before.mastering
    assert any("0 means unknown" in said for said in warnings(job)) != keeps


def test_deep_interlaced_video_stays_marked_without_loss(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2,format=yuv420p10le,setfield=bff", "-c:v", "ffv1", clip
    )
    job, done = copied(tmp_path / "jobs", clip, codec="ffv1")
    assert probe(clip).field_order == probe(done.outputs.result).field_order == "bff"
    assert hashes(done.outputs.result, "yuv420p10le") == hashes(clip, "yuv420p10le")
    assert not warnings(job)


SLOW = [pytest.param(codec, marks=pytest.mark.slow) for codec in ("h265_10", "prores422hq", "prores4444")]


@pytest.mark.parametrize("codec", ["auto", "ffv1", *SLOW])
def test_a_resumed_deep_copy_is_the_uninterrupted_one(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    clip = drawn(tmp_path, "pq", SPANNED)
    _, whole = copied(tmp_path / "whole", clip, codec=codec)
    settings = CopySettings(engine="builtin", codec=codec)
    job = Job.create(tmp_path / "cut", "copy", (clip,), settings, 1)
    looks = iter([False] * 495 + [True] * 10**6)
    assert step(job, closing=lambda: next(looks)).type == "paused"
    assert len(list((job.folder / "segments").iterdir())) == 1
    assert step(job).outputs.result.read_bytes() == whole.outputs.result.read_bytes()


KILLED = """
import os, signal, sys
from itertools import count
from pathlib import Path
from pipelines.jobs.job import Job
from pipelines.runtime import run
from tests.pipelines.copying.test_deep import step

run._LOOK_SECONDS = 0.0
looks = count()
job = Job.find(Path(sys.argv[1]), sys.argv[2])
step(job, closing=lambda: next(looks) >= 495 and os.kill(os.getpid(), signal.SIGKILL))
"""
"""Ends a copy between two frames of its second span, as the system ends a process: its encoder is left alone."""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("codec", ["auto", *SLOW, pytest.param("ffv1", marks=pytest.mark.slow)])
def test_a_killed_deep_copy_goes_on_to_the_uninterrupted_one(codec: str, tmp_path: Path) -> None:
    clip = drawn(tmp_path, "pq", SPANNED)
    _, whole = copied(tmp_path / "whole", clip, codec=codec)
    job = Job.create(tmp_path / "cut", "copy", (clip,), CopySettings(engine="builtin", codec=codec), 1)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cut"), job.id]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert len([path for path in (job.folder / "segments").iterdir() if "part" not in path.name]) == 1
    assert step(job).outputs.result.read_bytes() == whole.outputs.result.read_bytes()
    assert not list(job.folder.rglob("*part*"))


def test_a_part_of_a_deep_clip_has_the_samples_of_these_frames(tmp_path: Path) -> None:
    clip = drawn(tmp_path, "pq", 100)
    _, done = copied(tmp_path / "jobs", clip, codec="ffv1", start=1, end=3)
    assert hashes(done.outputs.result, "yuv420p10le") == hashes(clip, "yuv420p10le")[25:75]


def test_eight_bits_of_a_lossless_copy_are_the_stored_ones(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=48x32:r=25:d=1", "-c:v", "libx264", "-pix_fmt", "yuv422p", clip)
    _, done = copied(tmp_path / "jobs", clip, codec="ffv1")
    assert hashes(done.outputs.result, "yuv422p") == hashes(clip, "yuv422p")


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le"])
@pytest.mark.parametrize("tag", ["range=pc:colorspace=bt709", "colorspace=bt709"])
def test_a_lossless_copy_keeps_the_range(pixel_format: str, tag: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    source = f"testsrc2=s=64x48:r=25:d=0.2,format={pixel_format},setparams={tag}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", clip)
    _, done = copied(tmp_path / "jobs", clip, codec="ffv1")
    before, after = probe(clip), probe(done.outputs.result)
    assert before.colour == after.colour
    as_stored = before.pixel_format
    assert hashes(done.outputs.result, as_stored) == hashes(clip, as_stored)


@pytest.mark.parametrize("codec", ["auto", "h265_10", "ffv1"])
def test_the_place_of_chroma_is_kept(codec: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    source = "testsrc2=s=64x48:r=25:d=0.2,format=yuv420p10le,setparams=chroma_location=topleft"
    ffmpeg("-f", "lavfi", "-i", source, *X265, "log-level=error", clip)
    _, done = copied(tmp_path / "jobs", clip, codec=codec)
    assert probe(clip).chroma_location == probe(done.outputs.result).chroma_location == "topleft"


@pytest.mark.parametrize(
    ("codec", "pixel_format"), [("prores422hq", "yuv422p10le"), ("h265_10", "yuv420p10le")]
)
def test_chroma_is_reduced_to_the_even_columns(codec: str, pixel_format: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    ramp = "color=black:s=64x48:r=25:d=0.2,format=yuv444p10le,geq=lum=500:cb='300+X*6':cr=512"
    ffmpeg("-f", "lavfi", "-i", f"{ramp},setparams=colorspace=bt709:range=tv", "-c:v", "ffv1", clip)
    _, done = copied(tmp_path / "jobs", clip, codec=codec, crf=1)
    found = next(read_frames(probe(done.outputs.result), planes=True)).planes()
    assert found.layout.pixel_format == pixel_format
    off = found.u[12].astype(int) - (300 + 6 * np.arange(0, 64, 2))
    assert np.abs(off[2:-2]).max() <= 2, "between two columns it would be 3 more"


def test_eight_bits_of_hdr_are_tone_mapped_to_bt709(tmp_path: Path) -> None:
    clip = drawn(tmp_path, "pq", 25)
    job, done = copied(tmp_path / "jobs", clip, codec="h264", crf=1)
    (said,) = warnings(job)
    assert "SDR with 8 bits" in said and "203 cd/m2" in said
    before, after = probe(clip), probe(done.outputs.result)
    assert (after.bit_depth, after.hdr, after.mastering, after.light) == (8, None, None, None)
    assert (after.colour.matrix, after.colour.primaries, after.colour.transfer) == ("bt709",) * 3
    for one, other in zip(read_frames(before), read_frames(after), strict=True):
        assert np.abs(one.rgb().astype(int) - other.rgb()).mean() < 12


@pytest.mark.parametrize("codec", ["h264", "vp9"])
@pytest.mark.parametrize("signal_range", ["tv", "pc"])
def test_eight_bits_of_deep_sdr_are_its_samples_rounded(
    codec: str, signal_range: str, tmp_path: Path
) -> None:
    """By way of R'G'B' chroma would be off by five codes on average, and moved."""
    clip = tmp_path / "clip.mkv"
    source = "testsrc2=s=64x48:r=25:d=0.2,noise=alls=8:allf=t,format=yuv420p10le"
    tags = f"setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range={signal_range}"
    ffmpeg("-f", "lavfi", "-i", f"{source},{tags}", *X265, "log-level=error", clip)
    _, done = copied(tmp_path / "jobs", clip, codec=codec, crf=0)
    before, after = probe(clip), probe(done.outputs.result)
    assert (after.bit_depth, after.colour) == (8, before.colour)
    scale = 255 / 1023 if signal_range == "pc" else 1 / 4
    for one, other in zip(*(read_frames(info, planes=True) for info in (before, after)), strict=True):
        for number, (deep, made) in enumerate(zip(one.planes().colours, other.planes().colours, strict=True)):
            middle = 512 if number else 0
            wanted = (deep.astype(float) - middle) * scale + middle / 4
            assert np.abs(made - wanted).mean() < 0.6


def test_eight_bits_of_a_deep_gradient_have_no_bands(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    ramp = "color=black:s=512x32:r=25:d=0.2,format=yuv420p10le,geq=lum='400+X/16':cb=512:cr=512"
    ffmpeg("-f", "lavfi", "-i", f"{ramp},setparams=colorspace=bt709:range=tv", "-c:v", "ffv1", clip)
    _, done = copied(tmp_path / "jobs", clip, codec="prores4444", frames_out=tmp_path / "deep")
    _, shallow = copied(tmp_path / "jobs", clip, codec="vp9", crf=0, frames_out=tmp_path / "shallow")
    assert (done.type, shallow.type) == ("done", "done")
    deep, dithered = (cv2.imread(str(tmp_path / name / "00000.png"), -1) for name in ("deep", "shallow"))
    assert (deep.dtype, dithered.dtype) == (np.uint16, np.uint8)
    assert len(np.unique(deep)) == 32, "every level of 10 bits"
    columns = dithered.astype(float).mean(axis=(0, 2)).reshape(32, 16).mean(axis=1)
    wanted = deep.astype(float).mean(axis=(0, 2)).reshape(32, 16).mean(axis=1) / 257
    assert np.abs(columns - wanted).max() < 0.15, "between two levels of 8 bits, pixels are mixed"


def test_pictures_of_deep_results_have_16_bits_of_the_sources_signal(tmp_path: Path) -> None:
    clip = drawn(tmp_path, "twelve", 25)
    _, done = copied(tmp_path / "jobs", clip, codec="ffv1", frames_out=tmp_path / "frames")
    assert done.type == "done"
    picture = cv2.imread(str(tmp_path / "frames/00003.png"), -1)
    assert picture.dtype == np.uint16 and picture.shape == (48, 64, 3)
    raw = ffmpeg("-i", clip, "-f", "rawvideo", "-pix_fmt", "gbrp16le", "-")
    green, blue, red = np.frombuffer(raw, np.uint16).reshape(-1, 3, 48, 64)[3]
    # White is 65535; ffmpeg's conversion makes it 255 * 256.
    wanted = np.minimum(np.dstack([blue, green, red]), 255 * 256)
    assert np.abs(picture.astype(int) * 256 / 257 - wanted).max() < 65535 / 4095 * 2


def test_what_is_hidden_under_transparency_is_not_seen_in_an_opaque_codec(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mov"
    hidden = (
        "testsrc2=s=48x32:r=25:d=0.4,format=yuva444p10le,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a=0"
    )
    ffmpeg("-f", "lavfi", "-i", f"{hidden},setparams=colorspace=bt709:range=tv", "-c:v", "prores_ks", clip)
    _, kept = copied(tmp_path / "jobs", clip, codec="ffv1")
    assert hashes(kept.outputs.result, "yuva444p10le") == hashes(clip, "yuva444p10le")
    _, seen = copied(tmp_path / "jobs", clip, codec="auto")
    for frame in read_frames(probe(seen.outputs.result), planes=True):
        assert np.abs(frame.planes().y.astype(int) - 940).max() < 4, "white"


def see_through(folder: Path) -> Path:
    """A 12-bit clip whose left half is red and opaque, and whose right half is green, hidden by transparency."""
    path = folder / "clip.mkv"
    colours = "r='4095*lt(X,32)':g='4095*gte(X,32)':b=0:a='4095*lt(X,32)'"
    source = f"color=s=64x48:r=25:d=0.2,format=gbrap12le,geq={colours},format=yuva444p12le"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "ffv1", path)
    return path


@pytest.mark.parametrize(("codec", "pixel_format"), [("ffv1", "yuva444p12le"), ("prores4444", None)])
def test_a_copy_that_keeps_transparency_does_not_say_that_it_is_gone(
    codec: str, pixel_format: str | None, tmp_path: Path
) -> None:
    clip = see_through(tmp_path)
    job, done = copied(tmp_path / "jobs", clip, codec=codec, frames_out=tmp_path / "out")
    assert done.type == "done", done
    assert probe(done.outputs.result).transparent
    said = [*warnings(job), *json.loads(done.outputs.report.read_text())["warnings"]]
    assert not [sentence for sentence in said if "transparent" in sentence]
    if pixel_format:
        assert hashes(done.outputs.result, pixel_format) == hashes(clip, pixel_format)
    picture = cv2.imread(str(tmp_path / "out" / "00000.png"), cv2.IMREAD_UNCHANGED)
    assert (picture[:, 34:] > 65000).all(), "white shows behind, and never a hidden colour"


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1_10"])
def test_colours_hidden_by_transparency_are_never_copied(codec: str, tmp_path: Path) -> None:
    job, done = copied(tmp_path / "jobs", see_through(tmp_path), codec=codec)
    assert done.type == "done", done
    assert [sentence for sentence in warnings(job) if "transparent parts" in sentence]
    with closing(read_frames(probe(done.outputs.result))) as frames:
        pixels = next(frames).rgb()
    assert (pixels[:, 36:] > 245).all()
    assert (pixels[:, :28, 0] > 220).all() and (pixels[:, :28, 1] < 20).all()


@pytest.mark.parametrize("tags", ["", ",setparams=color_primaries=bt2020:color_trc=smpte2084"])
def test_rgb_that_stays_rgb_has_the_tags_of_its_source(tags: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    source = f"testsrc2=s=64x48:r=25:d=0.2,format=gbrp12le{tags}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "ffv1", clip)
    _, done = copied(tmp_path / "jobs", clip, codec="ffv1")
    assert told(done.outputs.result) == told(clip)
    assert probe(done.outputs.result).colour == probe(clip).colour
