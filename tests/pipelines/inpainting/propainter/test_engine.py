"""The task with this engine, on files, with networks that are exact to the index."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.engines.availability import resolve
from pipelines.inpainting.propainter import engine
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.masks.sequence import dilate
from pipelines.runtime.run import run_job
from pipelines.settings import InpaintSettings
from pipelines.video.files import ffmpeg
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ..standin import install
from .fakes import networks

NAMES = ("raft-things.pth", "recurrent_flow_completion.pth", "ProPainter.pth")
WIDTH, HEIGHT, FRAMES = 96, 64, 25
Ask = Callable[..., Job]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """A job with stand-in networks, short chunks and short spans."""
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    monkeypatch.setattr(engine, "load_networks", lambda folder, device: networks())
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in NAMES:
        (weights / name).write_bytes(name.encode())
    install_short_spans(monkeypatch)

    def make(*inputs: Path, folder: str = "jobs", **more: Any) -> Job:
        short = {"subvideo_length": 12, "neighbor_length": 6, "ref_stride": 3, "device": "cpu"}
        settings = InpaintSettings(**{"engine": "propainter", "weights": weights, **short, **more})
        return Job.create(
            tmp_path / folder, "inpaint", inputs, settings, 1, resolve("inpaint", settings).weights
        )

    return make


def install_short_spans(patch: pytest.MonkeyPatch) -> None:
    from pipelines.runtime import planning

    open_pipeline = planning.open_pipeline
    install(patch.setattr)
    patch.setattr(planning, "open_pipeline", open_pipeline)


def drawn(folder: Path, name: str, pictures: list[np.ndarray]) -> Path:
    (folder / name).mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / name / f"{number:05d}.png")
    return folder / name


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A folder of pictures that drift."""
    still = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH + FRAMES, 3), np.uint8)
    return drawn(tmp_path, "frames", [still[:, i : i + WIDTH] for i in range(FRAMES)])


