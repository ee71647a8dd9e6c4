"""Where inputs lie and results go, as a user meets it: odd names, places that cannot be written to, and no files."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.__main__ import main
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
        timeout=300,
        check=False,
        **more,
    )


def refusal(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command that was refused said: one line."""
    assert done.returncode == 2, done.stderr.decode()
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What a command in `tmp_path` that is refused before any work says: one line. It runs in this process."""
    monkeypatch.chdir(tmp_path)

    def ask(*arguments: str) -> str:
        capfd.readouterr()
        code = main([*arguments])
        out, err = capfd.readouterr()
        assert (code, out) == (2, ""), err
        assert not (tmp_path / "jobs").exists(), "no job was started"
        (line,) = err.splitlines()
        return line

    return ask


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
    rows = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert [row["file"] for row in rows] == ["good.mp4", "odd\\xe9.mp4"]
    assert not any(row["error"] for row in rows)
    assert "\nodd\\xe9.mp4," in (tmp_path / "out/table.csv").read_text(encoding="utf-8")


# -- what is no file -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "p.mp4"),
        ("estimate", "score", "p.mp4"),
        ("inpaint", "clip.mp4", "--mask", "p.mp4"),
        ("animate", "p.png", "clip.mp4"),
        ("copy", "link.mp4"),
    ],
)
def test_a_pipe_is_refused_unopened(
    tmp_path: Path, refused: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    draw(tmp_path / "clip.mp4")
    os.mkfifo(tmp_path / "p.mp4")
    os.mkfifo(tmp_path / "p.png")
    (tmp_path / "link.mp4").symlink_to("p.mp4")
    assert "is a pipe" in refused(*arguments)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    "arguments", [("score", "pictures"), ("inpaint", "clip.mp4", "--mask", "pictures")], ids=["video", "mask"]
)
def test_a_pipe_among_pictures_is_refused_unopened(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    draw(tmp_path / "clip.mp4")
    (tmp_path / "pictures").mkdir()
    white(disc(0)).save(tmp_path / "pictures/1.png")
    os.mkfifo(tmp_path / "pictures/2.png")
    assert "is a pipe" in refusal(run(tmp_path, *arguments))


@pytest.mark.parametrize("name", ["/dev/stdin", "link.mp4"])
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
    rows = json.loads((tmp_path / "out/report.json").read_text())
    assert [bool(row["error"]) for row in rows] == [False, True]
    assert "is a pipe" in rows[1]["error"]


# -- where results go ------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a film, its mask, a folder of each, and other names for the film."""
    draw(tmp_path / "clip.mp4")
    white(disc(0)).save(tmp_path / "mask.png")
    for folder, name in (("films", "clip.mp4"), ("masks", "clip.png"), ("masks", "same.mp4")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_bytes(
            (tmp_path / ("mask.png" if "png" in name else "clip.mp4")).read_bytes()
        )
    (tmp_path / "pictures").mkdir()
    white(disc(0)).save(tmp_path / "pictures/00000.png")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "clip.mp4")
    (tmp_path / "way").symlink_to(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {str(path): digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        ("copy", "clip.mp4", "-o", "clip.mp4"),
        ("copy", "clip.mp4", "-o", "films/../clip.mp4"),
        ("copy", "clip.mp4", "-o", "way/clip.mp4"),
        ("copy", "clip.mp4", "-o", "link.mp4"),
        ("copy", "link.mp4", "-o", "clip.mp4"),
        ("copy", "clip.mp4", "-o", "hard.mp4"),
        ("inpaint", "clip.mp4", "--mask", "mask.png", "-o", "mask.png"),
        ("inpaint", "clip.mp4", "--mask", "masks/same.mp4", "-o", "masks/same.mp4"),
        ("score", "pictures", "-o", "pictures/00000.png"),
        ("score", "pictures", "-o", "pictures/new.png"),
        ("inpaint", "films", "--mask", "masks", "-o", "films"),
        ("inpaint", "films", "--mask", "masks", "-o", "way/films"),
        ("inpaint", "pictures", "--mask", "mask.png", "--frames-out", "pictures"),
        ("inpaint", "clip.mp4", "--mask", "pictures/00000.png", "--frames-out", "pictures"),
    ],
)
def test_a_result_is_never_put_on_an_input(
    place: Path, refused: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    (place / "pictures/.longtake").write_text("an earlier job exported these")
    before = contents(place)
    assert "is an input" in refused(*arguments)
    assert contents(place) == before


def test_pictures_of_a_folder_are_not_put_on_its_masks(place: Path, refused: Callable[..., str]) -> None:
    (place / "masks/clip.png").unlink()
    (place / "pictures").rename(place / "masks/clip")
    before = contents(place)
    arguments = ("inpaint", "films", "--mask", "masks", "--frames-out", "masks", "-o", "out")
    assert "is an input" in refused(*arguments)
    assert contents(place) == before


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("films", "films is a folder"),
        ("mask.png/out.mp4", "is not a folder"),
        ("mask.png/deep/out.mp4", "is not a folder"),
        (f"{'n' * 252}.mp4", "has 256 bytes; 255 are allowed"),
        (f"new/{'长' * 100}/out.mp4", "has 300 bytes; 255 are allowed"),
        pytest.param(
            "/sys/out.mp4",
            "/sys cannot be written to",
            marks=pytest.mark.skipif(not Path("/sys").is_dir(), reason="this system has no /sys"),
        ),
    ],
)
def test_a_place_that_cannot_be_written_to_is_known_before_the_work(
    place: Path, refused: Callable[..., str], output: str, says: str
) -> None:
    before = contents(place)
    assert says in refused("copy", "clip.mp4", "-o", output)
    assert contents(place) == before and not (place / "new").exists(), "nothing was tried out and left"


@pytest.mark.parametrize("name", ["n" * 251, "长" * 83 + "nn"], ids=["ascii", "wide"])
def test_every_legal_name_can_be_given(place: Path, name: str) -> None:
    film = (place / "clip.mp4").rename(place / f"{name}.mp4")
    assert len(os.fsencode(film.name)) == 255
    arguments = ("--mask", "mask.png", "--engine", "flow", "-o", f"new/folder/{film.name}")
    done = run(place, "inpaint", film.name, *arguments)
    assert done.returncode == 0, done.stderr.decode()
    (result,) = (place / "jobs").glob("*/result.mp4")
    assert [*(place / "new/folder").iterdir()] == [place / "new/folder" / film.name]
    assert digest(place / "new/folder" / film.name) == digest(result)


def test_a_name_that_its_suffix_makes_too_long_is_a_row(place: Path) -> None:
    (place / "clip.mp4").rename(place / "films" / f"{'n' * 252}.ts")
    white(disc(0)).save(place / "masks" / f"{'n' * 251}.png")
    done = run(place, "inpaint", "films", "--mask", "masks", "-o", "out", "--engine", "flow")
    assert done.returncode == 5, done.stderr.decode()
    rows = json.loads((place / "out/report.json").read_text())
    assert rows[0]["error"] is None and "has 256 bytes" in rows[1]["error"]
    assert len([*(place / "jobs").glob("*/job.json")]) == 1, "it was not started"
