"""The example clip: it has just the faults that it says, the scorer finds them, and drawing it is harmless."""

import csv
import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipelines.errors import BadInput, EncoderDied, NotEnoughDisk
from pipelines.example import camera, clip
from pipelines.example.clip import write_example
from pipelines.example.faults import FAULTS, FRAME_RATE, FRAMES, HEIGHT, WIDTH, fault_at
from pipelines.video.probe import probe

ROOT = Path(__file__).parents[2]
BLACK = 8


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pipelines", *map(str, arguments)]


def frames_of(*kinds: Any) -> set[int]:
    return {frame for frame in range(FRAMES) if fault_at(frame, *kinds)}


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("example") / "longtake-example.mp4"
    assert write_example(path).drawn
    return path


@pytest.fixture(scope="module")
def drawn() -> Iterator[dict[str, Any]]:
    """Of each drawn frame: whether it equals the one before, and its share of black."""
    equal, black, before = [], [], np.zeros(0, np.uint8)
    for frame in camera.frames():
        assert frame.shape == (HEIGHT, WIDTH, 3)
        equal.append(np.array_equal(frame, before))
        black.append(float((frame @ np.array([0.2126, 0.7152, 0.0722]) <= BLACK).mean()))
        before = frame
    return {"equal": equal, "black": black}


@pytest.fixture(scope="module")
def scored(example, tmp_path_factory) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """The rows of scores.csv, and the summary of report.json."""
    folder = tmp_path_factory.mktemp("jobs")
    subprocess.run(command("score", example, "--jobs-dir", folder, "--json"), cwd=ROOT, check=True)
    rows = list(csv.DictReader(next(folder.rglob("scores.csv")).open()))
    return rows, json.loads(next(folder.rglob("report.json")).read_text("utf-8"))["summary"]


def flagged(scored: Any, column: str) -> set[int]:
    return {int(row["frame"]) for row in scored[0] if row[column] == "1"}


def test_faults_lie_in_the_clip_in_order_and_apart():
    assert FAULTS[0].start > 0 and FAULTS[-1].stop < FRAMES
    assert all(a.stop < b.start for a, b in pairwise(FAULTS))
    assert all(f.start < f.stop and f.english and f.chinese for f in FAULTS)


def test_only_the_frozen_frames_equal_the_one_before(drawn):
    assert {frame for frame, equal in enumerate(drawn["equal"]) if equal} == frames_of("frozen")


def test_only_the_dark_frames_have_black_in_them(drawn):
    dark = frames_of("dark")
    assert max(black for frame, black in enumerate(drawn["black"]) if frame not in dark) < 0.001
    assert np.mean([drawn["black"][frame] for frame in dark]) > 0.25


def test_the_scorer_finds_the_blur_and_nothing_else(scored):
    found, true = flagged(scored, "blurred"), {f for f in range(FRAMES) if (x := fault_at(f)) and x.blurs}
    assert len(found & true) >= 0.95 * len(true)
    assert len(found & true) >= 0.95 * len(found)
    assert [run["severity"] for run in scored[1]["blurred"]["intervals"]] == ["severe", "moderate", "mild"]


def test_the_scorer_finds_each_copy_and_the_cut(scored):
    assert flagged(scored, "frozen") == frames_of("frozen")
    assert flagged(scored, "cut") == frames_of("cut")


def test_the_scorer_sees_how_much_is_too_dark(scored, drawn):
    assert scored[1]["exposure"]["under"] == pytest.approx(np.mean(drawn["black"]), abs=0.006)


def test_the_scorer_sees_the_shaking_camera(scored):
    motion = np.array([float(row["motion"] or 0) for row in scored[0]])
    shaken = sorted(frames_of("shake"))
    assert motion[shaken].min() > 2 * np.median(motion)


def test_the_file_is_small_and_plays_everywhere(example):
    info = probe(example)
    assert (info.width, info.height, info.frames, info.frame_rate) == (WIDTH, HEIGHT, FRAMES, FRAME_RATE)
    data = example.read_bytes()
    assert len(data) < 1_500_000
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(example)) as container:
        (pictures,), (sound,) = container.streams.video, container.streams.audio
        assert (pictures.codec_context.name, pictures.pix_fmt) == ("h264", "yuv420p")
        assert sound.codec_context.name == "aac"
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(samples) / 44_100 == pytest.approx(FRAMES / FRAME_RATE, abs=0.1)
    assert 0.02 < np.sqrt((samples**2).mean()) < 0.3
    assert np.abs(samples).max() < 0.9


def test_two_at_once_leave_one_whole_file_with_equal_bytes(example, tmp_path):
    path = tmp_path / "new" / "two.mp4"
    both = [subprocess.Popen(command("example", "-o", path), cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == example.read_bytes()


def test_a_clip_that_is_there_stays(example, monkeypatch):
    monkeypatch.setattr(camera, "frames", lambda: pytest.fail("drawn again"))
    before = example.stat()
    assert not write_example(example).drawn
    assert example.stat() == before


def quick(path: Path) -> None:
    path.write_bytes(b"drawn")


def test_an_older_version_is_drawn_anew(example, tmp_path, monkeypatch):
    old = tmp_path / "old.mp4"
    old.write_bytes(example.read_bytes())
    monkeypatch.setattr(clip, "_VERSION", "2")
    monkeypatch.setattr(clip, "_write", quick)
    assert write_example(old).drawn
    assert old.read_bytes() == b"drawn"


def test_what_is_not_ours_is_left_alone(tmp_path):
    path = tmp_path / "holiday.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(BadInput, match="not the example"):
        write_example(path)
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["example.mp3", "file/example.mp4", "folder.mp4"])
def test_a_place_that_cannot_be_is_refused_before_the_work(name, tmp_path, monkeypatch):
    monkeypatch.setattr(clip, "_write", lambda path: pytest.fail("drawn"))
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(BadInput, match=r"a name that ends in \.mp4|Choose another path"):
        write_example(tmp_path / name)


def test_drawing_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def two_frames():
        yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        raise MemoryError

    monkeypatch.setattr(camera, "frames", two_frames)
    with pytest.raises(MemoryError):
        write_example(tmp_path / "example.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_and_a_failing_encoder_say_so(tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(clip, "_write", full)
    with pytest.raises(NotEnoughDisk, match="full"):
        write_example(tmp_path / "example.mp4")
    with pytest.raises(EncoderDied, match="joined"):
        clip.add_sound(tmp_path / "absent.mp4", tmp_path / "absent.wav", tmp_path / "example.mp4", "")


def test_the_faults_are_known_without_anything_heavy():
    code = "import pipelines.example.faults, sys; print({'numpy', 'cv2', 'av'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "set()"


def test_the_command_says_what_is_wrong_with_the_clip(example):
    told = json.loads(subprocess.check_output(command("example", "-o", example, "--json"), cwd=ROOT))
    assert (told["type"], told["path"], told["drawn"]) == ("example", str(example), False)
    assert [fault["start"] for fault in told["faults"]] == [fault.start for fault in FAULTS]
    text = subprocess.check_output(command("example", "-o", example), cwd=ROOT, text=True)
    assert all(fault.english in text for fault in FAULTS)
