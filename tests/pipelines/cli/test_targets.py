"""Targets in this process: disks without room, and results that cannot be put where they should go."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipelines.__main__ import main
from pipelines.cli.console import Console
from pipelines.cli.targets import check_target, expected_bytes, reject_inputs, writing
from pipelines.errors import BadInput, NotEnoughDisk
from pipelines.settings import CopySettings
from pipelines.storage.atomic import atomic_write, is_being_written, prefixed

from ..mask_clips import disc, white
from .in_process import draw, inpaint_here


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_room_is_asked_of_the_disk_of_the_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(10**9, 10**9 - 10**6, 10**6)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    check_target(tmp_path / "deep/r.mp4", [], need_bytes=10**6)
    with pytest.raises(NotEnoughDisk, match=r"1\.0 MiB free; the result may take 1\.9 MiB"):
        check_target(tmp_path / "deep/r.mp4", [], need_bytes=2 * 10**6)
    assert asked == [tmp_path, tmp_path]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0))
    check_target(tmp_path / "r.mp4", [], need_bytes=10**12)


def test_a_video_may_take_as_much_as_its_source(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(1000))
    assert expected_bytes(clip, Path("r.MP4"), CopySettings()) == 1000
    assert expected_bytes(clip, Path("r.csv"), CopySettings()) == 0
    assert expected_bytes(clip, Path("r.mp4"), CopySettings(end=1)) == 0
    assert expected_bytes(tmp_path, Path("r.mp4"), CopySettings()) == 0


def test_other_files_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "old.mp4").touch()
    reject_inputs([tmp_path / "old.mp4", tmp_path / "new.mp4"], [tmp_path / "clip.mp4", tmp_path / "none"])
    with pytest.raises(BadInput, match="is an input"):
        reject_inputs([tmp_path / "old.mp4", tmp_path / "clip.mp4"], [tmp_path])


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NotEnoughDisk), (errno.EACCES, BadInput)])
def test_what_cannot_be_written_is_an_error_for_people(number: int, kind: type[Exception]) -> None:
    with (
        pytest.raises(kind, match=r"r\.mp4 cannot be written.*its result is jobs.1.result\.mp4"),
        writing(Path("r.mp4"), kept=Path("jobs/1/result.mp4")),
    ):
        raise OSError(number, os.strerror(number))
    with pytest.raises(BrokenPipeError), writing(Path("r.mp4")):
        raise BrokenPipeError


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The current folder, where `inpaint` runs with the stand-in, and the disk is full when its result is copied."""
    inpaint_here(monkeypatch, tmp_path)
    draw(tmp_path / "films/clip.mp4")
    (tmp_path / "masks").mkdir()
    white(disc(0)).save(tmp_path / "masks/clip.png")

    def copyfile(source: Path, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    return tmp_path


def test_a_result_that_finds_no_room_is_not_lost(
    full: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["inpaint", "films/clip.mp4", "--mask", "masks/clip.png", "-o"]
    assert main([*arguments, "out/r.mp4"]) == 3
    (result,) = full.glob("jobs/*/result.mp4")
    (line,) = capsys.readouterr().err.splitlines()
    assert "The job is done" in line and str(result) in line
    assert not [*(full / "out").iterdir()], "no half file"
    monkeypatch.undo()
    monkeypatch.chdir(full)
    when = result.stat().st_mtime_ns
    assert main([*arguments, "r.mp4", "--engine", "flow"]) == 0
    assert (full / "r.mp4").read_bytes() == result.read_bytes() and result.stat().st_mtime_ns == when


def test_a_result_of_many_that_finds_no_room_is_one_row(full: Path) -> None:
    assert main(["inpaint", "films", "--mask", "masks", "-o", "out"]) == 5
    (row,) = json.loads((full / "out/report.json").read_text())
    assert "The job is done and its result is" in row["error"]


@pytest.mark.parametrize(
    "error", [ValueError("of a library"), OSError(5, "Input/output error"), MemoryError()]
)
def test_whatever_a_file_causes_the_others_are_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    inpaint_here(monkeypatch, tmp_path)
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        draw(tmp_path / f"films/{name}.mp4", frames=12 if name == "a" else 10)
        white(disc(0)).save(tmp_path / f"masks/{name}.png")
    follow, calls = Console.follow, []

    def once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise error
        return follow(*arguments)

    monkeypatch.setattr(Console, "follow", once)
    assert main(["inpaint", "films", "--mask", "masks", "-o", "out"]) == 5
    first, second = json.loads((tmp_path / "out/report.json").read_text())
    assert type(error).__name__ in first["error"] and second["error"] is None
    assert "Traceback" not in capsys.readouterr().err


def test_part_files_of_long_names_are_legal_and_known(tmp_path: Path) -> None:
    for name in ("n" * 251 + ".mp4", "长" * 83 + "nn.mp4"):
        with atomic_write(tmp_path / name) as part:
            part.write_bytes(b"whole")
            assert part.suffix == ".mp4" and is_being_written(part)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()
    assert prefixed("part-1-", "short.mp4") == "part-1-short.mp4"


def test_what_a_killed_command_left_beside_its_results_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inpaint_here(monkeypatch, tmp_path)
    draw(tmp_path / "films/clip.mp4")
    white(disc(0)).save(tmp_path / "mask.png")
    (tmp_path / "frames").mkdir()
    (tmp_path / "out").mkdir()
    left = [tmp_path / "out/part-4194305-0a-r.mp4", tmp_path / "frames/part-4194305-0a-00000.png"]
    other = tmp_path / "out/part-4194305-0a-s.mp4"
    for path in (*left, other):
        path.touch()
    arguments = [
        "inpaint",
        "films/clip.mp4",
        "--mask",
        "mask.png",
        "--frames-out",
        "frames",
        "-o",
        "out/r.mp4",
    ]
    assert main(arguments) == 0
    assert not any(path.exists() for path in left) and other.exists(), "another's result is another's matter"


@pytest.mark.parametrize("draws", ["pipeline.draw_invention", "pipeline.unseen.save_heat_map"])
def test_a_picture_that_cannot_be_drawn_does_not_keep_the_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], draws: str
) -> None:
    inpaint_here(monkeypatch, tmp_path)
    draw(tmp_path / "films/clip.mp4")
    white(disc(0)).save(tmp_path / "mask.png")

    def refuse(*given: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(f"pipelines.inpainting.{draws}", refuse)
    assert main(["inpaint", "films/clip.mp4", "--mask", "mask.png", "-o", "r.mp4"]) == 0
    assert "could not be made" in capsys.readouterr().err and (tmp_path / "r.mp4").stat().st_size
