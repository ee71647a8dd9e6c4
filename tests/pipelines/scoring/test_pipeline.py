"""The pipeline on a real file: any span on its own, equal bytes, whole reports."""

import csv
import json
import subprocess
from itertools import islice
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from memory.plan import Plan
from pipelines.scoring.builtin.engine import BuiltinEngine
from pipelines.scoring.metrics.verdicts import VERDICT
from pipelines.scoring.pipeline import ScorePipeline, clock
from pipelines.scoring.report import summary as summaries
from pipelines.scoring.report.summary import CURVE_POINTS, WORST, Summary
from pipelines.scoring.report.tables import COLUMNS, write_scores
from pipelines.settings import ScoreSettings
from pipelines.spans import Span, split
from pipelines.stages import RunContext
from pipelines.video.probe import probe
from presets.choose import Choice

FRAMES = 70


def pixels_of(picture: Path) -> np.ndarray:
    return np.asarray(Image.open(picture))


@pytest.fixture(scope="module")
def video(tmp_path_factory, clips) -> Path:
    path = tmp_path_factory.mktemp("video") / "planted.mp4"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-s",
        "640x360",
    ]
    command += ["-r", "30000/1001", "-i", "-", "-c:v", "libx264", "-crf", "12"]
    command += ["-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, str(path)], input=b"".join(f.tobytes() for f in clips[0][0].lumas), check=True)
    return path


def assignment(video: Path, folder: Path, frames: Span | None = None, held: int = 4) -> RunContext:
    info = probe(video)
    values = {"analysis_width": 427, "span_frames": 30, "read_ahead_frames": held}
    plan = Plan(held, 1, 0, 0, 0, 0, 0, "low", "")
    return RunContext(
        folder, info, frames or Span(0, info.frames), ScoreSettings(), Choice("none", values, ""), plan
    )


def opened(video: Path) -> ScorePipeline:
    return ScorePipeline.open(BuiltinEngine, (video,), ScoreSettings())


def run(run: RunContext) -> tuple[list[Path], object]:
    pipeline = opened(run.video.path)
    (stage,) = pipeline.stages
    run.folder.mkdir()
    segments = []
    items = stage.compute(run, run.frames.start, run.frames.stop)
    for span in split(run.frames, 30):
        segments.append(run.folder / f"{span.name}.npy")
        sink = stage.sink(run, segments[-1])
        for item in islice(items, len(span)):
            sink.write(item)
        sink.close()
    return segments, pipeline.join(run, segments, lambda code, message: None)


@pytest.fixture(scope="module")
def done(video, tmp_path_factory):
    job = assignment(video, tmp_path_factory.mktemp("jobs") / "one")
    segments, outputs = run(job)
    return job, segments, outputs


@pytest.mark.parametrize("held", [1, 3, 200])
def test_a_span_on_its_own_has_the_same_records(video, tmp_path, done, held):
    whole = np.concatenate([np.load(path, allow_pickle=False) for path in done[1]])
    (stage,) = opened(video).stages
    for start, stop in ((0, 5), (1, 4), (33, 41), (FRAMES - 1, FRAMES)):
        items = list(stage.compute(assignment(video, tmp_path, held=held), start, stop))
        assert [item.frame.index for item in items] == list(range(start, stop))
        assert np.concatenate([item.record for item in items]).tobytes() == whole[start:stop].tobytes()


def test_the_first_frame_asked_for_has_no_frame_before(video, tmp_path):
    (stage,) = opened(video).stages
    first = next(stage.compute(assignment(video, tmp_path, Span(20, 30)), 20, 30))
    assert first.frame.index == 20
    assert np.isnan(first.record["difference"][0])


def test_leaving_early_ends_the_threads(video, tmp_path):
    import threading

    (stage,) = opened(video).stages
    items = stage.compute(assignment(video, tmp_path), 0, FRAMES)
    next(items)

    def threads():
        return [thread.name for thread in threading.enumerate() if thread.name == "read-ahead"]

    assert threads()
    items.close()
    assert not threads()


def test_equal_runs_are_equal_bytes(video, tmp_path, done):
    _, again = run(assignment(video, tmp_path / "two"))
    for name in ("scores", "report", "picture"):
        assert getattr(again, name).read_bytes() == getattr(done[2], name).read_bytes()


def test_the_table_has_a_row_a_frame_and_tells_the_planted_faults(done, clips):
    rows = list(csv.DictReader(done[2].scores.open()))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["frame"]) for row in rows] == list(range(FRAMES))
    assert rows[30]["time_seconds"] == "1.001000"
    assert rows[0]["motion"] == ""
    planted = clips[0][0]
    assert [row["frozen"] == "1" for row in rows] == planted.frozen.tolist()
    assert (
        sum((row["blurred"] == "1") != truth for row, truth in zip(rows, planted.blurred, strict=True)) <= 1
    )


def test_the_report_sums_up_the_table(done):
    report = json.loads(done[2].report.read_text("utf-8"))
    summary = report["summary"]
    assert report["analysis_width"] == 427
    assert summary["frames"] == len(summary["curve"]["mean"]) == FRAMES
    assert [(run["start"], run["stop"]) for run in summary["frozen"]["runs"]] == [(25, 28), (55, 56)]
    assert summary["blurred"]["interval_count"] == len(done[2].worst) == 2
    assert summary["blurred"]["intervals"][0]["start"] == 10
    assert report["published"]["total_frames"] == FRAMES
    assert report["published"]["video_name"] == "planted.mp4"


