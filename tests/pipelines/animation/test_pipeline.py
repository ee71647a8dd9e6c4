"""The task's promises on real files: frames, times and sound of the driving; the same bytes however it was stopped."""

import json
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from pipelines.animation.faces import selection
from pipelines.animation.faces.cascade import FaceBox, detect_by_votes
from pipelines.animation.motion.motions import Motions
from pipelines.animation.motion.templates import Template, write_template
from pipelines.animation.warp import engine as warp_engine
from pipelines.example.moving_face import DrawnFace, MovingFace, Pose
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.settings import AnimateSettings
from pipelines.video.probe import probe
from pipelines.video.writer import VideoWriter

from ..picture_files import heic
from . import running
from .drawn_face import drawn
from .running import SPAN_FRAMES, StandIn, ask, result, shorten, step

ROOT = Path(__file__).parents[3]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE = Fraction(30000, 1001)
FRAMES = 22
FAST = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "8")


def ffmpeg(*arguments: object) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], check=True, timeout=300)


def film(
    path: Path, *, rate: str = "30000/1001", size: str = "64x48", seconds: float = 0.73, sound: bool = True
) -> Path:
    """Test bars, and a tone."""
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={seconds}") if sound else ()
    bars = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}")
    ffmpeg(*bars, *tone, *FAST, *(("-c:a", "aac") if sound else ()), path)
    return path


def picture(path: Path, width: int = 80, height: int = 64) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((width, height)).save(path)
    return path


def template(path: Path, frames: int, rate: Fraction = RATE) -> Path:
    zeros = {"turn": (3, 3), "expression": (21, 3), "translation": (3,), "scale": (1,), "canonical": (21, 3)}
    parts = {
        name: np.zeros((frames, *shape), np.float32)
        for name, shape in (*zeros.items(), ("keypoints", (21, 3)))
    }
    write_template(path, Template(Motions(**parts), rate))
    return path


def packets(path: Path, kind: str) -> list[tuple[Fraction, int]]:
    """Time and size of each packet."""
    with av.open(str(path)) as container:
        stream = next((s for s in container.streams if s.type == kind), None)
        found = container.demux(stream) if stream else []
        return sorted((p.pts * p.time_base, p.size) for p in found if p.pts is not None and not p.is_discard)


def pictures(folder: Path) -> np.ndarray:
    return np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.png"))])


def warnings(job: Job) -> str:
    return " ".join(event.message for event, _ in job.journal.read() if isinstance(event, events.Warned))


def stop_after(looks: int) -> dict[str, Callable[[], bool]]:
    left = iter([False] * looks + [True] * 10**6)
    return {"closing": lambda: next(left)}


LOOKED_FOR: dict[int, list[FaceBox]] = {}


def looked_for(frame: Any) -> list[FaceBox]:
    """Faces are looked for with care, but only once on the same picture."""
    key = zlib.crc32(frame.tobytes())
    if key not in LOOKED_FOR:
        LOOKED_FOR[key] = detect_by_votes(frame)
    return LOOKED_FOR[key]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    monkeypatch.setattr(selection, "detect_by_votes", looked_for)
    shorten(monkeypatch.setattr)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    return running.stand_in(monkeypatch.setattr)


