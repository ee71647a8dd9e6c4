"""Where inputs lie and results go, as a user meets it: odd names, places that cannot be written to, and no files."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.storage.names import read_path

from ..mask_clips import disc, white
from .in_process import draw

ROOT = Path(__file__).parents[3]


def run(folder: Path, *arguments: object, **more: object) -> subprocess.CompletedProcess[bytes]:
    """The command line in `folder`, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        timeout=120,
        check=False,
        **more,
    )


def refusal(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command that was refused said: one line."""
    assert done.returncode == 2, done.stderr.decode()
    (line,) = done.stderr.decode().splitlines()
    return line


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- names -----------------------------------------------------------------------------------------------------


def test_names_that_are_not_utf8_from_input_to_result(tmp_path: Path) -> None:
    film, mask, jobs, frames, result = (
        tmp_path / os.fsdecode(name)
        for name in (b"f\xe9.mp4", b"m\xe9.png", b"j\xe9", b"p\xe9", b"r\xff.mp4")
    )
    try:
        draw(tmp_path / "clip.mp4").rename(film)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    white(disc(0)).save(mask)
    done = run(
        tmp_path,
        *("inpaint", film, "--mask", mask, "-o", result, "--jobs-dir", jobs, "--frames-out", frames),
        *("--engine", "flow", "--json"),
    )
    assert done.returncode == 0, done.stderr.decode()
    last = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()][-1]
    assert last["type"] == "done"
    assert digest(read_path(last["outputs"]["result"])) == digest(result)
    assert len(list(frames.glob("*.png"))) == 12
    resumed = run(tmp_path, "resume", last["job"], "--jobs-dir", jobs)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert b"result.mp4" in resumed.stdout


def test_one_odd_name_does_not_end_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    draw(folder / "good.mp4")
    try:
        (folder / os.fsdecode(b"odd\xe9.mp4")).write_bytes(draw(folder / "x.mp4", frames=9).read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (folder / "x.mp4").unlink()
    done = run(tmp_path, "score", folder, "-o", "out")
    assert done.returncode == 0, done.stderr.decode()
    rows = json.loads((tmp_path / "out/blur_detection_results.json").read_text(encoding="utf-8"))
    assert [row["video_name"] for row in rows] == ["good.mp4", "odd\\xe9.mp4"]
    assert not any("error" in row for row in rows)


# -- what is no file -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "p.mp4"),
        ("estimate", "score", "p.mp4"),
        ("score", "pictures"),
        ("inpaint", "clip.mp4", "--mask", "p.mp4"),
        ("inpaint", "clip.mp4", "--mask", "pictures"),
        ("animate", "p.png", "clip.mp4"),
        ("copy", "link.mp4"),
    ],
)
def test_a_pipe_is_refused_unopened(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    draw(tmp_path / "clip.mp4")
    (tmp_path / "pictures").mkdir()
    white(disc(0)).save(tmp_path / "pictures/1.png")
    for name in ("p.mp4", "p.png", "pictures/2.png"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "link.mp4").symlink_to("p.mp4")
    assert "is a pipe" in refusal(run(tmp_path, *arguments))


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "link.mp4"])
def test_standard_input_is_refused_though_a_file_is_behind_it(tmp_path: Path, name: str) -> None:
    if not Path("/dev/stdin").exists():
        pytest.skip("this system has no /dev/stdin")
    (tmp_path / "link.mp4").symlink_to("/dev/stdin")
    with draw(tmp_path / "clip.mp4").open("rb") as file:
        assert "is a stream" in refusal(run(tmp_path, "score", name, stdin=file))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_a_folder_of_videos_is_a_row(tmp_path: Path) -> None:
    draw(tmp_path / "films/good.mp4")
    os.mkfifo(tmp_path / "films/pipe.mp4")
    done = run(tmp_path, "score", "films", "-o", "out")
    assert done.returncode == 5, done.stderr.decode()
    rows = json.loads((tmp_path / "out/blur_detection_results.json").read_text())
    assert ["error" in row for row in rows] == [False, True]
    assert "is a pipe" in rows[1]["error"]
