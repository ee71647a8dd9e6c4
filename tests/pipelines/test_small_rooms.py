"""Telling, folders, preview, doctor, events: the small rooms of the house."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from memory.devices import NoDevice
from memory.probe import Device, Hardware, Host
from memory.units import GIB
from pipelines.doctor import examine
from pipelines.errors import BadInput, LongtakeError, NotEnoughMemory
from pipelines.jobs import events
from pipelines.runtime.progress import Throughput
from pipelines.storage.atomic import atomic_write
from pipelines.storage.jpeg import save_picture
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.storage.video_folders import is_video_folder, natural_key, videos_in


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pace_is_that_of_the_last_seconds_and_tells_what_is_left() -> None:
    clock = Clock()
    pace = Throughput(total=1000, done=0, clock=clock)
    for done in range(100, 600, 100):
        clock.now += 1
        rate, left = pace.at(done)
    assert (rate, left) == (100, 5)
    for done in range(510, 710, 10):
        clock.now += 1
        rate, left = pace.at(done)
    assert rate == pytest.approx(10), "it has become slower"


def test_pace_says_nothing_before_it_knows() -> None:
    clock = Clock()
    assert Throughput(total=10, done=4, clock=clock).at(4) == (0.0, None)


def test_natural_order() -> None:
    names = ["f10.png", "f2.png", "F1.png", "a.png", "2.png", "10.png"]
    assert sorted(names, key=natural_key) == ["2.png", "10.png", "a.png", "F1.png", "f2.png", "f10.png"]


def test_videos_in_a_folder_in_natural_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b10.MP4", "b9.mkv", ".hidden.mp4", "note.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert [p.name for p in videos_in(tmp_path)] == ["b9.mkv", "b10.MP4"]
    assert is_video_folder(tmp_path)


def test_a_folder_of_pictures_is_no_folder_of_videos(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    assert not is_video_folder(tmp_path)
    with pytest.raises(BadInput, match="cannot be read"):
        is_video_folder(tmp_path / "missing")


def test_a_preview_is_small_and_keeps_its_colours(tmp_path: Path) -> None:
    frame = np.zeros((1080, 1920, 3), np.uint8)
    frame[..., 0] = 200
    path = save_picture(frame, tmp_path / "preview.jpg", most_width_px=640)
    shown = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert shown.shape == (360, 640, 3)
    assert abs(int(shown[180, 320, 0]) - 200) < 4 and shown[180, 320, 2] < 4
    assert [p.name for p in tmp_path.iterdir()] == ["preview.jpg"]


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as part:
        part.write_text("half")
        1 / 0  # noqa: B018
    assert list(path.parent.iterdir()) == []
    with atomic_write(path) as part:
        part.write_text("all")
        assert not path.exists() and part.suffix == ".txt"
    assert path.read_text() == "all"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_events_survive_json_and_a_line_of_another_kind_is_refused() -> None:
    failed = events.Failed.of("j", NotEnoughMemory("It does not fit.", "Use less."))
    assert events.parse(failed.model_dump_json()) == failed
    assert failed.exit_code == 3
    for line in ("", "{}", '{"type":"nonsense","job":"j"}'):
        with pytest.raises(ValidationError):
            events.parse(line)


HOST = Host(total_bytes=16 * GIB, available_bytes=9 * GIB, machine_bytes=1000 * GIB, in_container=True)


def findings(tmp_path: Path, hardware: Hardware) -> dict:
    return {f.what: f for f in examine(tmp_path, hardware)}


def test_the_doctor_names_the_containers_limit_and_the_card(tmp_path: Path) -> None:
    card = Device("cuda", 0, "Card", "GPU-1", 8 * GIB, 5 * GIB, others_bytes=3 * GIB)
    found = findings(tmp_path, Hardware(HOST, (card,)))
    assert "container's limit" in found["host"].found and "16.0 GiB" in found["host"].found
    assert "Card" in found["gpu 0"].found and "3.0 GiB held by others" in found["gpu 0"].found


def test_the_doctor_gives_advice_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(tmp_path / "missing"))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "no-ffmpeg"))
    monkeypatch.setattr("pipelines.doctor._LOW_DISK_BYTES", 10**18)
    low = Host(16 * GIB, GIB, 16 * GIB)
    found = findings(tmp_path, Hardware(low, (), NoDevice("No NVIDIA driver answers.")))
    for what in ("host", "ffmpeg", "weights", "disk"):
        assert not found[what].ok and found[what].advice, what
    assert found["gpu"].found == "No NVIDIA driver answers."


def test_a_failure_becomes_the_error_that_it_was() -> None:
    known = NotEnoughMemory("8 GiB are not there.", "Close other programs.")
    back = events.parse(events.Failed.of("a", known).model_dump_json())
    assert isinstance(back, events.Failed)
    error = back.to_error()
    assert type(error) is NotEnoughMemory
    assert (error.code, error.exit_code, error.message, error.hint) == (
        "not_enough_memory",
        3,
        "8 GiB are not there.",
        "Close other programs.",
    )
    newer = events.Failed(job="a", code="of_a_newer_version", message="x", exit_code=7).to_error()
    assert type(newer) is LongtakeError and (newer.code, newer.exit_code) == ("of_a_newer_version", 7)


def test_a_visitors_file_is_named_without_its_folder() -> None:
    failed = events.Failed(job="a", code="not_a_video", message="/srv/jobs/clip.mp4 is no video.")
    assert failed.to_error(Path("/srv/jobs/clip.mp4")).message == "clip.mp4 is no video."


def test_the_projects_root_is_known_in_one_place() -> None:
    assert (PROJECT_ROOT / "pyproject.toml").is_file() and (PROJECT_ROOT / "pipelines").is_dir()
    here = [
        path.relative_to(PROJECT_ROOT).as_posix()
        for top in ("ui", "pipelines", "memory", "presets")
        for path in (PROJECT_ROOT / top).rglob("*.py")
        if "Path(__file__).parents" in path.read_text(encoding="utf-8")
    ]
    assert here == ["pipelines/storage/paths.py"]
