"""A look at a video from outside: what a task would do with it, what a frame looks like, and what stands against it."""

import json
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from memory.units import MIB
from pipelines.jobs import events
from pipelines.workers.inspect import FacesQuestion, PlanQuestion, StillQuestion, ThumbnailQuestion, answer

ROOT = Path(__file__).parents[3]
FRAMES = 12


def draw(path: Path, size: str = "96x64", *more: str) -> Path:
    """Frame `i` is as gray as `20 i`."""
    source = f"color=black:size={size}:rate=25:duration={FRAMES / 25},format=gray,geq=lum=20*N"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", source, *more]
    subprocess.run([*command, str(path)], check=True, timeout=300)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return draw(tmp_path / "clip.mp4", "96x64", "-pix_fmt", "yuv420p")


def plan(task: str, path: Path, **asked: object) -> events.Event:
    return answer(PlanQuestion(task=task, inputs=(path,), asked=asked, jobs_dir=path.parent))


def still(path: Path, frame: int, **more: object) -> events.Event:
    return answer(StillQuestion(path=path, frame=frame, picture=path.parent / "stills/one.jpg", **more))


@pytest.mark.parametrize(
    ("task", "engine"), [("score", "builtin"), ("copy", "builtin"), ("inpaint", "flow"), ("track", "builtin")]
)
def test_a_plan_needs_nothing_but_the_video(task: str, engine: str, clip: Path) -> None:
    told = plan(task, clip)
    assert isinstance(told, events.Planned), told
    assert (told.engine, told.frames, told.job) == (engine, FRAMES, "")
    assert (told.facts.name, told.facts.width, told.facts.height) == ("clip.mp4", 96, 64)
    assert told.risk != "cannot" and told.predicted_host_bytes > 100 * MIB
    assert [path.name for path in clip.parent.iterdir()] == ["clip.mp4"], "nothing is begun"


def test_a_plan_is_of_what_is_asked(clip: Path) -> None:
    assert plan("track", clip, start=0.2, end=0.4).frames == 5
    shown, followed = plan("track", clip), plan("track", clip, box=["4,23,17,17@0"])
    assert followed.predicted_host_bytes > shown.predicted_host_bytes
    small, large = (plan("inpaint", clip, resize_ratio=ratio) for ratio in (0.2, 1.0))
    assert small.predicted_host_bytes < large.predicted_host_bytes
    assert plan("inpaint", clip, ram_limit_gb=0.05).risk == "cannot"


def test_a_still_is_the_frame_that_was_asked_for(clip: Path) -> None:
    for frame in (0, 7, FRAMES - 1):
        told = still(clip, frame)
        assert isinstance(told, events.Preview), told
        assert (told.frame, told.path) == (frame, clip.parent / "stills/one.jpg")
        with Image.open(told.path) as picture:
            assert picture.size == (96, 64)
            assert abs(np.asarray(picture).mean() - 20 * frame) < 6


def test_a_still_is_not_wider_than_it_may_be(tmp_path: Path) -> None:
    wide = draw(tmp_path / "wide.mkv", "1400x70", "-c:v", "ffv1")
    assert Image.open(still(wide, 1).path).size == (1280, 64)
    assert Image.open(still(wide, 1, most_width_px=700).path).size == (700, 35)


def test_a_still_of_a_damaged_video_is_what_can_be_read(tmp_path: Path) -> None:
    whole = draw(tmp_path / "whole.ts", "96x64", "-c:v", "mpeg2video", "-g", "4").read_bytes()
    path = tmp_path / "hurt.ts"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert isinstance(plan("track", path), events.Failed)
    assert isinstance(still(path, 0), events.Preview)


