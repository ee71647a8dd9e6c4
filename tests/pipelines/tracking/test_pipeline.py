"""Showing the masks before the long run: what is shown is what is removed, and the film of it can be given back."""

import csv
import json
import zipfile
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines import __main__ as command_line
from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.masks.reading import read_masks
from pipelines.masks.sequence import dilate, open_masks
from pipelines.runtime import planning
from pipelines.runtime.run import run_job
from pipelines.settings import InpaintSettings, MaskSettings, TrackSettings
from pipelines.spans import Span
from pipelines.spec import task_spec
from pipelines.stages import RunContext
from pipelines.tracking import stages
from pipelines.tracking.fusion import RECORD, Tracked
from pipelines.tracking.overlay import draw_lost_frame, overlay_mask
from pipelines.tracking.pipeline import overlay_size
from pipelines.tracking.prepass import check_marks
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ..cli.in_process import run_commands_here
from ..mask_clips import disc, encode, white

FRAMES, WIDTH, HEIGHT = 35, 95, 63
LOST = (4, 5, 20, 34)
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of 10 frames, a look before each frame, and no chart of the memory."""
    choose = planning.choose

    def shorter(*given: object, **more: object) -> object:
        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": 10})

    monkeypatch.setattr(planning, "choose", shorter)
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A disc that walks over a pattern, at an odd size."""
    ground = cv2.resize(
        np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8),
        (WIDTH, HEIGHT),
        interpolation=cv2.INTER_CUBIC,
    )
    frames = [np.where(disc_at(i)[..., None], np.uint8([250, 40, 30]), ground) for i in range(FRAMES)]
    return encode(tmp_path / "clip.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "bgr0")


def disc_at(index: int) -> np.ndarray:
    return disc(index, WIDTH, HEIGHT)


def ask(folder: Path, clip: Path, *masks: Path, **settings: object) -> Job:
    return Job.create(folder, "track", (clip, *masks), TrackSettings(**{"engine": "builtin", **settings}), 1)


def step(job: Job, **more: object) -> events.Event:
    job.journal.append(events.Queued(job=job.id, task=job.record().task, name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


def result(job: Job) -> events.Outputs:
    done = step(job)
    assert isinstance(done, events.Done), done
    return done.outputs


def stop_after(looks: int) -> dict[str, Callable[[], bool]]:
    left = iter([False] * looks + [True] * 10**6)
    return {"closing": lambda: next(left)}


def assigned(job: Job) -> RunContext:
    """The job as its pipeline sees it."""
    record = job.record()
    paths = tuple(given.path for given in record.inputs)
    made = planning.prepare(record.task, tuple(paths), record.settings, job.folder)
    return RunContext(
        job.folder,
        made.video,
        made.frames,
        record.settings,
        made.choice,
        made.plan,
        inputs=paths,
        fingerprints=record.fingerprints,
    )


def masks_of(run: RunContext) -> np.ndarray:
    return np.stack(list(read_masks(run, run.frames.start, run.frames.stop)))


def overlay(path: Path) -> np.ndarray:
    return np.stack([frame.rgb() for frame in read_frames(probe(path), decoder="pyav")]).astype(int)


# -- the film ------------------------------------------------------------------------------------------------


def still(folder: Path) -> Path:
    white(disc_at(3)).save(folder / "mask.png")
    return folder / "mask.png"


def small(folder: Path) -> Path:
    """Half the size of the video."""
    white(disc_at(3)[::2, ::2]).save(folder / "mask.png")
    return folder / "mask.png"


def pictures(folder: Path) -> Path:
    (folder / "masks").mkdir()
    for i in range(FRAMES):
        white(disc_at(i) if i % 5 else disc_at(i) & False).save(folder / f"masks/{i:02d}.png")
    return folder / "masks"


def packed(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "masks.zip", "w") as archive:
        for path in sorted(pictures(folder).iterdir()):
            archive.write(path, path.name)
    return folder / "masks.zip"


def film(folder: Path) -> Path:
    return encode(folder / "masks.mkv", [disc_at(i) * np.uint8(255) for i in range(FRAMES)], "-c:v", "ffv1")


@pytest.mark.parametrize("make", [still, small, pictures, packed, film])
@pytest.mark.parametrize("settings", [{}, {"start": 0.5, "end": 1.1, "mask_dilation": 2}])
def test_the_film_given_back_stands_for_the_same_masks(make, settings, tmp_path, clip) -> None:
    job = ask(tmp_path / "jobs", clip, make(tmp_path), **settings)
    mask = result(job).mask
    shown = assigned(job)
    made = probe(mask)
    assert (made.frames, made.width, made.height) == (len(shown.frames), WIDTH, HEIGHT)
    levels = np.stack([frame.luma() for frame in read_frames(made)])
    assert set(np.unique(levels)) == {0, 255}, "whatever it is corrected with, it is black and white"
    given_back = replace(shown, settings=InpaintSettings(**settings), inputs=(clip, mask))
    assert np.array_equal(masks_of(given_back), masks_of(shown))


def test_the_film_of_a_mask_that_was_turned_round_is_not_to_be_turned_again(tmp_path, clip) -> None:
    white(~disc_at(3)).save(tmp_path / "mask.png")
    job = ask(tmp_path / "jobs", clip, tmp_path / "mask.png", invert=True)
    given_back = replace(assigned(job), settings=InpaintSettings(), inputs=(clip, result(job).mask))
    assert (masks_of(given_back) == dilate(disc_at(3), 4)).all()


def test_the_film_of_what_was_followed_given_back(tmp_path, clip) -> None:
    corner = np.zeros((HEIGHT, WIDTH), bool)
    corner[:9, -9:] = True
    white(corner).save(tmp_path / "mask.png")
    job = ask(tmp_path / "jobs", clip, tmp_path / "mask.png", box=("4,23,17,17@0",), end=0.8)
    for looks in (13, 25, 27, 30):
        assert step(job, **stop_after(looks)).type == "paused"
    outputs, shown = result(job), assigned(job)
    masks = masks_of(shown)
    assert all(mask[:9, -9:].all() for mask in masks), "what a mask marks besides is shown too"
    assert np.mean([mask[disc_at(i)].mean() for i, mask in enumerate(masks)]) > 0.8
    given_back = replace(shown, settings=InpaintSettings(end=0.8), inputs=(clip, outputs.mask))
    assert np.array_equal(masks_of(given_back), masks)
    whole = result(ask(tmp_path / "whole", clip, tmp_path / "mask.png", box=("4,23,17,17@0",), end=0.8))
    for name in ("result", "mask", "scores", "report"):
        assert getattr(outputs, name).read_bytes() == getattr(whole, name).read_bytes(), name


def test_a_film_that_was_corrected_is_what_is_removed(tmp_path, clip, follows) -> None:
    made = result(ask(tmp_path / "jobs", clip, box=("4,23,17,17@0",))).mask
    frames = [frame.rgb() for frame in read_frames(probe(made))]
    frames[7] = np.zeros_like(frames[7])
    frames[20][5:25, 60:90] = 255
    lossy = encode(tmp_path / "corrected.mp4", frames, "-c:v", "libx264", "-pix_fmt", "yuv444p", "-crf", "18")
    job = ask(tmp_path / "jobs", clip, lossy, mask_dilation=0)
    assert step(job).type == "done"
    masks = masks_of(assigned(job))
    assert not masks[7].any() and masks[20][8:22, 63:87].all()
    assert (masks[12] != (frames[12][..., 0] > 127)).mean() < 0.01


# -- followed once -------------------------------------------------------------------------------------------


@pytest.fixture
def follows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Following that knows where the disc is; the frames that are followed, once more for each time."""
    followed: list[int] = []

    def walk(*given: int, **more: object) -> Generator[np.ndarray]:
        yield from (np.zeros(1, RECORD) for _ in range(*given[2:]))

    def masks(*given: int) -> Generator[Tracked]:
        for i in range(*given[4:]):
            followed.append(i)
            yield Tracked(i, (0, 0, 1, 1), disc_at(i), False, 1.0)

    monkeypatch.setattr(stages, "pass_records", walk)
    monkeypatch.setattr(stages, "fused_masks", masks)
    return followed


def remove(folder: Path, clip: Path, *masks: Path, **settings: object) -> Job:
    asked = InpaintSettings(engine="flow", quality="draft", **settings)
    return Job.create(folder, "inpaint", (clip, *masks), asked, 1)


def taken_over(job: Job) -> list[str]:
    """The spans whose masks a new job has when it begins."""
    check_marks(assigned(job))
    return sorted(path.stem for path in (job.folder / "state/masks").glob("*"))


def test_what_was_checked_is_removed_without_following_it_again(tmp_path, clip, follows) -> None:
    prompts = {"box": ("4,23,17,17@0",), "point": ("40,30@14",)}
    result(ask(tmp_path / "jobs", clip, **prompts, mask_dilation=9))
    assert follows == list(range(FRAMES))
    outputs = result(remove(tmp_path / "jobs", clip, **prompts, crf=30))
    assert len(follows) == FRAMES, "neither dilation nor encoding changes what is followed"
    alone = result(remove(tmp_path / "alone", clip, **prompts, crf=30))
    assert len(follows) == 2 * FRAMES
    assert outputs.mask.read_bytes() == alone.mask.read_bytes()
    assert outputs.result.read_bytes() == alone.result.read_bytes()


def test_only_the_masks_of_the_same_question_are_taken_over(tmp_path, clip, follows) -> None:
    box, jobs = {"box": ("4,23,17,17@0",)}, tmp_path / "jobs"
    mark = tmp_path / "mask_0.png"
    white(disc_at(0)).save(mark)
    result(ask(jobs, clip, **box))
    result(ask(jobs, clip, mark, track=True))
    assert len(taken_over(remove(jobs, clip, **box))) == 4
    assert len(taken_over(remove(jobs, clip, mark, **box))) == 4, "what goes besides is not followed"
    assert len(taken_over(remove(jobs, clip, mark, track=True))) == 4
    white(disc_at(1)).save(mark)
    assert taken_over(remove(jobs, clip, mark, track=True)) == [], "other paint"
    for other in ({"box": ("5,23,17,17@0",)}, {**box, "end": 1.0}, {**box, "point": ("40,30@14",)}):
        assert taken_over(remove(jobs, clip, **other)) == [], other
    assert taken_over(remove(tmp_path / "others", clip, **box)) == []


def test_of_a_job_that_was_stopped_what_is_whole_is_taken_over(tmp_path, clip, follows, monkeypatch) -> None:
    cut = ask(tmp_path, clip, box=("4,23,17,17@0",))
    assert step(cut, **stop_after(FRAMES + FRAMES + 24)).type == "paused"
    (cut.folder / "state/lost/00000000-00000010.json").unlink()
    real, links = Path.hardlink_to, []

    def refuse(path: Path, source: Path) -> None:
        links.append(source)
        if len(links) % 2:
            raise PermissionError("no links here")
        real(path, source)

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    job = remove(tmp_path, clip, box=("4,23,17,17@0",))
    assert taken_over(job) == ["00000010-00000020"]
    walked = ("state/back", "state/on")
    for place in (*walked, "state/lost"):
        for path in (job.folder / place).iterdir():
            assert path.read_bytes() == (cut.folder / place / path.name).read_bytes()
    assert [len(list((job.folder / place).iterdir())) for place in walked] == [4, 4]
    assert taken_over(job) == ["00000010-00000020"], "once more changes nothing"


def test_both_tasks_cut_a_video_into_the_same_spans() -> None:
    track, inpaint = (task_spec(name).tables().length for name in ("track", "inpaint"))
    for length in ("short", "medium", "long"):
        assert track[length].span_frames == inpaint[length].span_frames


def test_masks_of_a_part_are_taken_for_that_part_alone(tmp_path, clip) -> None:
    path, video = film(tmp_path), probe(clip)
    part = encode(tmp_path / "part.mkv", [disc_at(i) * np.uint8(255) for i in range(9, 19)], "-c:v", "ffv1")
    taken = open_masks(part, video, frames=Span(9, 19))
    assert np.array_equal(next(taken.read(12, 19)), disc_at(12))
    assert np.array_equal(next(open_masks(path, video, frames=Span(9, 19)).read(12, 19)), disc_at(12))
    for frames in (None, Span(9, 20), Span(0, FRAMES)):
        with pytest.raises(BadInput, match=r"10 masks in .* for 35 frames"):
            open_masks(part, video, frames=frames)


# -- the same, however it was reached ------------------------------------------------------------------------


def test_stopped_and_unstopped_runs_are_the_same_bytes(tmp_path, clip) -> None:
    want = result(ask(tmp_path / "whole", clip, film(tmp_path)))
    cut = ask(tmp_path / "cut", clip, tmp_path / "masks.mkv")
    for looks in (14, 13):
        assert step(cut, **stop_after(looks)).type == "paused"
    assert len(list((cut.folder / "segments").iterdir())) == 2
    got = result(cut)
    for name in ("result", "mask", "scores", "report"):
        assert getattr(got, name).read_bytes() == getattr(want, name).read_bytes(), name


@pytest.mark.parametrize(
    "gone",
    [
        "segments/00000010-00000020.mp4",
        "state/film/00000010-00000020.mkv",
        "state/checked/00000010-00000020.npy",
    ],
)
def test_a_span_that_lacks_something_is_computed_again(gone, tmp_path, clip, monkeypatch) -> None:
    job = ask(tmp_path / "jobs", clip, still(tmp_path))
    outputs = result(job)
    want = {name: getattr(outputs, name).read_bytes() for name in ("result", "mask", "scores")}
    (job.folder / gone).unlink()
    shown = []
    laid = "pipelines.tracking.pipeline.overlay_mask"
    monkeypatch.setattr(laid, lambda *given: shown.append(1) or overlay_mask(*given))
    again = result(job)
    assert len(shown) == 10
    assert {name: getattr(again, name).read_bytes() for name in want} == want
    assert all(Span.from_name(path.stem) for path in (job.folder / "segments").iterdir())


# -- what is shown -------------------------------------------------------------------------------------------


def test_the_overlay_shows_what_would_be_removed_and_nothing_else(tmp_path, clip) -> None:
    job = ask(tmp_path / "jobs", clip, still(tmp_path), quality="ultimate")
    outputs = result(job)
    shown = probe(outputs.result)
    assert (shown.codec, shown.frames, shown.audio) == ("h264", FRAMES, None)
    hole, before = dilate(disc_at(3), 4), overlay(clip)
    change = np.abs(overlay(outputs.result)[:, :HEIGHT, :WIDTH] - before).mean(axis=(0, 3))
    far = ~dilate(disc_at(3), 8)
    assert change[far].mean() < 15 < 40 < change[hole].mean()


def test_outside_the_mask_each_pixel_of_the_picture_is_the_frames() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    kept, hole = frame.copy(), disc_at(5)
    picture = overlay_mask(frame, hole, (WIDTH, HEIGHT))
    assert np.array_equal(picture[~hole], frame[~hole]) and np.array_equal(frame, kept)
    line = hole & ~cv2.erode(hole.astype(np.uint8), CROSS).astype(bool)
    assert len(np.unique(picture[line], axis=0)) == 1, "one colour around"
    inside = picture[hole & ~line].astype(int)
    assert (inside[:, 0] >= frame[hole & ~line][:, 0]).all() and inside[:, 0].min() > 100
    marked = draw_lost_frame(picture.copy(), 7)
    assert (marked[[0, -1]] == marked[0, 0]).all() and (marked[:, [0, -1]] == marked[0, 0]).all()
    assert not (picture[0] == marked[0]).all()


@pytest.mark.parametrize(
    ("given", "size"), [((1920, 1080), (1280, 720)), ((96, 64), (96, 64)), ((4096, 2), (1280, 1))]
)
def test_the_overlay_is_at_most_1280_pixels_wide(given, size, video) -> None:
    assert overlay_size(video(5, *given)) == size


def test_a_wide_video_is_shown_smaller_and_its_masks_are_not(tmp_path) -> None:
    frames = [np.full((48, 1500, 3), 90, np.uint8)] * 4
    wide = encode(tmp_path / "wide.mp4", frames, "-pix_fmt", "yuv420p", "-vf", "setsar=2/1")
    mask = np.zeros((48, 1500), bool)
    mask[10:30, 700:900] = True
    white(mask).save(tmp_path / "mask.png")
    outputs = result(ask(tmp_path / "jobs", wide, tmp_path / "mask.png"))
    shown, kept = probe(outputs.result), probe(outputs.mask)
    assert (shown.width, shown.height, shown.sample_aspect_ratio) == (1280, 42, 2)
    assert (kept.width, kept.height) == (1500, 48)


def test_share_and_curve_are_of_what_would_be_filled(tmp_path, clip) -> None:
    job = ask(tmp_path / "jobs", clip, pictures(tmp_path), mask_dilation=3, start=0.2)
    outputs = result(job)
    shares = [float(dilate(disc_at(i), 3).mean()) if i % 5 else 0.0 for i in range(5, FRAMES)]
    with outputs.scores.open() as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "frame,time_seconds,area_share,lost"
    assert [row["area_share"] for row in rows] == [f"{share:.6f}" for share in shares]
    assert (rows[0]["frame"], rows[0]["time_seconds"], rows[0]["lost"]) == ("5", "0.200000", "0")
    report = json.loads(outputs.report.read_text())
    assert (report["task"], report["engine"], report["lost"]) == ("track", "builtin", [])
    assert report["settings"]["mask_dilation"] == 3
    assert report["summary"] == {
        "frames": 30,
        "frames_marked": 24,
        "frames_lost": 0,
        "mean_area_share": pytest.approx(np.mean(shares), abs=1e-6),
        "largest_area_share": pytest.approx(max(shares), abs=1e-6),
    }
    told = [event for event, _ in job.journal.read()]
    curve = next(event.curve for event in told if isinstance(event, events.Segment))
    assert curve[1] == (6, pytest.approx(shares[1], abs=1e-4))
    preview = next(event for event in told if isinstance(event, events.Preview))
    assert Image.open(preview.path).size == (WIDTH, HEIGHT)


@pytest.fixture
def loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Following that knows where the disc is, and says that it lost it on some frames."""

    def follow(
        source: object, targets: object, start: int, stop: int, **more: object
    ) -> Generator[np.ndarray]:
        yield from (np.zeros(1, RECORD) for _ in range(start, stop))

    def masks(
        source: object, targets: object, on: object, back: object, start: int, stop: int
    ) -> Generator[Tracked]:
        yield from (Tracked(i, (0, 0, 1, 1), disc_at(i), i in LOST, 1.0) for i in range(start, stop))

    monkeypatch.setattr(stages, "pass_records", follow)
    monkeypatch.setattr(stages, "fused_masks", masks)


def test_where_the_object_is_lost_is_told_and_seen(loses, tmp_path, clip) -> None:
    job = ask(tmp_path / "jobs", clip, box=("4,23,17,17@0",), quality="ultimate")
    for looks in (70, 12):
        step(job, **stop_after(looks))
    outputs = result(job)
    with outputs.scores.open() as file:
        assert [int(row["frame"]) for row in csv.DictReader(file) if row["lost"] == "1"] == list(LOST)
    report = json.loads(outputs.report.read_text())
    assert report["lost"] == [[4, 6], [20, 21], [34, 35]] and report["summary"]["frames_lost"] == 4
    told = [event for event, _ in job.journal.read() if isinstance(event, events.Warned)]
    assert "lost on frames 4 to 5" in told[-1].message and told[-1].code == "object_lost"
    corners = np.abs(overlay(outputs.result) - overlay(outputs.result)[0])[:, 0].mean(axis=(1, 2))
    assert [i for i in range(FRAMES) if corners[i] > 30] == list(LOST)


def test_how_the_mask_was_read_is_told(tmp_path: Path, clip: Path) -> None:
    dark = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    dark[..., 3] = disc_at(3) * np.uint8(255)
    Image.fromarray(dark).save(tmp_path / "matte.png")
    tables = []
    for mask, kind in ((still(tmp_path), "brightness"), (tmp_path / "matte.png", "transparency")):
        job = ask(tmp_path / "jobs", clip, mask, quality="ultimate")
        outputs = result(job)
        reading = json.loads(outputs.report.read_text())["mask_reading"]
        assert f"is read by its {kind}" in reading
        told = [event for event, _ in job.journal.read() if isinstance(event, events.Warned)]
        assert [event.message for event in told if event.code == "mask_reading"] == (
            [reading] if kind == "transparency" else []
        )
        tables.append(outputs.scores.read_text())
    assert tables[0] == tables[1]


# -- the question --------------------------------------------------------------------------------------------


def test_both_tasks_are_asked_in_the_same_words() -> None:
    shared = set(MaskSettings.model_fields)
    assert shared <= set(TrackSettings.model_fields) and shared <= set(InpaintSettings.model_fields)
    assert set(TrackSettings.model_fields) == shared
    assert {"mask_dilation", "invert", "track", "box", "point"} <= set(TrackSettings().identity())


def test_another_question_is_another_job(tmp_path, clip) -> None:
    mask = still(tmp_path)
    first = ask(tmp_path / "jobs", clip, mask)
    assert ask(tmp_path / "jobs", clip, mask, ram_limit_gb=9).id == first.id
    others = [{"mask_dilation": 5}, {"invert": True}, {"box": ("4,23,17,17@0",)}, {"start": 0.2}]
    found = {ask(tmp_path / "jobs", clip, mask, **settings).id for settings in others}
    found.add(ask(tmp_path / "jobs", clip, box=("4,23,17,17@0",)).id)
    found.add(Job.create(tmp_path / "jobs", "inpaint", (clip, mask), InpaintSettings(), 1).id)
    assert len(found | {first.id}) == 7


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "Nothing says what to remove."),
        ({"box": ("10,10,500,20@0",)}, "is not inside"),
        ({"point": ("10,10@99",)}, "outside the frames 0 to 34"),
    ],
)
def test_prompts_that_cannot_be_are_refused_before_the_plan(settings, sentence, tmp_path, clip) -> None:
    job = ask(tmp_path / "jobs", clip, **settings)
    failed = step(job)
    assert failed.code == "bad_input" and sentence in failed.message
    assert not any(isinstance(event, events.Planned) for event, _ in job.journal.read())


def test_a_mask_that_marks_nothing_is_refused(tmp_path, clip) -> None:
    white(disc_at(0) & False).save(tmp_path / "mask.png")
    failed = step(ask(tmp_path / "jobs", clip, tmp_path / "mask.png"))
    assert failed.code == "bad_input" and "is empty" in failed.message


# -- the command line ----------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are given; jobs run in this process."""
    run_commands_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_suffix_says_whether_the_film_or_the_overlay_is_wanted(here, clip) -> None:
    still(here)
    asked = ["track", "clip.mkv", "--mask", "mask.png", "-o"]
    assert command_line.main([*asked, "film.mkv"]) == 0
    assert command_line.main([*asked, "look.mp4"]) == 0
    assert probe(here / "film.mkv").codec == "ffv1" and probe(here / "look.mp4").codec == "h264"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give --mask"),
        (["--mask", "mask.png", "-o", "film.webm"], "Use one of .mkv, .mp4"),
        (["--mask", "mask.png", "--codec", "h264"], "--codec"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_exit_2(arguments, sentence, here, clip, capsys) -> None:
    still(here)
    assert command_line.main(["track", "clip.mkv", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told and "\n" not in told
