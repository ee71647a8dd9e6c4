"""Jobs whose driving cuts: followed anew after each cut, told, and the same bytes however they were interrupted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.example.moving_face import DrawnFace, MovingFace, Pose
from pipelines.jobs import events
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from pipelines.video.writer import VideoWriter
from tests.pipelines.animation.running import ask, result, shorten, step

RATE = 25
FIRST, FLASH, SECOND, BEFORE_ZOOM, ZOOMED = 19, 4, 9, 20, 14
"""Frames of the parts of the driving: somebody, a flash, the same again, somebody else, and that one closer."""
CUTS = (FIRST + FLASH + SECOND, FIRST + FLASH + SECOND + BEFORE_ZOOM)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    shorten(monkeypatch.setattr)


def resized(face: DrawnFace, side: int) -> Any:
    return cv2.resize(face.picture, (side, side), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def edited(driver: DrawnFace, portrait: DrawnFace, poses: list[Pose], tmp_path_factory: Any) -> Path:
    """An edited driving, 256 x 256."""
    path = tmp_path_factory.mktemp("edited") / "edited.mp4"
    one, two = MovingFace(driver), MovingFace(portrait)
    spoken = [one.frame(pose) for pose in poses[: FIRST + SECOND]]
    other = [
        cv2.resize(two.frame(pose), (256, 256), interpolation=cv2.INTER_AREA) for pose in poses[:BEFORE_ZOOM]
    ]
    closer = [two.frame(pose)[60:380, 110:430] for pose in poses[BEFORE_ZOOM : BEFORE_ZOOM + ZOOMED]]
    green = np.full((256, 256, 3), (20, 250, 30), np.uint8)
    frames = [
        *spoken[:FIRST],
        *[green] * FLASH,
        *spoken[FIRST:],
        *other,
        *(cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA) for frame in closer),
    ]
    with VideoWriter(path, 256, 256, RATE, preset="ultrafast", crf=12) as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))
    return path


@pytest.fixture(scope="module")
def source(portrait: DrawnFace, tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("source") / "admiral.png"
    Image.fromarray(resized(portrait, 192)).save(path)
    return path


@pytest.fixture(scope="module")
def done(edited: Path, source: Path, tmp_path_factory: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
        shorten(patch.setattr)
        job = ask(folder / "jobs", source, edited, frames_out=folder / "frames")
        yield job, result(job), [np.asarray(Image.open(p)) for p in sorted((folder / "frames").glob("*.png"))]


def moved(frame: Any, source: Any) -> float:
    return float(np.abs(frame.astype(int) - source).mean())


def test_each_shot_is_followed_from_its_first_frame(done: Any, source: Path) -> None:
    still = np.asarray(Image.open(source))
    frames = done[2]
    for cut in CUTS:
        assert np.array_equal(frames[cut], still), "the reference of the new shot"
        assert moved(frames[cut - 1], still) < 0.35 * max(moved(frame, still) for frame in frames[:cut])
        assert min(moved(frame, still) for frame in frames[cut + 4 : cut + 12]) > 0.2


def test_cuts_and_rest_are_told(done: Any) -> None:
    job, outputs, _ = done
    report = json.loads(outputs.report.read_text())
    summary = report["summary"]
    assert [cut["frame"] for cut in summary["cuts"]] == list(CUTS)
    assert summary["rest"] == [{"frames": [FIRST, FIRST + FLASH], "seconds": [0.76, 0.92], "reason": "flash"}]
    assert summary["frames_at_rest"] == FLASH
    assert summary["most_growth_percent"] < 20, "a cut to a closer shot is no growth"
    told = {event.code: event.message for event, _ in job.journal.read() if isinstance(event, events.Warned)}
    assert f"cuts at frame {CUTS[0]} (1.28 s), frame {CUTS[1]} (2.08 s)" in told["cut"]
    assert f"holds still on frames {FIRST} to {FIRST + FLASH - 1} (0.76 to 0.92 s" in told["face"]
    assert told["cut"] in report["warnings"]


@pytest.mark.parametrize("part", ["segments", "state/shots", "state/faces"])
def test_each_span_on_its_own_is_the_same(done: Any, part: str, tmp_path: Path) -> None:
    job, outputs, _ = done
    want = {path: path.read_bytes() for path in (job.folder / part).iterdir()}
    film = outputs.result.read_bytes()
    for path in sorted(want)[1::2]:
        path.unlink()
    assert result(job).result.read_bytes() == film
    assert {path: path.read_bytes() for path in (job.folder / part).iterdir()} == want


@pytest.mark.parametrize("looks", [100, 160])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    done: Any, source: Path, edited: Path, looks: int, tmp_path: Path
) -> None:
    left = iter([False] * looks + [True] * 10**6)
    job = ask(tmp_path / "jobs", source, edited)
    assert step(job, closing=lambda: next(left)).type == "paused"
    assert result(job).result.read_bytes() == done[1].result.read_bytes()
    assert job.id == done[0].id


def test_growth_is_followed_and_too_much_of_it_is_told(
    source: Path, driver: DrawnFace, tmp_path: Path
) -> None:
    path = tmp_path / "closer.mp4"
    with VideoWriter(path, 256, 256, RATE, preset="ultrafast", crf=12) as writer:
        for index in range(30):
            zoom = np.array(cv2.getRotationMatrix2D((128, 117), 0, 1 + 0.013 * index))
            writer.write(cv2.warpAffine(driver.picture, zoom, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    job = ask(tmp_path / "jobs", source, path)
    summary = json.loads(result(job).report.read_text())["summary"]
    assert summary["most_growth_percent"] == pytest.approx(37.7, abs=4)
    told = [event.message for event, _ in job.journal.read() if isinstance(event, events.Warned)]
    assert any("grows or shrinks by 3" in message for message in told)
    film = probe(job.folder / "result.mp4")
    last = next(read_frames(film, 29, 30)).rgb()
    assert moved(last, np.asarray(Image.open(source))) > 3