def hole(index: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[20:40, 10 + index : 30 + index] = True
    return mask


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return drawn(tmp_path, "masks", [hole(i).astype(np.uint8) * 255 for i in range(FRAMES)])


def run(job: Job, **more: Any) -> events.Event:
    job.forget_request()
    job.journal.append(events.Queued(job=job.id, task="inpaint", name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


def done(job: Job, **more: Any) -> events.Outputs:
    ending = run(job, **more)
    assert isinstance(ending, events.Done), ending
    return ending.outputs


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_what_is_not_masked_stays_to_the_bit_and_what_is_gets_filled(ask, frames, masks, tmp_path):
    job = ask(frames, masks, frames_out=tmp_path / "out")
    outputs = done(job)
    before, after = pictures(frames), pictures(tmp_path / "out")
    grown = np.stack([dilate(hole(i), 4) for i in range(FRAMES)])
    assert np.array_equal(before[~grown], after[~grown])
    assert (before != after).any(-1)[grown].mean() > 0.9
    video = probe(outputs.result)
    assert (video.width, video.height, video.frames) == (WIDTH, HEIGHT, FRAMES)
    report = json.loads(outputs.report.read_text())
    assert report["engine"] == "propainter"
    assert report["work_size"] == [96, 64]
    assert 0 < report["summary"]["mean_invented_share"] < 1


def test_the_fill_of_a_deep_video_has_its_depth_and_other_samples_stay(ask, masks, tmp_path):
    clip = tmp_path / "clip.mkv"
    tags = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67:range=tv"
    drawn_by = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration={FRAMES / 25}"
    source = f"{drawn_by},noise=alls=6:allf=t,format=yuv422p10le,setparams={tags}"
    ffmpeg.run(["-f", "lavfi", "-i", source, "-c:v", "ffv1", "-y", str(clip)], timeout_seconds=60)
    made = probe(done(ask(clip, masks, codec="ffv1")).result)
    assert (made.pixel_format, made.hdr) == ("yuv422p10le", "hlg")
    pairs = zip(read_frames(probe(clip), planes=True), read_frames(made, planes=True), strict=True)
    for index, (before, after) in enumerate(pairs):
        grown = dilate(hole(index), 4)
        halves = grown.reshape(HEIGHT, WIDTH // 2, 2).any(axis=2)
        for a, b in zip(before.planes().colours, after.planes().colours, strict=True):
            filled = grown if a.shape == grown.shape else halves
            assert np.array_equal(a[~filled], b[~filled])
            assert (a[filled] != b[filled]).mean() > 0.5


def test_a_folder_of_images_has_the_published_rate_or_the_one_that_is_asked_for(ask, frames, masks):
    assert probe(done(ask(frames, masks)).result).frame_rate == 24
    assert probe(done(ask(frames, masks, save_fps=12.5)).result).frame_rate == 12.5


def test_a_run_that_was_stopped_gives_the_same_bytes(ask, frames, masks, tmp_path):
    whole, parts = ask(frames, masks, folder="whole"), ask(frames, masks, folder="parts")
    done(whole)

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Segment):
            parts.request("pause")

    stops = 0
    while not isinstance(ending := run(parts, echo=stop), events.Done):
        assert isinstance(ending, events.Paused), ending
        stops += 1
    assert stops >= 1
    for name in ("result.mp4", "invented.csv"):
        assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_the_published_output_takes_whatever_is_not_black_and_grows_it_at_the_computed_size(
    ask, frames, tmp_path
):
    faint = drawn(tmp_path, "faint", [hole(0).astype(np.uint8) * 9])
    job = ask(frames, faint, frames_out=tmp_path / "out", reference_output=True, mask_dilation=2)
    done(job)
    before, after = pictures(frames), pictures(tmp_path / "out")
    grown = dilate(hole(0), 2)
    assert np.array_equal(before[:, ~grown], after[:, ~grown])
    assert (before != after).any(-1)[:, grown].mean() > 0.9


def test_the_published_output_has_the_size_that_is_asked_for(ask, frames, masks, tmp_path):
    done(ask(frames, masks, frames_out=tmp_path / "out", reference_output=True, width=75, height=70))
    assert pictures(tmp_path / "out").shape == (FRAMES, 70, 75, 3)


def test_masks_of_a_part_are_found_for_that_part(ask, frames, tmp_path):
    part = drawn(tmp_path, "part", [hole(i).astype(np.uint8) * 255 for i in range(12, 18)])
    for more in ({}, {"reference_output": True}):
        out = tmp_path / f"out{len(more)}"
        done(ask(frames, part, frames_out=out, start=0.5, end=0.75, mask_dilation=0, **more))
        before, after = pictures(frames)[12:18], pictures(out)
        masked = np.stack([hole(i) for i in range(12, 18)])
        assert np.array_equal(before[~masked], after[~masked])
        assert (before != after).any(-1)[masked].mean() > 0.9


def test_outpainting_needs_no_mask_and_keeps_the_aspect_of_what_it_made(ask, frames, tmp_path):
    outputs = done(ask(frames, mode="video_outpainting", scale_w=1.5, frames_out=tmp_path / "out"))
    before, after = pictures(frames), pictures(tmp_path / "out")
    assert after.shape == (FRAMES, HEIGHT, 144, 3)
    assert np.array_equal(after[:, :, 24:120], before)
    assert after[:, :, :24].any()
    assert (probe(outputs.result).width, probe(outputs.result).height) == (144, HEIGHT)


def test_the_published_outpainting_is_squeezed_into_the_size_of_the_input(ask, frames, tmp_path):
    done(ask(frames, mode="video_outpainting", frames_out=tmp_path / "out", reference_output=True))
    assert pictures(tmp_path / "out").shape == (FRAMES, HEIGHT, WIDTH, 3)


def test_the_published_outpainting_takes_no_mask(ask, frames, masks):
    ending = run(ask(frames, masks, mode="video_outpainting", reference_output=True))
    assert ending.code == "bad_input"
    assert "does not take a mask" in ending.message


def test_outpainting_removes_too_what_a_mask_marks(ask, frames, masks, tmp_path):
    done(ask(frames, masks, mode="video_outpainting", scale_w=1.5, frames_out=tmp_path / "out"))
    before, inside = pictures(frames), pictures(tmp_path / "out")[:, :, 24:120]
    grown = np.stack([dilate(hole(i), 4) for i in range(FRAMES)])
    assert np.array_equal(before[~grown], inside[~grown])
    assert (before != inside).any(-1)[grown].mean() > 0.9


@pytest.mark.parametrize("count", [1, 2])
def test_one_frame_or_two_are_a_video_too(ask, frames, masks, tmp_path, count):
    few = drawn(tmp_path, "few", list(pictures(frames)[:count]))
    done(ask(few, masks / "00000.png", frames_out=tmp_path / "out"))
    assert pictures(tmp_path / "out").shape == (count, HEIGHT, WIDTH, 3)


def test_a_video_larger_than_what_is_computed_stays_sharp(ask, tmp_path):
    large = np.random.default_rng(2).integers(0, 256, (200, 300, 3), np.uint8)
    clip = drawn(tmp_path, "large", [large, large])
    mask = np.zeros((200, 300), np.uint8)
    mask[50:150, 100:200] = 255
    job = ask(
        clip, drawn(tmp_path, "mask", [mask]), frames_out=tmp_path / "out", resize_ratio=0.5, mask_dilation=0
    )
    outputs = done(job)
    after = pictures(tmp_path / "out")
    assert np.array_equal(after[:, mask == 0], np.stack([large, large])[:, mask == 0])
    assert json.loads(outputs.report.read_text())["work_size"] == [144, 96]


def test_missing_weights_are_told_before_anything_is_computed(ask, frames, masks, tmp_path):
    job = ask(frames, masks)
    (tmp_path / "weights" / "ProPainter.pth").unlink()
    ending = run(job)
    assert ending.code == "weights_missing"
    assert "ProPainter.pth" in ending.message


def test_when_memory_ends_it_is_told_and_the_result_is_the_same(ask, frames, masks, monkeypatch):
    done(whole := ask(frames, masks, folder="whole"))
    failed: list[bool] = []

    def failing_networks(folder: Path, device: str) -> Any:
        nets = networks()
        paint = nets.generator("float32").paint

        def once(*given: Any, **more: Any) -> Any:
            if not failed:
                failed.append(True)
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return paint(*given, **more)

        monkeypatch.setattr(nets.generator("float32"), "paint", once)
        return nets

    monkeypatch.setattr(engine, "load_networks", failing_networks)
    done(job := ask(frames, masks, folder="other"))
    steps = [event for event, _ in job.journal.read() if isinstance(event, events.Degraded)]
    assert [(step.rung, step.change) for step in steps] == [("retry", "exact")]
    assert (job.folder / "result.mp4").read_bytes() == (whole.folder / "result.mp4").read_bytes()


@pytest.mark.parametrize("published, rungs", [(False, ["lower resolution"]), (True, [])])
def test_the_size_is_lowered_last_and_never_for_the_published_output(
    ask, frames, masks, monkeypatch, published, rungs
):
    def small_room(folder: Path, device: str) -> Any:
        nets = networks()
        encode = nets.generator("float32").encode

        def fits(frames: Any, *masks: Any) -> Any:
            if frames.shape[-1] > 200:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return encode(frames, *masks)

        monkeypatch.setattr(nets.generator("float32"), "encode", fits)
        return nets

    monkeypatch.setattr(engine, "load_networks", small_room)
    job = ask(enlarged(frames), masks, reference_output=published, width=256, height=168, end=0.3)
    ending = run(job)
    steps = [event for event, _ in job.journal.read() if isinstance(event, events.Degraded)]
    assert [step.rung for step in steps if step.change == "changes"] == rungs
    assert isinstance(ending, events.Failed if published else events.Done)


def test_a_size_that_was_lowered_stays_lowered_when_a_run_is_resumed(ask, frames, masks, monkeypatch):
    widths = set[int]()

    def small_room(folder: Path, device: str) -> Any:
        nets = networks()
        encode = nets.generator("float32").encode

        def fits(frames: Any, *masks: Any) -> Any:
            widths.add(frames.shape[-1])
            if frames.shape[-1] > 200:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return encode(frames, *masks)

        monkeypatch.setattr(nets.generator("float32"), "encode", fits)
        return nets

    monkeypatch.setattr(engine, "load_networks", small_room)
    job = ask(enlarged(frames), masks, width=256, height=168)

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Segment):
            job.request("pause")

    assert isinstance(run(job, echo=stop), events.Paused)
    assert widths == {256, 192}
    widths.clear()
    assert isinstance(run(job), events.Done)
    assert widths == {192}


def enlarged(frames: Path) -> Path:
    large = [np.asarray(Image.fromarray(each).resize((288, 192))) for each in pictures(frames)]
    return drawn(frames.parent, "enlarged", large)


def deep_clip(path: Path, width: int = WIDTH, tags: str = "", kind: str = "yuv420p10le") -> Path:
    drawn = f"testsrc2=size={width}x{HEIGHT}:rate=25:duration=1,format={kind}"
    size = ("-f", "lavfi", "-i", f"{drawn},setparams={tags}" if tags else drawn)
    assert ffmpeg.run([*size, "-c:v", "ffv1", "-y", str(path)], timeout_seconds=30).returncode == 0
    return path


HDR = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"


@pytest.mark.parametrize(
    ("kind", "tags", "width"), [("yuv420p10le", HDR, 96), ("yuv422p10le", "", 95), ("gbrp12le", "", 96)]
)
def test_outpainting_keeps_the_samples_of_a_deep_video_and_paints_around_them_with_its_depth(
    kind, tags, width, ask, tmp_path
):
    source = deep_clip(tmp_path / "clip.mkv", width, tags, kind)
    asked = {"mode": "video_outpainting", "scale_w": 1.3, "scale_h": 1.2, "codec": "ffv1"}
    made = probe(done(ask(source, **asked)).result)
    before = probe(source)
    assert (made.layout, made.colour) == (before.layout, before.colour)
    assert made.width > width
    assert made.height > HEIGHT
    for old, new in zip(read_frames(before, planes=True), read_frames(made, planes=True), strict=True):
        first, *others = zip(old.planes().colours, new.planes().colours, strict=True)
        top, left = position(*first)
        for a, b in others:
            down, across = -(-first[0].shape[0] // a.shape[0]), -(-first[0].shape[1] // a.shape[1])
            rows, columns = (HEIGHT // down, width // across)
            assert np.array_equal(b[top // down :, left // across :][:rows, :columns], a[:rows, :columns])
        outside = first[1][: max(1, top)]
        assert len(np.unique(outside % 4)) > 1


def position(part: np.ndarray, whole: np.ndarray) -> tuple[int, int]:
    """Find where `part` lies in `whole`, exactly."""
    height, width = part.shape
    for top in range(whole.shape[0] - height + 1):
        for left in range(whole.shape[1] - width + 1):
            if np.array_equal(whole[top : top + height, left : left + width], part):
                return top, left
    raise AssertionError("the picture is not there")


def samples(path: Path) -> Iterator[np.ndarray]:
    """The planes of each frame, one below the other, in its own depth."""
    with av.open(path) as file:
        for frame in file.decode(video=0):
            yield frame.to_ndarray().astype(int)


@pytest.mark.parametrize("more", [{}, {"width": 80, "height": 72}, {"mode": "video_outpainting"}])
def test_the_published_output_of_a_deep_video_is_deep_and_shows_the_same_as_that_of_8_bits(
    more, ask, masks, tmp_path
):
    source = deep_clip(tmp_path / "clip.mkv")
    inputs = (source,) if "mode" in more else (source, masks)
    deep, flat = (
        probe(done(ask(*inputs, reference_output=True, codec=codec, crf=1, **more)).result)
        for codec in ("ffv1", "h264")
    )
    assert deep.bit_depth == 10
    assert (deep.width, deep.height) == (flat.width, flat.height)
    # Samples: as RGB, each depth has chroma between its samples by a rule of its own.
    for a, b in zip(samples(deep.path), samples(flat.path), strict=True):
        assert np.abs(a / 4 - b).mean() < 3
    if not more:
        for index, (old, new) in enumerate(
            zip(read_frames(probe(source), planes=True), read_frames(deep, planes=True), strict=True)
        ):
            kept = ~dilate(hole(index), 5)
            assert np.array_equal(old.planes().y[kept], new.planes().y[kept])
