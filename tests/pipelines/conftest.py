"""A pipeline without pixels: items are numbers, files are text, memory ends where a test says so; a tiny Q-Align."""

import importlib.util
import json
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from memory.ladder import Rung, standard_rungs
from memory.plan import Cost, Load
from memory.units import GIB
from pipelines.jobs.events import Outputs
from pipelines.jobs.job import Job
from pipelines.runtime import planning
from pipelines.settings import ScoreSettings
from pipelines.spans import Span
from pipelines.spec import task_spec
from pipelines.video.clock.timeline import constant
from pipelines.video.info import VideoInfo
from presets.choose import Choice

from .mask_clips import HEIGHT, WIDTH, disc


class TextSink:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []

    def write(self, item: Any) -> None:
        self.lines.append(f"{item}\n")

    def close(self) -> None:
        self.path.write_text("".join(self.lines))

    def abandon(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass
class Numbers:
    """A stage whose item of frame i is i squared; `before` is called with each frame and may raise."""

    name: str = "numbers"
    folder: str = "segments"
    suffix: str = ".txt"
    in_order: bool = False
    frames_beside: int = 0
    before: Callable[[int], None] = lambda frame: None
    computed: list[int] = field(default_factory=list)
    chains: list[tuple[int, int]] = field(default_factory=list)
    open_chains: int = 0
    files_beside: Callable[[Any, Span], tuple[Path, ...]] = lambda job, span: ()

    def compute(self, job: Any, start: int, stop: int) -> Generator[int]:
        self.chains.append((start, job.plan.window_frames))
        self.open_chains += 1
        try:
            for frame in range(start, stop):
                self.before(frame)
                self.computed.append(frame)
                yield frame * frame
        finally:
            self.open_chains -= 1

    def halo(self, job: Any) -> int:
        return self.frames_beside

    def sink(self, job: Any, path: Path) -> TextSink:
        return TextSink(path)

    def beside(self, job: Any, span: Span) -> tuple[Path, ...]:
        return self.files_beside(job, span)

    def preview(self, item: int) -> Any:
        return np.full((4, 6, 3), item % 255, np.uint8)

    def value(self, item: int) -> float:
        return float(item)


@dataclass
class NumbersPipeline:
    stages: tuple[Numbers, ...]
    video: VideoInfo
    task: str = "score"
    name: str = "builtin"
    network: bool = False
    sizes: tuple[int, ...] = (8, 4, 2, 1)
    load: Load = field(default_factory=lambda: Load(fixed=2 * GIB))
    checked: Callable[[Any], None] = lambda job: None

    @property
    def engine(self) -> "NumbersPipeline":
        return self

    def frames(self, asked: Span) -> Span:
        return asked

    def windows(self, choice: Any) -> tuple[int, ...]:
        return self.sizes

    def batches(self, choice: Any) -> tuple[int, ...]:
        return (1,)

    def check(self, job: Any) -> None:
        self.checked(job)

    def notices(self, job: Any) -> tuple[str, ...]:
        return ()

    def fit(self, choice: Any, budget: Any, device: str) -> tuple[Any, Cost]:
        return choice, Cost(host=self.load)

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        return standard_rungs(network=False)

    def disk_bytes(self, frames: Span) -> int:
        return len(frames)

    def other_bytes(self) -> int:
        return 0

    def join(self, job: Any, segments: list[Path], warn: Callable[[str, str], None]) -> Outputs:
        report = job.folder / "report.json"
        report.write_text("".join(path.read_text() for path in segments))
        return Outputs(report=report)


@dataclass
class Bench:
    """A job over the pipeline without pixels, and the pieces that a test changes."""

    job: Job
    stage: Numbers
    pipeline: NumbersPipeline
    clip: Path

    def result(self) -> list[int]:
        return [int(line) for line in (self.job.folder / "report.json").read_text().split()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A job of 35 frames: spans 0-10, 10-20, 20-30, 30-35."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not looked at")
    stage = Numbers()
    pipeline = NumbersPipeline((stage,), VideoInfo(clip, "mp4", "h264", 64, 48, constant(35, 25)))
    monkeypatch.setattr(planning, "choose", lambda *a, **k: Choice("none", {"span_frames": 10}, "As drawn."))
    monkeypatch.setattr(planning, "open_pipeline", lambda task, inputs, settings: pipeline)
    settings = ScoreSettings(engine="builtin")
    return Bench(
        Job.create(tmp_path / "jobs", "score", (clip,), settings, task_spec("score").result_version),
        stage,
        pipeline,
        clip,
    )


@dataclass
class TinyQAlign:
    """Q-Align at a tiny size: stand-in weights by the published names, written in the published layout."""

    manifest: dict[str, Any]
    make_state_dict: Callable[..., dict[str, Any]]
    root: Path
    kept: dict[int, Path] = field(default_factory=dict)

    def tensors(self, seed: int = 0) -> dict[str, Any]:
        return self.make_state_dict(self.manifest, seed)

    def folder(self, seed: int = 0) -> Path:
        """The folder of these weights; leave it as it is."""
        if seed not in self.kept:
            self.kept[seed] = self.write(self.root / f"tiny{seed}", self.tensors(seed))
        return self.kept[seed]

    def write(self, folder: Path, tensors: dict[str, Any], *, shards: int = 2, kind: str = "bin") -> Path:
        """`kind` is `bin` or `safetensors`; one shard has no index."""
        from safetensors.torch import save_file
        from torch import save

        folder.mkdir()
        sizes = self.manifest["config"]
        nested = {"visual_model": sizes["vision"], "visual_abstractor": sizes["abstractor"]}
        config = {**sizes["text"], "torch_dtype": "float32", "visual_config": nested}
        (folder / "config.json").write_text(json.dumps(config))
        tokens = {key: self.manifest["tokens"][key] for key in ("prefix", "suffix", "levels")}
        (folder / "tokens.json").write_text(json.dumps(tokens))
        stem, names = {"bin": "pytorch_model", "safetensors": "model"}[kind], list(tensors)
        suffixes = [""] if shards == 1 else [f"-{i + 1:05d}-of-{shards:05d}" for i in range(shards)]
        index = {name: f"{stem}{suffixes[i * shards // len(names)]}.{kind}" for i, name in enumerate(names)}
        for file in set(index.values()):
            part = {name: tensors[name].contiguous() for name in names if index[name] == file}
            (save_file if kind == "safetensors" else save)(part, folder / file)
        if shards > 1:
            (folder / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": index}))
        return folder


@pytest.fixture(scope="session")
def tiny_qalign(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyQAlign:
    where = shared / "parity"
    spec = importlib.util.spec_from_file_location("stand_in_weights", where / "weights.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    manifest = json.loads((where / "qalign/tiny.manifest.json").read_text())
    return TinyQAlign(manifest, module.make_state_dict, tmp_path_factory.mktemp("qalign"))


@pytest.fixture(scope="session")
def liveportrait_weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stand-in weights in LivePortrait's published layout; made once for all processes of the tests."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "liveportrait-weights"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            part = folder.with_suffix(".part")
            write_liveportrait_weights(part / "liveportrait", shared / "parity")
            part.rename(folder)
    return folder


def write_liveportrait_weights(folder: Path, parity: Path) -> None:
    """Half a gigabyte; ten seconds."""
    import torch

    spec = importlib.util.spec_from_file_location("stand_in_weights", parity / "weights.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("base_models", "retargeting_models"):
        (folder / name).mkdir(parents=True)
    for name in ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"):
        tensors = module.make_state_dict(parity / f"liveportrait/{name}.manifest.json", 1)
        torch.save(tensors, folder / f"base_models/{name}.pth")
    name = "stitching_retargeting_module"
    nested: dict[str, dict[str, Any]] = {}
    for key, tensor in module.make_state_dict(parity / f"liveportrait/{name}.manifest.json", 1).items():
        network, inner = key.split(".", 1)
        # As published: saved from a wrapper that trained on several cards.
        nested.setdefault(network, {})[f"module.{inner}"] = tensor
    torch.save(nested, folder / f"retargeting_models/{name}.pth")


@pytest.fixture
def video() -> Callable[..., VideoInfo]:
    """A video that is known, but not there."""

    def of(frames: int = 5, width: int = WIDTH, height: int = HEIGHT, **more: object) -> VideoInfo:
        return VideoInfo(Path("clip.mp4"), "mp4", "h264", width, height, constant(frames, 25), **more)

    return of


@pytest.fixture
def discs() -> Callable[[int], list[NDArray[np.bool_]]]:
    """The masks of so many frames."""
    return lambda frames: [disc(index) for index in range(frames)]


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """A folder of pictures `1.png`, `2.png`, ... `10.png` in the mode that `draw` gives them."""

    def write(masks: list[NDArray[np.bool_]], draw: Callable[[NDArray[np.bool_]], Image.Image]) -> Path:
        folder = tmp_path / "masks"
        folder.mkdir()
        for number, mask in enumerate(masks, 1):
            draw(mask).save(folder / f"{number}.png")
        return folder

    return write


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], Any]:
    def read(name: str) -> Any:
        path = shared / "parity/qalign" / name
        return json.loads(path.read_text("utf-8")) if path.suffix == ".json" else dict(np.load(path))

    return read