@pytest.mark.parametrize("task", ["inpaint", "track"])
def test_what_is_no_video_is_said_in_a_sentence(task: str, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    for told in (plan(task, tmp_path / "text.mp4"), still(tmp_path / "text.mp4", 0)):
        assert isinstance(told, events.Failed) and told.job == ""
        assert (told.code, told.exit_code) == ("not_a_video", 2) and told.hint
    assert plan(task, tmp_path / "gone.mp4").type == "failed"


def test_what_lies_outside_the_video(clip: Path) -> None:
    late = still(clip, FRAMES)
    assert (late.code, late.message) == ("bad_input", f"There is no frame 12: the video has {FRAMES}.")
    empty = plan("track", clip, start=3.0)
    assert empty.code == "bad_input" and "no frame between" in empty.message


def test_a_process_of_its_own_answers_in_one_line(clip: Path) -> None:
    for question in (
        PlanQuestion(task="track", inputs=(clip,), asked={}, jobs_dir=clip.parent),
        StillQuestion(path=clip, frame=99, picture=clip.parent / "one.jpg"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.workers.inspect"],
            cwd=ROOT,
            input=question.model_dump_json(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
        told = events.parse(done.stdout)
        assert told.type == ("planned" if question.type == "plan" else "failed")


def test_faces_are_shown_of_source_and_driving(clip: Path) -> None:
    portrait = clip.parent / "portrait.png"
    Image.new("RGB", (100, 200), (90, 90, 90)).save(portrait)
    picture = clip.parent / "faces/one.jpg"
    asked = {"source_box": "20,40,60,80"}
    told = answer(FacesQuestion(inputs=(portrait, clip), asked=asked, picture=picture))
    assert isinstance(told, events.Preview) and told.path == picture
    with Image.open(picture) as shown:
        assert shown.size == (240 + 8 + 720, 480) or shown.width == 960


@pytest.mark.parametrize(("most", "code"), [(100 * 200 - 1, "over_limit"), (100 * 200, None)])
def test_a_portrait_is_held_to_the_limit_on_pixels(clip: Path, most: int, code: str | None) -> None:
    """The driving has fewer pixels than the portrait."""
    portrait = clip.parent / "portrait.png"
    Image.new("RGB", (100, 200), (90, 90, 90)).save(portrait)
    question = FacesQuestion(
        inputs=(portrait, clip),
        asked={"source_box": "20,40,60,80"},
        picture=clip.parent / "one.jpg",
        most_pixels=most,
    )
    assert getattr(answer(question), "code", None) == code
    assert getattr(still(clip, 0, most_pixels=96 * 64 - 1), "code", None) == "over_limit"


def test_a_plan_tells_the_size_of_the_portrait_and_what_decoding_it_holds(clip: Path) -> None:
    """A portrait of 36 megapixels: a JPEG is decoded reduced, a PNG whole."""
    jpeg, png, small = (clip.parent / name for name in ("big.jpg", "big.png", "small.png"))
    big = Image.new("RGB", (6000, 6000), (90, 90, 90))
    big.save(jpeg)
    big.save(png, compress_level=1)
    big.resize((1280, 1280)).save(small)
    plans = [
        answer(
            PlanQuestion(
                task="animate", inputs=(path, clip), asked={"engine": "flowwarp"}, jobs_dir=clip.parent
            )
        )
        for path in (small, jpeg, png)
    ]
    assert [plan.facts.other_sizes[0] for plan in plans] == [(1280, 1280), (6000, 6000), (6000, 6000)]
    held = [plan.predicted_host_bytes for plan in plans]
    assert held[0] == held[1], "the same size is decoded"
    draft = answer(
        PlanQuestion(
            task="animate",
            inputs=(png, clip),
            asked={"engine": "flowwarp", "quality": "draft"},
            jobs_dir=clip.parent,
        )
    )
    assert draft.predicted_host_bytes > 175 * MIB + 4 * 6000 * 6000, "decoding is more than the frames hold"


def test_a_plan_tells_the_size_of_the_mask(clip: Path) -> None:
    mask = clip.parent / "mask.png"
    Image.new("L", (960, 640)).save(mask)
    for task in ("inpaint", "track"):
        told = answer(PlanQuestion(task=task, inputs=(clip, mask), asked={}, jobs_dir=clip.parent))
        assert told.facts.other_sizes == ((960, 640),)


def test_what_cannot_be_animated_is_said(clip: Path) -> None:
    outside = {"source_box": "9000,9000,90,90"}
    told = answer(FacesQuestion(inputs=(clip,), asked=outside, picture=clip.parent / "one.jpg"))
    assert isinstance(told, events.Failed) and told.code == "bad_input"


def test_a_thumbnail_is_of_the_first_input_and_tells_the_length_of_what_moves(clip: Path) -> None:
    portrait = clip.parent / "portrait.png"
    Image.new("RGB", (300, 400), (200, 0, 0)).save(portrait)
    picture = clip.parent / "cache" / "small.jpg"

    def drawn(*inputs: Path, start: float = 0.0) -> dict[str, float | None]:
        question = ThumbnailQuestion(inputs=inputs, start=start, picture=picture, most_width_px=48)
        assert isinstance(told := answer(question), events.Preview), told
        return json.loads(picture.with_suffix(".json").read_bytes())

    assert drawn(portrait, clip) == {"seconds": FRAMES / 25}
    assert Image.open(picture).size == (48, 64)
    assert drawn(portrait) == {"seconds": None}
    assert drawn(clip, start=0.28) == {"seconds": FRAMES / 25}
    assert abs(np.asarray(Image.open(picture)).mean() - 20 * 7) < 6
    assert drawn(clip, start=1e6) == {"seconds": FRAMES / 25}
    assert abs(np.asarray(Image.open(picture)).mean() - 20 * (FRAMES - 1)) < 6
