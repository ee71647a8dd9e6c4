"""The task's promises on real files: untouched pixels, sound, times; the same bytes however often it was stopped."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.masks.resize import paste_back, small_frame, small_mask, work_size
from pipelines.masks.sequence import dilate
from pipelines.runtime.run import run_job
from pipelines.settings import InpaintSettings
from pipelines.spans import Span
from pipelines.storage.frame_export import FrameFolder
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ..mask_clips import encode, white
from .standin import StandIn, install

ROOT = Path(__file__).parents[3]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=30000/1001:duration=1.15")
ODD = ("-f", "lavfi", "-i", "testsrc2=size=95x63:rate=25:duration=1.4")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1.15")
FAST = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "8")
FRAMES = 35


def ffmpeg(*arguments: object) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], check=True, timeout=300)


def plain(path: Path) -> None:
    ffmpeg(*PICTURE, *SOUND, *FAST, "-c:a", "aac", path)


def turned(path: Path) -> None:
    upright = path.with_name("upright.mp4")
    plain(upright)
    ffmpeg("-display_rotation", "90", "-i", upright, "-c", "copy", path)


def variable(path: Path) -> None:
    drop = "select='not(eq(mod(n,7),3))'"
    ffmpeg(*PICTURE, *SOUND, "-vf", drop, "-fps_mode", "vfr", *FAST, "-c:a", "aac", path)


def silent(path: Path) -> None:
    ffmpeg(*PICTURE, "-vf", "setsar=4/3", *FAST, path)


def odd(path: Path) -> None:
    ffmpeg(*ODD, "-c:v", "ffv1", "-pix_fmt", "yuv444p", path.with_suffix(".mkv"))
    path.with_suffix(".mkv").rename(path)


def tagged(path: Path) -> None:
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    ffmpeg(*PICTURE, "-vf", f"scale=out_color_matrix=bt709:out_range=tv,{tags}", *FAST, path)


def blob(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (x - width // 2) ** 2 + (y - height // 2) ** 2 < (min(width, height) // 5) ** 2


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    """Jobs run with the stand-in."""
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    return install(monkeypatch.setattr)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    plain(tmp_path / "clip.mp4")
    return tmp_path / "clip.mp4"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    white(blob(96, 64)).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def ask(folder: Path, clip: Path, mask: Path, **settings: object) -> Job:
    return Job.create(folder, "inpaint", (clip, mask), InpaintSettings(**{"engine": "flow", **settings}), 1)


def step(job: Job, **more: object) -> events.Event:
    job.forget_request()
    job.journal.append(events.Queued(job=job.id, task="inpaint", name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


def result(job: Job, **more: object) -> events.Outputs:
    done = step(job, **more)
    assert isinstance(done, events.Done), done
    return done.outputs


def stop_after(looks: int) -> dict[str, Callable[[], bool]]:
    left = iter([False] * looks + [True] * 10**6)
    return {"closing": lambda: next(left)}


def packets(path: Path, kind: str) -> list[tuple[Fraction, int]]:
    """Time and size of each packet."""
    with av.open(str(path)) as container:
        stream = next((s for s in container.streams if s.type == kind), None)
        found = container.demux(stream) if stream else []
        return sorted((p.pts * p.time_base, p.size) for p in found if p.pts is not None and not p.is_discard)


def pictures(folder: Path) -> np.ndarray:
    return np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.png"))])


def decoded(path: Path) -> np.ndarray:
    return np.stack([frame.rgb() for frame in read_frames(probe(path), decoder="pyav")])


# -- the same, however it was reached ------------------------------------------------------------------------


def test_stopped_and_unstopped_runs_are_the_same_bytes(engine, tmp_path, clip, mask) -> None:
    whole = ask(tmp_path / "whole", clip, mask, frames_out=tmp_path / "a")
    want = result(whole)
    assert engine.asked == [(0, FRAMES)], "neighbouring spans are one chain"
    cut = ask(tmp_path / "cut", clip, mask, frames_out=tmp_path / "b")
    assert cut.id == whole.id, "where pictures go is no part of the question"
    for looks in (14, 13):
        assert step(cut, **stop_after(looks)).type == "paused"
    assert len(list((cut.folder / "segments").iterdir())) == 2
    engine.asked.clear()
    got = result(cut)
    assert engine.asked == [(20, FRAMES)], "what is finished is not computed again"
    for name in ("result", "scores", "report", "picture"):
        assert getattr(got, name).read_bytes() == getattr(want, name).read_bytes(), name
    assert np.array_equal(pictures(tmp_path / "a"), pictures(tmp_path / "b"))


def test_killed_and_resumed_is_the_same_bytes(engine, tmp_path, clip, mask) -> None:
    want = result(ask(tmp_path / "whole", clip, mask)).result.read_bytes()
    job = ask(tmp_path / "killed", clip, mask)
    job.journal.append(events.Queued(job=job.id, task="inpaint", name="clip"))
    command = [sys.executable, str(Path(__file__).with_name("standin.py")), str(job.folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line == "segment\n":
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signal.SIGKILL
    finished = job.finished("segments", ".mp4", [Span(a, min(a + 10, 35)) for a in range(0, 35, 10)])
    assert Span(0, 10) in finished
    assert result(job).result.read_bytes() == want


def test_spans_computed_on_their_own_are_the_same(engine, tmp_path, clip, mask) -> None:
    job = ask(tmp_path / "jobs", clip, mask)
    want = result(job).result.read_bytes()
    for name in ("00000000-00000010", "00000020-00000030"):
        (job.folder / f"segments/{name}.mp4").unlink()
    engine.asked.clear()
    assert result(job).result.read_bytes() == want
    assert engine.asked == [(0, 10), (20, 30)]


# -- what comes out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"resize_ratio": 0.5}, {"height": 64, "width": 64}, {"mask_dilation": 0}]
)
def test_untouched_pixels_are_those_that_were_decoded(settings, engine, tmp_path, clip, mask) -> None:
    result(ask(tmp_path / "jobs", clip, mask, frames_out=tmp_path / "out", **settings))
    before, after = decoded(clip), pictures(tmp_path / "out")
    hole = dilate(blob(96, 64), InpaintSettings(**settings).mask_dilation)
    assert np.array_equal(after[:, ~hole], before[:, ~hole])
    changed = (after != before).any(axis=3).mean(axis=0)
    assert changed[hole].mean() > 0.5
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png"))[::34] == ["00000.png", "00034.png"]


@pytest.mark.parametrize("make", [plain, turned, variable, silent, odd, tagged])
def test_times_sound_and_shape_are_the_sources(make, engine, tmp_path) -> None:
    clip = tmp_path / "film.mp4"
    make(clip)
    before = probe(clip)
    white(blob(before.width, before.height)).save(tmp_path / "mask.png")
    outputs = result(ask(tmp_path / "jobs", clip, tmp_path / "mask.png", frames_out=tmp_path / "out"))
    after = probe(outputs.result)
    assert pictures(tmp_path / "out").shape == (before.frames, before.height, before.width, 3)
    assert (after.frames, after.rotation) == (before.frames, 0)
    padded = (before.width + before.width % 2, before.height + before.height % 2)
    assert (after.width, after.height) == padded
    assert after.sample_aspect_ratio == before.sample_aspect_ratio
    assert after.colour.matrix == before.colour.matrix and after.colour.transfer == before.colour.transfer
    assert [time for time, _ in packets(outputs.result, "video")] == pytest.approx(
        [float(before.timeline.time(i)) for i in range(before.frames)], abs=5e-4
    )
    assert packets(outputs.result, "audio") == packets(clip, "audio")
    if make not in (variable, odd):
        assert after.frame_rate == Fraction(30000, 1001)


def test_a_part_takes_its_own_masks_and_counts_its_pictures_from_0(engine, tmp_path, clip) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    holes = [np.roll(blob(96, 64), i, axis=1) for i in range(FRAMES)]
    for i, hole in enumerate(holes):
        white(hole).save(folder / f"{i}.png")
    part = {"start": 0.3, "end": 0.8}
    outputs = result(
        ask(tmp_path / "jobs", clip, folder, mask_dilation=0, frames_out=tmp_path / "out", **part)
    )
    before, after = decoded(clip)[9:24], pictures(tmp_path / "out")
    assert probe(outputs.result).frames == len(after) == 15
    for i in range(15):
        touched = (after[i] != before[i]).any(axis=2)
        assert not touched[~holes[9 + i]].any() and touched[holes[9 + i]].any()


@pytest.mark.parametrize(("codec", "kind"), [("h265", "hevc"), ("prores4444", "prores"), ("vp9", "vp9")])
def test_other_codecs(codec: str, kind: str, engine, tmp_path, clip, mask) -> None:
    outputs = result(ask(tmp_path / "jobs", clip, mask, codec=codec))
    after = probe(outputs.result)
    assert (after.codec, after.frames, after.audio is not None) == (kind, FRAMES, True)
    if codec == "h265":
        return
    decoder = ["-c:v", "libvpx-vp9"] if codec == "vp9" else []
    command = [
        FFMPEG,
        "-v",
        "error",
        *decoder,
        "-i",
        outputs.result,
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgba",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True, timeout=300).stdout
    alpha = np.frombuffer(raw, np.uint8).reshape(FRAMES, 64, 96, 4)[..., 3]
    hole = dilate(blob(96, 64), 4)
    assert np.mean((alpha > 127) != hole) < 0.01, "opaque where something was filled"


def test_what_was_invented_is_told_by_frame_and_by_place(engine, tmp_path, clip, mask) -> None:
    job = ask(tmp_path / "jobs", clip, mask)
    outputs = result(job)
    hole = dilate(blob(96, 64), 4)
    share = hole[:, :48].sum() / hole.sum()
    with outputs.scores.open() as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "frame,time_seconds,hole_share,invented_share"
    assert len(rows) == FRAMES and {row["invented_share"] for row in rows} == {f"{share:.6f}"}
    assert rows[30]["time_seconds"] == "1.001000"
    summary = json.loads(outputs.report.read_text())["summary"]
    assert summary["mean_invented_share"] == pytest.approx(share, abs=1e-6)
    assert summary["mean_hole_share"] == pytest.approx(hole.mean(), abs=1e-6)
    assert (summary["frames_filled"], summary["worst_frame"]) == (FRAMES, 0)
    assert summary["invented_curve"][-1] == [
        pytest.approx(34 * 1001 / 30000, abs=1e-3),
        pytest.approx(share, abs=1e-4),
    ]
    assert Image.open(outputs.picture).width > 800
    shown = np.asarray(Image.open(outputs.heat_map).convert("RGB")).astype(int)
    assert shown.shape == (64, 96, 3), "the frame alone, without axes and words"
    assert shown[hole & (np.arange(96) < 44)].max(axis=1).min() > 180, (
        "bright where it was invented in all frames"
    )
    assert shown[hole & (np.arange(96) > 52)].max() < 130, "and dimmed where another frame shows it"
    curves = [event.curve for event, _ in job.journal.read() if isinstance(event, events.Segment)]
    assert curves[0][0] == (0, pytest.approx(share, abs=1e-4))
    preview = next(event for event, _ in job.journal.read() if isinstance(event, events.Preview))
    assert Image.open(preview.path).size == (192, 64), "before and after, side by side"


# -- pictures ------------------------------------------------------------------------------------------------


def test_a_span_whose_pictures_are_missing_is_computed_again(engine, tmp_path, clip, mask) -> None:
    job = ask(tmp_path / "jobs", clip, mask, frames_out=tmp_path / "out")
    want = result(job).result.read_bytes()
    first = pictures(tmp_path / "out")
    (tmp_path / "out/00013.png").unlink()
    engine.asked.clear()
    assert result(job).result.read_bytes() == want
    assert engine.asked == [(10, 20)]
    assert np.array_equal(pictures(tmp_path / "out"), first)


def test_a_span_without_its_records_is_computed_again(engine, tmp_path, clip, mask) -> None:
    job = ask(tmp_path / "jobs", clip, mask)
    result(job)
    (job.folder / "state/invented/00000010-00000020.npz").unlink()
    engine.asked.clear()
    result(job)
    assert engine.asked == [(10, 20)]


def test_pictures_of_another_job_are_not_taken_for_this_ones(engine, tmp_path, clip, mask) -> None:
    result(ask(tmp_path / "jobs", clip, mask, frames_out=tmp_path / "out", mask_dilation=0))
    other = ask(tmp_path / "jobs", clip, mask, end=0.5)
    result(other)
    engine.asked.clear()
    result(ask(tmp_path / "jobs", clip, mask, end=0.5, frames_out=tmp_path / "out"))
    assert engine.asked == [(0, 15)]
    assert len(pictures(tmp_path / "out")) == 15


def test_a_folder_of_somebody_elses_pictures_is_left_alone(engine, tmp_path, clip, mask) -> None:
    (tmp_path / "out").mkdir()
    white(blob(96, 64)).save(tmp_path / "out/holiday.png")
    failed = step(ask(tmp_path / "jobs", clip, mask, frames_out=tmp_path / "out"))
    assert failed.code == "bad_input" and "already contains 1 pictures" in failed.message
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["holiday.png"]


def test_a_folder_that_cannot_be_written_to(engine, tmp_path, clip, mask) -> None:
    (tmp_path / "out").write_text("a file")
    failed = step(ask(tmp_path / "jobs", clip, mask, frames_out=tmp_path / "out"))
    assert failed.code == "bad_input" and "--frames-out" in failed.hint


def test_pictures_of_long_videos_sort_by_name(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, "me", Span(5, 100_006))
    folder.claim()
    frame = np.zeros((2, 2, 3), np.uint8)
    for index in (5, 100_005):
        folder.write(index, frame)
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["000000.png", "100000.png"]


# -- following -----------------------------------------------------------------------------------------------


def walker(path: Path) -> list[tuple[int, int]]:
    """A disc that walks over a pattern, 35 frames; where its middle is."""
    rng = np.random.default_rng(5)
    ground = cv2.resize(
        rng.integers(0, 256, (24, 32, 3), np.uint8), (256, 192), interpolation=cv2.INTER_CUBIC
    )
    places = [(60 + 3 * i, 90 + i) for i in range(FRAMES)]
    frames = [cv2.circle(ground.copy(), place, 18, (250, 40, 30), -1) for place in places]
    encode(path, frames, "-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p")
    return places


def around(place: tuple[int, int], frame: int) -> str:
    return f"{place[0] - 20},{place[1] - 20},40,40@{frame}"


def covers(film: Path, places: list[tuple[int, int]], frames: range) -> list[float]:
    """Which share of the disc the masks cover, and never half of the picture."""
    masks = np.stack([frame.luma() > 127 for frame in read_frames(probe(film))])
    assert len(masks) == len(frames) and masks.mean(axis=(1, 2)).max() < 0.3
    discs = [cv2.circle(np.zeros((192, 256), np.uint8), places[i], 18, 1, -1) > 0 for i in frames]
    return [float((mask & disc).sum() / disc.sum()) for mask, disc in zip(masks, discs, strict=True)]


def test_an_object_is_followed_from_a_box_both_ways(engine, tmp_path) -> None:
    places = walker(tmp_path / "clip.mp4")
    settings = InpaintSettings(box=(around(places[12], 12),))
    job = Job.create(tmp_path / "jobs", "inpaint", (tmp_path / "clip.mp4",), settings, 1)
    for looks in (18, 43, 43, 43):
        assert step(job, **stop_after(looks)).type == "paused"
    outputs = result(job)
    assert min(covers(outputs.mask, places, range(FRAMES))) > 0.9
    assert packets(outputs.mask, "audio") == []
    whole = Job.create(tmp_path / "whole", "inpaint", (tmp_path / "clip.mp4",), settings, 1)
    assert result(whole).result.read_bytes() == outputs.result.read_bytes(), "stopped in each of the passes"
    assert result(whole).mask.read_bytes() == outputs.mask.read_bytes()


def test_painted_hints_are_for_the_frames_of_their_names(engine, tmp_path) -> None:
    places = walker(tmp_path / "clip.mp4")
    folder = tmp_path / "hints"
    folder.mkdir()
    for frame in (10, 30):
        paint = cv2.circle(np.zeros((192, 256), np.uint8), places[frame], 18, 255, -1)
        Image.fromarray(paint).save(folder / f"mask_{frame:05d}.png")
    outputs = result(ask(tmp_path / "jobs", tmp_path / "clip.mp4", folder, track=True, start=0.2))
    assert min(covers(outputs.mask, places, range(5, FRAMES))) > 0.9


def test_hints_for_all_of_a_video_do_for_a_part_that_holds_one_of_them(engine, tmp_path) -> None:
    places = walker(tmp_path / "clip.mp4")
    both = (around(places[5], 5), around(places[30], 30))
    first, second = (
        Job.create(
            tmp_path / "jobs", "inpaint", (tmp_path / "clip.mp4",), InpaintSettings(box=boxes, end=0.8), 1
        )
        for boxes in (both, both[1:])
    )
    assert min(covers(result(first).mask, places, range(20))) > 0.7
    assert "outside the frames 0 to 19" in step(second).message


def test_what_is_followed_and_what_a_mask_marks_besides_are_both_removed(engine, tmp_path) -> None:
    places = walker(tmp_path / "clip.mp4")
    corner = np.zeros((192, 256), bool)
    corner[:30, :30] = True
    white(corner).save(tmp_path / "mask.png")
    settings = {"box": (around(places[0], 0),), "point": (f"{places[0][0]},{places[0][1]}@0",)}
    job = ask(
        tmp_path / "jobs",
        tmp_path / "clip.mp4",
        tmp_path / "mask.png",
        frames_out=tmp_path / "out",
        **settings,
    )
    result(job)
    touched = (pictures(tmp_path / "out") != decoded(tmp_path / "clip.mp4")).any(axis=3)
    assert touched[:, :30, :30].mean() > 0.5
    assert all(touched[i, y - 5 : y + 5, x - 5 : x + 5].mean() > 0.5 for i, (x, y) in enumerate(places))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"box": ("10,10,500,20@0",)}, "is not inside"),
        ({"box": ("10,10,20,20@99",)}, "outside the frames 0 to 34"),
        ({"point": ("10,1000@0",)}, "is not inside"),
    ],
)
def test_hints_that_cannot_be_are_refused_before_the_plan(settings, sentence, engine, tmp_path, clip) -> None:
    job = Job.create(
        tmp_path / "jobs", "inpaint", (clip,), InpaintSettings(**{"engine": "flow", **settings}), 1
    )
    failed = step(job)
    assert failed.code == "bad_input" and sentence in failed.message
    assert not any(isinstance(event, events.Planned) for event, _ in job.journal.read())


def test_a_film_is_no_hint(engine, tmp_path, clip) -> None:
    failed = step(ask(tmp_path / "jobs", clip, clip, track=True))
    assert failed.code == "bad_input" and "is not an image" in failed.message


# -- what is refused -----------------------------------------------------------------------------------------


def refusals(tmp_path: Path) -> dict[str, tuple[Path, str, str]]:
    """Masks that cannot be, the code and a piece of the sentence."""
    folder = tmp_path / "three"
    folder.mkdir()
    for i in range(3):
        white(blob(96, 64)).save(folder / f"{i}.png")
    white(np.zeros((64, 96), bool)).save(tmp_path / "empty.png")
    white(np.ones((64, 96), bool)).save(tmp_path / "full.png")
    white(blob(64, 96)).save(tmp_path / "turned.png")
    (tmp_path / "text.png").write_text("hello")
    return {
        "count": (folder, "bad_input", "3 masks in"),
        "empty": (tmp_path / "empty.png", "bad_input", "is empty"),
        "full": (tmp_path / "full.png", "bad_input", "marks 100%"),
        "turned": (tmp_path / "turned.png", "bad_input", "64x96, the video 96x64"),
        "text": (tmp_path / "text.png", "bad_input", "is not a mask"),
    }


@pytest.mark.parametrize("kind", ["count", "empty", "full", "turned", "text"])
def test_masks_that_cannot_be_are_refused_before_the_plan(kind: str, engine, tmp_path, clip) -> None:
    mask, code, sentence = refusals(tmp_path)[kind]
    job = ask(tmp_path / "jobs", clip, mask)
    failed = step(job)
    assert isinstance(failed, events.Failed) and failed.exit_code == 2
    assert (failed.code, sentence in failed.message) == (code, True), failed.message
    assert failed.hint and not any(isinstance(event, events.Planned) for event, _ in job.journal.read())


def test_a_job_without_a_mask_says_what_to_give(engine, tmp_path, clip) -> None:
    job = Job.create(tmp_path / "jobs", "inpaint", (clip,), InpaintSettings(), 1)
    failed = step(job)
    assert failed.code == "bad_input" and "--box" in failed.hint


@pytest.mark.parametrize("touched", [0, 3, 7])
def test_a_mask_that_was_touched_up_is_another_question(touched: int, tmp_path, clip) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for i in range(8):
        white(np.roll(blob(96, 64), i, axis=1)).save(folder / f"{i}.png", compress_level=0)
    first = ask(tmp_path / "jobs", clip, folder).id
    size = (folder / f"{touched}.png").stat().st_size
    white(np.roll(blob(96, 64), 20, axis=1)).save(folder / f"{touched}.png", compress_level=0)
    assert (folder / f"{touched}.png").stat().st_size == size
    assert ask(tmp_path / "jobs", clip, folder).id != first


def test_a_finished_job_that_is_asked_for_pictures_runs_again(engine, tmp_path, clip, mask) -> None:
    job = ask(tmp_path / "jobs", clip, mask)
    result(job)
    assert job.has_result()
    assert not ask(tmp_path / "jobs", clip, mask, frames_out=tmp_path / "out").has_result()


def test_a_card_that_does_not_encode_is_said_before_the_plan(
    engine, tmp_path, clip, mask, monkeypatch
) -> None:
    monkeypatch.setattr("pipelines.video.encoding.encodings._encodes", lambda codec: False)
    failed = step(ask(tmp_path / "jobs", clip, mask, codec="h264_nvenc"))
    assert failed.code == "bad_input" and "--codec h264" in failed.hint


# -- sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, (960, 540)),
        ({"resize_ratio": 0.25}, (480, 270)),
        ({"resize_ratio": 1.0}, (1920, 1080)),
        ({"width": 640}, (640, 360)),
        ({"height": 540}, (960, 540)),
        ({"width": 640, "height": 480}, (640, 480)),
        ({"width": 4000}, (1920, 1080)),
        ({"resize_ratio": 0.001}, (16, 16)),
    ],
)
def test_the_size_at_which_is_computed(settings: dict, size: tuple[int, int]) -> None:
    assert work_size((1920, 1080), InpaintSettings(**settings), 960) == size


def test_two_ways_to_say_a_size_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="not both"):
        InpaintSettings(resize_ratio=0.5, width=100)


@pytest.mark.parametrize("size", [(48, 32), (37, 21), (96, 64)])
def test_no_small_pixel_outside_a_small_mask_holds_a_masked_one(size: tuple[int, int]) -> None:
    hole = blob(96, 64)
    frame = np.where(hole[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    assert small_frame(frame, size)[~small_mask(hole, size)].max() == 0


def test_putting_back_touches_nothing_else() -> None:
    rng = np.random.default_rng(0)
    frame, filled = (rng.integers(0, 256, shape, np.uint8) for shape in ((64, 96, 3), (32, 48, 3)))
    hole = blob(96, 64)
    after = paste_back(frame, filled, hole)
    assert np.array_equal(after[~hole], frame[~hole]) and (after[hole] != frame[hole]).any()