def test_worst_frames_are_pictures_of_different_intervals(done):
    numbers = [int(path.stem.split("-")[1]) for path in done[2].worst]
    assert 10 <= numbers[0] < 15 and 40 <= numbers[1] < 45
    told = json.loads(done[2].report.read_text("utf-8"))["worst"]
    assert [each["frame"] for each in told] == numbers
    assert told[0]["seconds"] == pytest.approx(numbers[0] * 1001 / 30000, abs=1e-6)
    picture = pixels_of(done[2].worst[0])
    assert picture.shape == (360, 640, 3)


def test_the_chart_shows_memory_where_it_was_measured(video, tmp_path, done):
    job = assignment(video, tmp_path / "measured")
    segments, _ = run(job)
    (job.folder / "memory.csv").write_text("seconds,host_bytes,device_bytes\n0,1000000,0\n1,2000000,5\n")
    taller = pixels_of(opened(video).join(job, segments, lambda *_: None).picture)
    assert taller.shape[0] > pixels_of(done[2].picture).shape[0]


@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_clips_are_scored(video, tmp_path, frames):
    _, outputs = run(assignment(video, tmp_path / "short", Span(3, 3 + frames)))
    assert len(outputs.scores.read_text().splitlines()) == 1 + frames
    assert len(outputs.worst) == 1
    assert outputs.picture.stat().st_size > 0


def test_a_table_that_fails_half_way_is_absent(tmp_path):
    def broken():
        yield np.zeros(3, VERDICT)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_scores(tmp_path / "scores.csv", broken(), 0, float)
    assert list(tmp_path.iterdir()) == []


def verdict_blocks(frames: int, block: int):
    whole = np.zeros(frames, VERDICT)
    whole["sharpness"] = whole["baseline"] = 0.5
    whole["blurred"] = np.arange(frames) % 10 < 4
    whole["sharpness"][whole["blurred"]] = 0.3
    whole["window_score"] = whole["sharpness"]
    whole["difference"] = 3
    return [whole[i : i + block] for i in range(0, frames, block)]


def test_a_summary_is_bounded_and_does_not_depend_on_blocks(monkeypatch):
    monkeypatch.setattr(summaries, "KEPT", 200)
    described = []
    for block in (7, 1000, 30_000):
        summary = Summary(100, 30_000)
        assert sum(map(len, summary.collect(verdict_blocks(30_000, block)))) == 30_000
        described.append(summary.describe(float))
        assert len(summary.worst_frames()) == WORST
    assert described[0]["blurred"]["intervals"][0] == {
        "start": 100,
        "stop": 104,
        "start_seconds": 100.0,
        "stop_seconds": 104.0,
        "severity": "severe",
        "ratio": 0.000133,
        "drop": 0.4,
        "mean_sharpness": 0.3,
        "confidence": 1.0,
        "worst_frame": 100,
    }
    assert described[0]["blurred"]["interval_count"] == 3000
    assert len(described[0]["blurred"]["intervals"]) == 200
    assert len(described[0]["curve"]["mean"]) <= CURVE_POINTS
    assert described[0]["blurred"] == described[1]["blurred"] == described[2]["blurred"]
    assert described[0]["curve"]["jump"] == described[2]["curve"]["jump"]


def test_the_clock_knows_where_the_last_frame_ends(video):
    info = probe(video)
    seconds = clock(info)
    assert seconds(FRAMES) == pytest.approx(FRAMES * 1001 / 30000)


def test_a_preview_is_small_and_the_curve_shows_sharpness(video, tmp_path):
    (stage,) = opened(video).stages
    item = next(stage.compute(assignment(video, tmp_path), 0, 2))
    assert stage.preview(item).shape == (360, 640, 3)
    assert stage.value(item) == float(item.record["sharpness"][0])


def test_a_fault_across_a_cut_is_two_runs_and_blank_frames_count_for_no_mean():
    def described(block):
        rows = np.concatenate(verdict_blocks(40, 40))
        rows["blurred"] = rows["frozen"] = False
        rows["sharpness"] = 0.5
        rows["blurred"][5:25], rows["cut"][15] = True, True
        rows["blank"][30:], rows["sharpness"][30:] = True, 0
        summary = Summary(0, 40)
        list(summary.collect(rows[i : i + block] for i in range(0, 40, block)))
        return summary.describe(float)

    assert described(40) == described(7) == described(5)
    found = described(15)
    assert [(run["start"], run["stop"]) for run in found["blurred"]["intervals"]] == [(5, 15), (15, 25)]
    assert found["mean_sharpness"] == 0.5
    assert [(run["start"], run["stop"]) for run in found["blank"]["runs"]] == [(30, 40)]


def test_a_wholly_blank_video_has_no_worst_frame():
    rows = np.zeros(9, VERDICT)
    rows["blank"] = True
    summary = Summary(0, 9)
    list(summary.collect([rows]))
    assert summary.worst_frames() == []
    assert summary.describe(float)["mean_sharpness"] is None
