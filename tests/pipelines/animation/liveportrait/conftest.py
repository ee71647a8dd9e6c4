"""Jobs of the network engine with fake networks, exact to the bit, and short spans."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.animation import pipeline, stage
from pipelines.animation.liveportrait import crops, engine
from pipelines.engines.availability import resolve
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime import planning
from pipelines.runtime.run import run_job
from pipelines.settings import AnimateSettings
from pipelines.storage.frame_export import FrameFolder
from pipelines.video.join import JoinReport, join_segments
from pipelines.video.writer import VideoWriter
from pipelines.weights.catalog import PUBLISHED

from .fakes import FakePortrait

SPAN_FRAMES = 10
Ask = Callable[..., Job]
Draw = Callable[..., Path]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Write empty files by the published names."""
    folder = tmp_path / "weights"
    for file in PUBLISHED["liveportrait"].files:
        if file.needed:
            (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / file.name).write_bytes(file.name.encode())
    return folder


class Digest:
    """Segment that holds only a digest of its frames."""

    def __init__(self, path: Path, *size: Any, **more: Any) -> None:
        self._path, self._digest = path, hashlib.sha256()

    def write(self, frame: np.ndarray) -> None:
        self._digest.update(np.ascontiguousarray(frame))

    def close(self) -> None:
        self._path.write_bytes(self._digest.digest())

    def abandon(self) -> None:
        self._path.unlink(missing_ok=True)


def _joined(segments: list[Path], *given: Any, **more: Any) -> JoinReport:
    given[-1].write_bytes(b"".join(path.read_bytes() for path in segments))
    return JoinReport(0, 0)


@pytest.fixture
def quick_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encode no video and no picture: frames are kept as arrays."""

    def write(folder: Any, index: int, frame: np.ndarray) -> None:
        np.save(folder._path(index).with_suffix(".npy"), frame)

    monkeypatch.setattr(FrameFolder, "write", write)
    monkeypatch.setattr(FrameFolder, "paths", lambda folder, span: ())
    monkeypatch.setattr(stage, "VideoWriter", Digest)
    monkeypatch.setattr(stage, "beside", lambda pictures, *size: pictures[-1][:8, :8])
    monkeypatch.setattr(pipeline, "join_segments", _joined)


@pytest.fixture
def films(monkeypatch: pytest.MonkeyPatch, quick_files: None) -> None:
    """Encode videos after all."""
    monkeypatch.setattr(stage, "VideoWriter", VideoWriter)
    monkeypatch.setattr(pipeline, "join_segments", join_segments)


@pytest.fixture
def ask(quick_files: None, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Create a job of source and driving; `folder` selects another set of jobs."""
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    monkeypatch.setattr(engine, "LivePortrait", FakePortrait)
    monkeypatch.setattr(crops, "LivePortrait", FakePortrait)
    choose = planning.choose

    def shorter(*given: Any, **more: Any) -> Any:
        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": SPAN_FRAMES})

    monkeypatch.setattr(planning, "choose", shorter)

    def make(*inputs: Path, folder: str = "jobs", **more: Any) -> Job:
        plain = {"engine": "liveportrait", "weights": weights, "device": "cpu", "faces": "builtin"}
        settings = AnimateSettings(**{**plain, **more})
        return Job.create(
            tmp_path / folder, "animate", inputs, settings, 1, resolve("animate", settings).weights
        )

    yield make
    FakePortrait.made.clear()


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Write pictures: one array (H, W, 3) as a file, several as a folder that serves as a video."""

    def write(name: str, pictures: np.ndarray) -> Path:
        if pictures.ndim == 3:
            path = tmp_path / f"{name}.png"
            Image.fromarray(pictures).save(path)
            return path
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / name / f"{number:05d}.png", compress_level=0)
        return tmp_path / name

    return write


def colours(frames: int, seed: int, side: int = 256) -> np.ndarray:
    """(frames, side, side, 3): a few blurred colours that change from frame to frame."""
    small = np.random.default_rng(seed).integers(0, 256, (frames, 4, 4, 3), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.BILINEAR)) for each in small]
    )


def run(job: Job, **more: Any) -> events.Event:
    """Run the job to its ending event."""
    job.forget_request()
    job.journal.append(events.Queued(job=job.id, task="animate", name="clip"))
    run_job(job, **more)
    return [event for event, _ in job.journal.read()][-1]


def done(job: Job, **more: Any) -> events.Outputs:
    """Return the files of a run that succeeds."""
    ending = run(job, **more)
    assert isinstance(ending, events.Done), ending
    return ending.outputs


def pictures(folder: Path) -> np.ndarray:
    """Return the exported frames."""
    return np.stack([np.load(path) for path in sorted(folder.glob("*.npy"))])
