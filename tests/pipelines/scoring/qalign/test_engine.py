"""The engine on real files: published scores and verdicts, spans that agree, a frame decoded once, limits that hold."""

import csv
import json
import math
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from memory.budget import Budget
from memory.plan import Load, Plan
from memory.units import GIB, MIB
from pipelines.engines.registry import open_pipeline
from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.nets.qalign.config import Config, read_config
from pipelines.nets.qalign.model import expected_shapes
from pipelines.runtime.oom_retry import OomRetry
from pipelines.scoring.builtin.engine import BuiltinEngine
from pipelines.scoring.metrics.smoothness import artifact_frames, camera_movement, gather, threshold_for
from pipelines.scoring.pipeline import ScorePipeline
from pipelines.scoring.qalign import engine as qalign
from pipelines.scoring.qalign.memory_layout import Layout, Need
from pipelines.settings import ScoreSettings
from pipelines.spans import Span
from pipelines.stages import RunContext
from presets.choose import Choice

FRAMES = 14
WHOLE = Span(0, FRAMES)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pictures(golden: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published frames as a folder of images."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, rgb in enumerate(golden("end_to_end.npz")["frames_rgb"]):
        cv2.imwrite(str(folder / f"{index:05d}.png"), rgb[..., ::-1])
    return folder


@pytest.fixture(autouse=True)
def no_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart has tests of its own, and takes longer than all that is tested here."""
    monkeypatch.setattr("pipelines.scoring.report.chart.draw_report", lambda path, *more: path.touch())


Ask = Callable[..., tuple[Any, RunContext]]


@pytest.fixture
def ask(pictures: Path, tiny_qalign: Any, tmp_path: Path) -> Ask:
    """A pipeline and its assignment, fitted to a budget."""

    def make(
        frames: Span = WHOLE, batch: int = 4, budget: int = 16 * GIB, **asked: Any
    ) -> tuple[Any, RunContext]:
        settings = ScoreSettings(engine="qalign", weights=tiny_qalign.folder(), device="cpu", **asked)
        pipeline = open_pipeline("score", (pictures,), settings)
        values = {"analysis_width": 64, "span_frames": 5, "read_ahead_frames": 2}
        choice, _ = pipeline.engine.fit(Choice("none", values, "As drawn."), Budget(budget), "cpu")
        plan = Plan(2, batch, 0, 0, 0, 0, 0, "low", "")
        folder = tmp_path / f"job{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return pipeline, RunContext(folder, pipeline.video, frames, settings, choice, plan)

    return make


def run(pipeline: Any, run: RunContext, *, apart: bool = False) -> Any:
    """Segments as the loop makes them: one chain over all spans, or a chain a span."""
    (stage,) = pipeline.stages
    segments, spans = [], run.spans
    (run.folder / stage.folder).mkdir()
    with closing(stage.compute(run, run.frames.start, run.frames.stop)) as items:
        for span in spans:
            segments.append(run.folder / stage.folder / f"{span.name}{stage.suffix}")
            sink = stage.sink(run, segments[-1])
            own = stage.compute(run, span.start, span.stop) if apart else islice(items, len(span))
            for item in own:
                sink.write(item)
            sink.close()
    return pipeline.join(run, segments, lambda code, message: None)


def rows(outputs: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(outputs.scores.open()))


def scores(outputs: Any) -> Any:
    return np.array([float(row["window_score"]) for row in rows(outputs)])


@pytest.mark.parametrize("run_number", [0, 1])
def test_scores_and_verdicts_are_the_published_ones(ask: Ask, golden: Any, run_number: int) -> None:
    known = golden("end_to_end.npz")
    of = {key.removeprefix(f"run{run_number}_"): value for key, value in known.items()}
    outputs = run(*ask(window=int(of["window"])))
    assert np.abs(scores(outputs) - of["scores"]).max() <= 5e-6
    found = gather(scores(outputs), threshold_for(float(of["camera_movement"])))
    assert found.artifacts == of["artifact_frames"].tolist()
    assert (found.threshold, found.score) == (float(of["threshold"]), pytest.approx(float(of["mss"])))
    record = json.loads(outputs.report.read_text())["published"]
    movement = camera_movement(known["frames_rgb"])
    assert record["camera_movement"] == pytest.approx(movement, abs=1e-9)
    assert record["blur_frames"] == artifact_frames(scores(outputs), threshold_for(movement))


def test_spans_on_their_own_and_other_batches_give_the_same(ask: Ask) -> None:
    whole = run(*ask())
    for outputs in (run(*ask(), apart=True), run(*ask(batch=1)), run(*ask(batch=32))):
        assert np.abs(scores(outputs) - scores(whole)).max() <= 2e-6
        for row, known in zip(rows(outputs), rows(whole), strict=True):
            assert {**row, "window_score": ""} == {**known, "window_score": ""}
    assert run(*ask()).scores.read_bytes() == whole.scores.read_bytes()


def test_everything_but_the_window_score_is_built_in(ask: Ask, pictures: Path, tmp_path: Path) -> None:
    pipeline, job = ask()
    found = rows(run(pipeline, job))
    settings = ScoreSettings(engine="builtin")
    built_in = ScorePipeline.open(BuiltinEngine, (pictures,), settings)
    folder = tmp_path / "built-in"
    folder.mkdir()
    known = rows(run(built_in, RunContext(folder, job.video, job.frames, settings, job.choice, job.plan)))
    for row, other in zip(found, known, strict=True):
        assert row["window_score"] != other["window_score"]
        assert {**row, "window_score": ""} == {**other, "window_score": ""}


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_frame_is_decoded_once_and_encoded_once(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    read, encoded = [], []
    read_frames = qalign.read_frames

    def counted(*arguments: Any, **more: Any) -> Iterator[Any]:
        for frame in read_frames(*arguments, **more):
            read.append(frame.index)
            yield frame

    monkeypatch.setattr(qalign, "read_frames", counted)
    pipeline, job = ask(window=width)
    scorer = pipeline.engine._scorer(job)
    encode = scorer._network.encode_frames
    monkeypatch.setattr(
        scorer._network, "encode_frames", lambda pixels: encoded.append(len(pixels)) or encode(pixels)
    )
    run(pipeline, job)
    assert read == list(range(FRAMES))
    assert sum(encoded) == FRAMES


def test_a_part_of_a_video_begins_with_its_own_first_frame(ask: Ask) -> None:
    pipeline, job = ask(Span(3, 8))
    outputs = run(pipeline, job)
    assert [row["frame"] for row in rows(outputs)] == list("34567")
    assert rows(outputs)[0]["motion"] == ""
    assert json.loads(outputs.report.read_text())["video_quality"]["frames"] == [3]


def test_the_whole_video_has_a_score_of_its_own(ask: Ask) -> None:
    pipeline, job = ask(window=1)
    outputs = run(pipeline, job)
    told = json.loads(outputs.report.read_text())
    assert job.video.frame_rate == 25 and told["video_quality"]["frames"] == [0]
    # One frame as a video is one window of one frame.
    assert told["video_quality"]["score"] == pytest.approx(scores(outputs)[0], abs=2e-6)
    assert told["engine"] == "qalign" and len(told["summary"]["curve"]["window_score"]) == FRAMES


def test_pictures_are_rated_one_by_one_and_have_no_score_as_a_video(ask: Ask) -> None:
    pipeline, job = ask(score_task="image_aesthetics", window=5)
    outputs = run(pipeline, job)
    assert "video_quality" not in json.loads(outputs.report.read_text())
    assert np.array_equal(scores(outputs), scores(run(*ask(window=1))))  # the tiny network knows one question


def test_previews_are_pictures_and_the_curve_shows_window_scores(ask: Ask) -> None:
    pipeline, job = ask()
    (stage,) = pipeline.stages
    item = next(stage.compute(job, 0, 3))
    assert stage.preview(item).shape == (42, 56, 3)
    assert stage.value(item) == item.rated.score


def test_when_memory_ends_batches_are_halved_and_the_network_stays(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, job = ask()
    scorer = pipeline.engine._scorer(job)
    score, sizes, steps = scorer.score, [], []

    def tight(windows: Any) -> list[float]:
        sizes.append(len(windows))
        if len(windows) > 2:
            raise MemoryError("out of memory")
        return score(windows)

    monkeypatch.setattr(scorer, "score", tight)
    (stage,) = pipeline.stages
    supply = OomRetry(
        stage,
        job,
        pipeline.engine.rungs(prepass=False),
        check=lambda: None,
        on_step=lambda frame, step: steps.append((frame, step.rung, step.change)),
    )
    found = [item.rated.score for item in supply.items(Span(0, FRAMES))]
    assert np.abs(np.array(found) - scores(run(*ask()))).max() <= 2e-6
    assert steps == [(0, "retry", "exact"), (0, "halve batch", "close")]
    assert pipeline.engine._scorer(job) is scorer and max(sizes[2:]) == 2


def test_weights_are_checked_before_the_first_frame(
    ask: Ask, pictures: Path, tiny_qalign: Any, tmp_path: Path
) -> None:
    pipeline, job = ask()
    pipeline.check(job)
    tensors = tiny_qalign.tensors()
    tensors.pop("lm_head.weight")
    folder = tiny_qalign.write(tmp_path / "w", tensors)
    with pytest.raises(WeightsBroken, match="lm_head"):
        open_pipeline("score", (pictures,), ScoreSettings(engine="qalign", weights=folder)).check(job)
    with pytest.raises(WeightsMissing):
        open_pipeline("score", (pictures,), ScoreSettings(engine="qalign", weights=tmp_path))


# -- where the weights lie -----------------------------------------------------------------------------------

PIXELS = 1920 * 1080
PUBLISHED, BASE = Config(), Load(fixed=190 * MIB, per_pixel=60)


@pytest.mark.parametrize(
    ("device", "host_gib", "card_gib", "bits", "place"),
    [
        ("cuda", 30, 21, "16", "device"),
        ("cuda", 30, 14, "16", "host"),
        ("cuda", 12, 14, "16", "disk"),
        ("cuda", 6, 14, "8", "device"),
        ("cuda", 12, 7, "8", "host"),
        ("cuda", 6, 7, "8", "disk"),
        ("cuda", 6, 7, "4", "device"),
        ("cuda", 6, 3.5, "16", "disk"),
        ("cpu", 60, 0, "16", "device"),
        ("cpu", 14, 0, "16", "disk"),
        ("cpu", 14, 0, "8", "device"),
        ("cpu", 2, 0, "4", "disk"),
    ],
)
def test_layers_wait_in_the_fastest_place_that_holds_them(
    device: str, host_gib: float, card_gib: float, bits: str, place: str
) -> None:
    settings, budget = ScoreSettings(weight_bits=bits), Budget(int(host_gib * GIB), int(card_gib * GIB))
    need = Need(PUBLISHED, settings, BASE, PIXELS, 31)
    assert need.settled(budget, device) == Layout(device, place, int(bits))
    for forced in ("device", "host", "disk"):
        asked = settings.model_copy(update={"weights_place": forced})
        assert replace(need, settings=asked).settled(budget, device).place == forced


def test_what_the_published_network_holds() -> None:
    need = Need(PUBLISHED, ScoreSettings(), BASE, PIXELS, 31)

    def card(bits: int, place: Any, batch: int = 1) -> float:
        return need.cost(Layout("cuda", place, bits)).device.total_bytes(1, batch, PIXELS) / 1e9

    assert [round(card(bits, "device"), 1) for bits in (16, 8, 4)] == [16.7, 9.3, 6.0]
    assert card(16, "host") == card(16, "disk") < 3.2
    assert card(16, "device", 32) - card(16, "device") == pytest.approx(31 * 0.033, rel=0.15)
    places: tuple[Any, ...] = ("device", "host", "disk")
    device, host, disk = (need.cost(Layout("cuda", place)).host.fixed for place in places)
    assert host - disk == pytest.approx(15.1e9, rel=0.01)
    assert device == disk


def test_the_plan_says_where_layers_wait(ask: Ask) -> None:
    assert "stay on the device" in ask()[1].choice.reason
    _, job = ask(budget=300 * MIB, weight_bits="8")
    assert job.choice.values["layers_place"] == "disk"
    assert "at 8 bits) stay in their files" in job.choice.reason
    need = Need(PUBLISHED, ScoreSettings(), BASE, PIXELS)
    assert need.remark(Layout("cuda", "host", 8)) == (
        "Q-Align's layers (7.0 GiB at 8 bits) stay in host memory, two at a time on the GPU"
    )


def test_batches_are_what_is_asked_for_or_fewer(ask: Ask) -> None:
    for asked, sizes in ({}, [4, 2, 1]), ({"batch_size": 10}, [10, 5, 2, 1]), ({"batch_size": 1}, [1]):
        pipeline, job = ask(**asked)
        assert pipeline.engine.batches(job.choice) == sizes
    pipeline, job = ask()
    choice, _ = pipeline.engine.fit(job.choice, Budget(16 * GIB, 40 * GIB), "cuda")
    assert pipeline.engine.batches(choice) == [32, 16, 8, 4, 2, 1]


@pytest.mark.parametrize("asked", [{}, {"weight_bits": "8"}, {"weight_bits": "4"}])
def test_too_small_a_machine_gives_the_same_scores(ask: Ask, asked: dict[str, Any]) -> None:
    tight, roomy = ask(budget=300 * MIB, **asked), ask(**asked)
    assert (tight[1].choice.values["layers_place"], roomy[1].choice.values["layers_place"]) == (
        "disk",
        "device",
    )
    assert np.array_equal(scores(run(*tight)), scores(run(*roomy)))


def empty_weights(folder: Path, layers: int) -> int:
    """A network of zeros, whose large file takes no room on disk; returns its size in bytes."""
    text = {
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "num_hidden_layers": layers,
        "intermediate_size": 4096,
    }
    seen = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1}
    nested = {
        "visual_model": {**seen, "image_size": 28},
        "visual_abstractor": {**seen, "encoder_hidden_size": 16, "num_learnable_queries": 2, "grid_size": 2},
    }
    folder.mkdir()
    config = {**text, "vocab_size": 96, "torch_dtype": "float32", "visual_config": nested}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokens.json").write_text(json.dumps({"prefix": [1], "suffix": [2], "levels": [3, 4, 5, 6, 7]}))
    table, size = {}, 0
    for name, shape in expected_shapes(read_config({"config.json": folder / "config.json"})).items():
        stop = size + 4 * math.prod(shape)
        table[name], size = {"dtype": "F32", "shape": shape, "data_offsets": [size, stop]}, stop
    header = json.dumps(table).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(file.tell() + size)
    return size


def test_a_limit_below_the_size_of_the_weights_is_kept(pictures: Path, tmp_path: Path) -> None:
    limit = 1.1
    assert empty_weights(tmp_path / "w", 16) > limit * GIB
    asked = ("--engine", "qalign", "--weights", tmp_path / "w", "--ram-limit-gb", limit, "--end", 0.1)
    command = [sys.executable, "-m", "pipelines", "score", pictures, *asked, "--jobs-dir", tmp_path / "jobs"]
    told = subprocess.run(
        [*map(str, command), "--device", "cpu", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.returncode == 0, told.stderr
    assert "stay in their files" in next(e for e in events if e["type"] == "planned")["preset_reason"]
    assert max(e["host_peak_bytes"] for e in events if e["type"] == "memory") < limit * GIB