@pytest.fixture(scope="module")
def portrait_png(portrait: DrawnFace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The admiral, small."""
    path = tmp_path_factory.mktemp("portrait") / "admiral.png"
    Image.fromarray(portrait.picture).resize((256, 256), Image.Resampling.BOX).save(path)
    return path


@pytest.fixture(scope="module")
def speaker(clip: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody who speaks, with sound, at 30000/1001."""
    folder = tmp_path_factory.mktemp("speaker")
    with VideoWriter(folder / "silent.mp4", 256, 256, RATE, preset="ultrafast") as writer:
        for frame in clip[:FRAMES]:
            writer.write(frame)
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1")
    ffmpeg("-i", folder / "silent.mp4", *tone, "-c:v", "copy", "-c:a", "aac", folder / "speaker.mp4")
    return folder / "speaker.mp4"


@pytest.fixture(scope="module")
def done(portrait_png: Path, speaker: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished job with the built-in engine: the job, its outputs, its frames as pictures."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
        patch.setattr(selection, "detect_by_votes", looked_for)
        shorten(patch.setattr)
        job = ask(folder / "jobs", portrait_png, speaker, frames_out=folder / "frames")
        return job, result(job), pictures(folder / "frames")


# -- the built-in engine -------------------------------------------------------------------------------------


def test_the_first_frame_is_the_source_and_the_others_follow(done: Any, portrait_png: Path) -> None:
    source = np.asarray(Image.open(portrait_png))
    _, _, frames = done
    assert len(frames) == FRAMES
    assert np.array_equal(frames[0], source)
    assert all((frame != source).any() for frame in frames[3:])


def test_a_stopped_run_goes_on_to_the_same_bytes(
    done: Any, portrait_png: Path, speaker: Path, tmp_path: Path
) -> None:
    whole, want, frames = done
    job = ask(tmp_path / "jobs", portrait_png, speaker, frames_out=tmp_path / "frames")
    assert job.id == whole.id, "where pictures go is no part of the question"
    first, looks = job.folder / "segments/00000000-00000008.mp4", stop_after(4)["closing"]
    assert step(job, closing=lambda: first.exists() and looks()).type == "paused"
    assert [path.name for path in (job.folder / "segments").iterdir()] == ["00000000-00000008.mp4"]
    got = result(job)
    for name in ("result", "report", "picture"):
        assert getattr(got, name).read_bytes() == getattr(want, name).read_bytes(), name
    assert np.array_equal(pictures(tmp_path / "frames"), frames)


def test_a_killed_run_goes_on_to_the_same_bytes(
    done: Any, portrait_png: Path, speaker: Path, tmp_path: Path
) -> None:
    job = ask(tmp_path / "jobs", portrait_png, speaker)
    job.journal.append(events.Queued(job=job.id, task="animate", name="clip"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.pipelines.animation.running", str(job.folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    told = 0
    for line in process.stdout or ():
        told += line == "segment\n"
        if told == 7:  # Six of the prepasses, one of frames.
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert list((job.folder / "segments").iterdir())
    assert result(job).result.read_bytes() == done[1].result.read_bytes()


def test_a_span_on_its_own_is_the_same_as_in_one_chain(done: Any) -> None:
    job, outputs, _ = done
    segment = job.folder / "segments/00000008-00000016.mp4"
    before, film = segment.read_bytes(), outputs.result.read_bytes()
    segment.unlink()
    assert result(job).result.read_bytes() == film
    assert segment.read_bytes() == before


def test_the_report_says_what_it_is_and_what_was_found(done: Any) -> None:
    job, outputs, _ = done
    report = json.loads(outputs.report.read_text())
    assert (report["task"], report["engine"], report["frames"]) == ("animate", "flowwarp", FRAMES)
    assert report["source"]["kind"] == "picture" and report["driving"]["frame_rate"] == "30000/1001"
    assert report["size"] == [256, 256]
    summary = report["summary"]
    assert summary["preview"] and summary["faces"] == 1 and summary["reference_frame"] == 0
    assert 0 < summary["most_shift_eye_distances"] < 0.3 and summary["frames_at_rest"] == 0
    assert "--engine liveportrait" in warnings(job) or "LivePortrait" in warnings(job)
    assert "flag_stitching" not in report["settings"], "that means nothing to this engine"
    assert Image.open(outputs.picture).size == (3 * 240, 3 * 240), "three moments of source, driving, result"


def test_a_turned_face_whose_mouth_is_held_is_told(driver: DrawnFace, tmp_path: Path) -> None:
    Image.fromarray(drawn(0.6)).save(tmp_path / "turned.png")
    moving = MovingFace(driver)
    with VideoWriter(tmp_path / "gapes.mp4", 256, 256, RATE, preset="ultrafast") as writer:
        for share in (0, 0, 0.5, 1, 1, 1, 1, 0.5):
            writer.write(moving.frame(Pose(open=share)))
    job = ask(tmp_path / "jobs", tmp_path / "turned.png", tmp_path / "gapes.mp4", source_box="53,55,150,150")
    report = json.loads(result(job).report.read_text())
    assert report["summary"]["frames_with_mouth_held"] >= 4
    assert report["summary"]["symmetry"][0] < 0.48
    for told in (warnings(job), " ".join(report["warnings"])):
        assert "Its mouth stays closed" in told


def test_more_motion_than_it_follows_is_told(portrait_png: Path, driver: DrawnFace, tmp_path: Path) -> None:
    path = tmp_path / "leaps.mp4"
    with VideoWriter(path, 256, 256, RATE, preset="ultrafast") as writer:
        for i in range(10):
            moved = np.array([[1, 0, 4 * i], [0, 1, 0]], np.float64)
            writer.write(cv2.warpAffine(driver.picture, moved, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    job = ask(tmp_path / "jobs", portrait_png, path)
    outputs = result(job)
    assert "0.6 eye distances" in warnings(job)
    assert "0.6 eye distances" in json.loads(outputs.report.read_text())["warnings"][1]


def test_where_nobody_drives_the_portrait_rests_and_it_is_told(
    portrait_png: Path, driver: DrawnFace, tmp_path: Path
) -> None:
    path = tmp_path / "leaves.mp4"
    with VideoWriter(path, 256, 256, RATE, preset="ultrafast") as writer:
        for i in range(56):
            writer.write(driver.picture if i < 9 else np.full_like(driver.picture, 90))
    job = ask(tmp_path / "jobs", portrait_png, path, frames_out=tmp_path / "out")
    summary = json.loads(result(job).report.read_text())["summary"]
    assert summary["gone"] == [[9, 56]] and summary["frames_at_rest"] > 40
    assert summary["rest"] == [{"frames": [9, 56], "seconds": [0.3, 1.869], "reason": "cut"}]
    assert "holds still on frames 9 to 55 (0.30 to 1.87 s: the driving cuts to a shot without" in warnings(
        job
    )
    assert np.array_equal(pictures(tmp_path / "out")[-1], np.asarray(Image.open(portrait_png)))


def test_a_large_portrait_is_made_smaller_and_told(
    portrait: DrawnFace, speaker: Path, tmp_path: Path
) -> None:
    large = Image.fromarray(portrait.picture).resize((900, 900))
    large.save(tmp_path / "large.png")
    job = ask(tmp_path / "jobs", tmp_path / "large.png", speaker, quality="draft", end=0.1)
    assert probe(result(job).result).width == 720
    assert "reduced from 900 x 900 to 720 x 720 pixels" in warnings(job)


# -- refused, with what to do --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "driving", "settings", "sentences"),
    [
        (
            "noise.png",
            "speaker.mp4",
            {},
            ("No face of at least 10 pixels was found in the picture", "--source-box"),
        ),
        ("face.png", "bars.mp4", {}, ("in 2 frames of the driving video", "--driving-box")),
        ("face.png", "t.npz", {}, ("cannot use a motion template", "--engine liveportrait")),
        ("speaker.mp4", "speaker.mp4", {}, ("animates pictures, not videos", "--engine liveportrait")),
        ("face.png", "noise.png", {}, ("single picture", "Give a driving video")),
        ("face.png", "one.mp4", {}, ("single picture", "Give a driving video")),
        ("t.npz", "speaker.mp4", {}, ("is a motion template", "Give the portrait first")),
        ("face.png", "speaker.mp4", {"start": 9.0}, ("no frame between", "--start and --end")),
        ("face.png", "text.mp4", {}, ("is not a video that can be opened", "another type")),
        ("text.png", "speaker.mp4", {}, ("cannot be read as a picture", "JPEG, PNG or WebP")),
        ("face.png", "text.npz", {}, ("is not a readable motion template", "LivePortrait or Longtake wrote")),
        ("face.png", "speaker.mp4", {"face": "3"}, ("There is no face 3", "Choose one of 1")),
        ("face.png", "speaker.mp4", {"source_box": "900,9,50,50"}, ("lies outside", "left, top")),
    ],
)
def test_what_cannot_be_animated_is_refused_with_what_to_do(
    source: str,
    driving: str,
    settings: Any,
    sentences: Any,
    portrait_png: Path,
    speaker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "face.png").write_bytes(portrait_png.read_bytes())
    (tmp_path / "speaker.mp4").write_bytes(speaker.read_bytes())
    noise = np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    make = {"bars.mp4": {"size": "256x256"}, "one.mp4": {"seconds": 0.03}}
    if driving in make:
        film(tmp_path / driving, **make[driving])
    template(tmp_path / "t.npz", 5)
    for name in ("text.mp4", "text.png", "text.npz"):
        (tmp_path / name).write_text("no video")
    monkeypatch.setattr(warp_engine, "_MOST_INSPECTED", 2)
    failed = step(ask(tmp_path / "jobs", tmp_path / source, tmp_path / driving, **settings))
    assert isinstance(failed, events.Failed)
    assert failed.exit_code == 2
    for words, where in zip(sentences, (failed.message, failed.hint), strict=True):
        assert words in where


# -- times and sound -----------------------------------------------------------------------------------------


def humming_on(path: Path) -> Path:
    """Its sound goes on for half a second."""
    ffmpeg("-i", film(path.with_name("seen.mp4")), "-i", film(path.with_name("heard.mp4"), seconds=1.2),
           "-map", "0:v", "-map", "1:a", "-c", "copy", path)  # fmt: skip
    return path


def variable(path: Path) -> Path:
    even = film(path.with_name("even.mp4"), seconds=1.15)
    ffmpeg("-i", even, "-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr", *FAST, "-c:a", "aac", path)
    return path


@pytest.mark.parametrize("make", [film, variable, humming_on])
def test_frames_times_and_sound_are_the_drivings(make: Any, stand_in: type[StandIn], tmp_path: Path) -> None:
    driving = make(tmp_path / "driving.mp4")
    outputs = result(ask(tmp_path / "jobs", picture(tmp_path / "face.png"), driving))
    before, after = probe(driving), probe(outputs.result)
    assert (after.frames, after.width, after.height) == (before.frames, 80, 64)
    assert [time for time, _ in packets(outputs.result, "video")] == pytest.approx(
        [float(before.timeline.time(i)) for i in range(before.frames)], abs=5e-4
    )
    found, whole = packets(outputs.result, "audio"), packets(driving, "audio")
    assert found == whole[: len(found)], "run-in included"
    assert 0 <= float(found[-1][0] - packets(outputs.result, "video")[-1][0]) < 2 / RATE
    if make is not variable:
        assert after.frame_rate == RATE
    assert after.colour.matrix == "bt709"


def test_a_part_has_its_own_frames_and_sound(stand_in: type[StandIn], tmp_path: Path) -> None:
    driving = film(tmp_path / "driving.mp4", seconds=2)
    asked = {"start": 0.5, "end": 1.2, "frames_out": tmp_path / "out"}
    outputs = result(ask(tmp_path / "jobs", picture(tmp_path / "face.png"), driving, **asked))
    assert [int(frame[0, 0, 0]) for frame in pictures(tmp_path / "out")] == list(range(15, 36))
    times = [time for time, _ in packets(outputs.result, "video")]
    last = packets(outputs.result, "audio")[-1][0]
    assert times[0] == 0 and abs(last - (times[-1] + 1 / RATE)) < 2 / RATE


@pytest.mark.parametrize(
    ("audio", "heard"), [("driving", "driving.mp4"), ("source", "source.mp4"), ("none", None)]
)
def test_whose_sound_it_is(audio: str, heard: str | None, stand_in: type[StandIn], tmp_path: Path) -> None:
    source = film(tmp_path / "source.mp4", seconds=1.0)
    driving = film(tmp_path / "driving.mp4")
    outputs = result(ask(tmp_path / "jobs", source, driving, audio=audio))
    found = packets(outputs.result, "audio")
    assert probe(outputs.result).frames == FRAMES, "as many as both have"
    assert bool(found) == (heard is not None)
    if heard:
        assert found == packets(tmp_path / heard, "audio")[: len(found)]
        pictures_end = packets(outputs.result, "video")[-1][0] + 1 / RATE
        assert abs(float(found[-1][0] - pictures_end)) < 2 / RATE


def test_sound_that_is_not_there_or_does_not_fit_is_told(stand_in: type[StandIn], tmp_path: Path) -> None:
    silent = film(tmp_path / "silent.mp4", sound=False)
    source = film(tmp_path / "source.mp4")
    job = ask(tmp_path / "jobs", source, silent)
    assert not packets(result(job).result, "audio")
    assert "Use `--audio source` for the sound of the source" in warnings(job)
    other = film(tmp_path / "other.mp4", rate="25")
    job = ask(tmp_path / "jobs", source, other)
    result(job)
    assert "25 frames per second, the source 29.97" in warnings(job)
    job = ask(tmp_path / "jobs", picture(tmp_path / "face.png"), silent, audio="source")
    assert not packets(result(job).result, "audio")
    assert "sound" not in warnings(job), "nobody has any"


# -- what may drive what -------------------------------------------------------------------------------------


def test_a_picture_driven_by_a_picture_is_a_picture(stand_in: type[StandIn], tmp_path: Path) -> None:
    source, driving = picture(tmp_path / "face.png"), picture(tmp_path / "other.jpg", 40, 40)
    job = ask(tmp_path / "jobs", source, driving, side_by_side=False, frames_out=tmp_path / "out")
    outputs = result(job)
    assert outputs.result.name == "result.png"
    want = np.asarray(Image.open(source)).copy()
    want[:8, :8] = 0
    assert np.array_equal(np.asarray(Image.open(outputs.result)), want)
    assert len(pictures(tmp_path / "out")) == 1
    assert json.loads(outputs.report.read_text())["summary"]["figures"] == [0.0]


def test_a_template_gives_its_frames_and_rate(stand_in: type[StandIn], tmp_path: Path) -> None:
    source = picture(tmp_path / "face.png")
    outputs = result(ask(tmp_path / "jobs", source, template(tmp_path / "t.npz", 9), side_by_side=True))
    after = probe(outputs.result)
    assert (after.frames, after.frame_rate, after.width) == (9, RATE, 160), "a template shows nothing"
    one = result(ask(tmp_path / "jobs", source, template(tmp_path / "one.npz", 1)))
    assert one.result.suffix == ".png"


def test_a_source_video_keeps_its_times_as_far_as_the_driving_goes(
    stand_in: type[StandIn], tmp_path: Path
) -> None:
    source = film(tmp_path / "source.mp4", rate="24", seconds=1)
    for driving, frames in ((template(tmp_path / "t.npz", 9), 9), (picture(tmp_path / "one.png"), 24)):
        after = probe(result(ask(tmp_path / "jobs", source, driving)).result)
        assert (after.frames, after.frame_rate) == (frames, 24)
    failed = step(ask(tmp_path / "jobs", source, template(tmp_path / "t.npz", 9), start=0.9))
    assert isinstance(failed, events.Failed) and "The driving video has 9 frames" in failed.message


def test_side_by_side_shows_all_three(stand_in: type[StandIn], tmp_path: Path) -> None:
    source, driving = picture(tmp_path / "face.png", 81, 64), film(tmp_path / "driving.mp4", seconds=0.2)
    asked = {"side_by_side": True, "frames_out": tmp_path / "out"}
    outputs = result(ask(tmp_path / "jobs", source, driving, **asked))
    seen, left = pictures(tmp_path / "out")[3], np.asarray(Image.open(source))
    assert seen.shape == (64, 81 + 85 + 81, 3)
    assert np.array_equal(seen[:, :81], left)
    assert (seen[:8, -81:-73] == 3).all() and np.array_equal(seen[8:, -81:], left[8:])
    with av.open(str(driving)) as container:
        frame = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)][3]
    middle = cv2.resize(frame, (85, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(seen[:, 81:166].astype(int) - middle).mean() < 2
    assert probe(outputs.result).width == 248


@pytest.mark.parametrize(("codec", "suffix"), [("prores4444", ".mov"), ("vp9", ".webm"), ("h265", ".mp4")])
def test_other_codecs_are_opaque(codec: str, suffix: str, stand_in: type[StandIn], tmp_path: Path) -> None:
    source, driving = picture(tmp_path / "face.png"), film(tmp_path / "driving.mp4", seconds=0.3)
    outputs = result(ask(tmp_path / "jobs", source, driving, codec=codec))
    assert outputs.result.suffix == suffix and probe(outputs.result).frames == 9
    decoder = ("-c:v", "libvpx-vp9") if codec == "vp9" else ()
    raw = ("-f", "rawvideo", "-pix_fmt", "rgba", "-frames:v", "1")
    ffmpeg(*decoder, "-i", outputs.result, *raw, tmp_path / "frame.rgba")
    frame = np.fromfile(tmp_path / "frame.rgba", np.uint8).reshape(64, 80, 4)
    assert frame[..., 3].min() >= 254
    gray = [pixels[16:, :, :3].mean(axis=2) for pixels in (frame, np.asarray(Image.open(source)))]
    assert np.corrcoef(gray[0].ravel(), gray[1].ravel())[0, 1] > 0.9


def cut_out(path: Path, portrait: Path) -> Path:
    """The portrait in an oval; what is around it is transparent, and hides noise."""
    image = Image.open(portrait).convert("RGB")
    rows, columns = np.indices((256, 256))
    radius = np.hypot((columns - 128) / 92, (rows - 118) / 112)
    levels = (np.clip((1 - radius) * 30 + 0.5, 0, 1) * 255).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    colours = np.where(levels[..., None] > 0, np.asarray(image), noise)
    if path.suffix == ".heic":
        path.write_bytes(heic(colours, tile=128, alpha=levels))
    else:
        Image.fromarray(np.dstack([colours, levels])).save(path)
    return path


def decoded(path: Path, tmp_path: Path) -> np.ndarray:
    """The frames of a result with their alpha."""
    decoder = ("-c:v", "libvpx-vp9") if path.suffix == ".webm" else ()
    ffmpeg(*decoder, "-i", path, "-f", "rawvideo", "-pix_fmt", "rgba", tmp_path / "frames.rgba")
    return np.fromfile(tmp_path / "frames.rgba", np.uint8).reshape(-1, 256, 256, 4)


@pytest.mark.parametrize(
    ("name", "codec", "asked", "corner"),
    [
        ("cut.avif", "h264", {}, (255, 255, 255)),
        ("cut.heic", "h264", {"background": "#205080"}, (32, 80, 128)),
        ("cut.png", "prores4444", {}, None),
        ("cut.avif", "vp9", {}, None),
    ],
)
def test_transparent_parts_stay_so_or_show_the_background(
    name: str,
    codec: str,
    asked: dict[str, str],
    corner: Any,
    portrait_png: Path,
    speaker: Path,
    tmp_path: Path,
) -> None:
    source = cut_out(tmp_path / name, portrait_png)
    job = ask(tmp_path / "jobs", source, speaker, codec=codec, end=0.35, **asked)
    outputs = result(job)
    frames = decoded(outputs.result, tmp_path).astype(int)
    told = next(text for text in json.loads(outputs.report.read_text())["warnings"] if "transparent" in text)
    assert told in warnings(job)
    outside = np.concatenate([frames[:, :16, :16], frames[:, 240:, 240:]])
    assert (outside[..., :3].max(axis=(1, 2)) - outside[..., :3].min(axis=(1, 2))).max() < 12, "no noise"
    if corner:
        assert f"are {asked.get('background', 'white')} in the result" in told
        assert np.abs(outside[..., :3] - corner).max() < 12 and frames[..., 3].min() == 255
        return
    assert "transparent in the result" in told
    assert outside[..., 3].max() <= 2 and frames[:, 110:140, 110:140, 3].min() >= 253
    levels = np.asarray(Image.open(source))[..., 3].astype(int)
    moved = [float(np.abs(frame[..., 3] - levels).mean()) for frame in frames]
    assert moved[0] < 0.5 and max(moved[5:]) > 1.2 * moved[0], "the opacity moves with the face"
    rim = (frames[..., 3] > 100) & (frames[..., 3] < 200)
    inner = cv2.erode((levels == 255).astype(np.uint8), np.ones((9, 9))) > 0
    portrait = np.asarray(Image.open(portrait_png)).astype(int)
    band = portrait[(levels == 255) & ~inner]
    assert rim.sum() > 200
    assert np.abs(frames[..., :3][rim].mean(axis=0) - band.mean(axis=0)).max() < 30, "no white rim"


def test_an_opaque_portrait_says_nothing_of_transparency(done: Any) -> None:
    assert "transparent" not in warnings(done[0])


@pytest.mark.parametrize(
    ("codec", "size", "told"), [("h264", (82, 64), "81x63 to 82x64"), ("prores4444", (81, 63), None)]
)
@pytest.mark.parametrize("sound", [True, False])
def test_odd_sizes_are_kept_or_padded_and_told(
    codec: str, size: tuple[int, int], told: str | None, sound: bool, stand_in: type[StandIn], tmp_path: Path
) -> None:
    source = picture(tmp_path / "face.png", 81, 63)
    driving = film(tmp_path / "driving.mp4", seconds=0.2, sound=sound)
    job = ask(tmp_path / "jobs", source, driving, codec=codec)
    outputs = result(job)
    found = probe(outputs.result)
    assert (found.width, found.height) == size
    report = json.loads(outputs.report.read_text())
    assert report["size"] == list(size)
    assert (told or "padded") in warnings(job) if told else "padded" not in warnings(job)


def test_a_picture_and_a_curve_are_shown_while_it_runs(stand_in: type[StandIn], tmp_path: Path) -> None:
    job = ask(tmp_path / "jobs", picture(tmp_path / "face.png"), film(tmp_path / "driving.mp4"))
    result(job)
    told = [event for event, _ in job.journal.read()]
    curve = [point for event in told if isinstance(event, events.Segment) for point in event.curve]
    assert curve == [(i, float(i)) for i in range(FRAMES)]
    shown = next(event for event in told if isinstance(event, events.Preview))
    assert Image.open(shown.path).size == (1276, 333), "source, driving and result beside each other"


# -- what is kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["state/figures/00000008-00000016.npy", "state/moments/00000011.png"])
def test_a_span_without_what_is_told_of_it_is_computed_again(
    lost: str, stand_in: type[StandIn], tmp_path: Path
) -> None:
    job = ask(tmp_path / "jobs", picture(tmp_path / "face.png"), film(tmp_path / "driving.mp4"))
    want = result(job)
    report, shown = want.report.read_bytes(), want.picture.read_bytes()
    (job.folder / lost).unlink()
    stand_in.asked.clear()
    got = result(job)
    assert stand_in.asked == [(SPAN_FRAMES, 2 * SPAN_FRAMES)]
    assert (got.report.read_bytes(), got.picture.read_bytes()) == (report, shown)


def test_a_span_whose_pictures_are_missing_is_computed_again(stand_in: type[StandIn], tmp_path: Path) -> None:
    driving = film(tmp_path / "driving.mp4")
    job = ask(tmp_path / "jobs", picture(tmp_path / "face.png"), driving, frames_out=tmp_path / "out")
    result(job)
    (tmp_path / "out/00003.png").unlink()
    stand_in.asked.clear()
    result(job)
    assert stand_in.asked == [(0, SPAN_FRAMES)]
    assert len(pictures(tmp_path / "out")) == FRAMES


def test_what_is_only_for_the_network_is_no_part_of_the_question() -> None:
    plain, other = (
        AnimateSettings(engine="flowwarp"),
        AnimateSettings(engine="flowwarp", flag_stitching=False),
    )
    assert plain.identity() == other.identity()
    networks = [s.model_copy(update={"engine": "liveportrait"}).identity() for s in (plain, other)]
    assert networks[0] != networks[1]
