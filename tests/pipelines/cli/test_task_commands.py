"""The commands of the tasks, from arguments to files: `inpaint` and `animate`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ..mask_clips import disc, encode, white
from .in_process import animate_here, draw, inpaint_here

ROOT = Path(__file__).parents[3]

# -- inpaint ---------------------------------------------------------------------------------------------------


@pytest.fixture
def inpaint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The current folder, where `inpaint` runs with the stand-in."""
    inpaint_here(monkeypatch, tmp_path)
    return tmp_path


def test_inpaint_from_arguments_to_files(inpaint: Path) -> None:
    draw(inpaint / "clip.mp4")
    white(disc(0)).save(inpaint / "mask.png")
    arguments = [
        "inpaint",
        "clip.mp4",
        "--mask",
        "mask.png",
        "--frames-out",
        "out",
        "-o",
        "done.mp4",
        "--engine",
        "flow",
    ]
    assert main(arguments) == 0
    assert probe(inpaint / "done.mp4").frames == 12
    assert len(list((inpaint / "out").glob("*.png"))) == 12, "relative to where the command was given"
    for picture in (inpaint / "out").glob("0000[3-5].png"):
        picture.unlink()
    assert main(arguments) == 0
    assert len(list((inpaint / "out").glob("*.png"))) == 12, "though the job is done"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give --mask"),
        (["--box", "1,2,3@0"], "--box Write x,y,width,height@frame"),
        (["--point", "1@0"], "--point Write x,y@frame"),
        (["--mask", "gone.png"], "gone.png cannot be read"),
        (["--mask", "clip.mp4", "-o", "x.webm"], "Use one of .mp4"),
        (["--mask", "clip.mp4", "--codec", "vp9", "-o", "x.mp4"], "Use one of .webm"),
        (["--mask", "clip.mp4", "--mask-dilation", "-1"], "--mask-dilation"),
        (["--mask", "clip.mp4", "--engine", "magic"], "magic"),
    ],
)
def test_what_inpaint_cannot_be_asked_is_one_line_and_exit_2(
    arguments, sentence, inpaint: Path, capsys
) -> None:
    draw(inpaint / "clip.mp4")
    assert main(["inpaint", "clip.mp4", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told and "\n" not in told


def test_the_built_in_engine_in_a_worker(tmp_path: Path) -> None:
    ground = cv2.resize(
        np.random.default_rng(1).integers(0, 256, (20, 60, 3), np.uint8),
        (480, 160),
        interpolation=cv2.INTER_CUBIC,
    )
    encode(
        tmp_path / "clip.mp4", [ground[20:116, 4 * i : 4 * i + 128] for i in range(30)], "-pix_fmt", "yuv420p"
    )
    hole = np.zeros((96, 128), bool)
    hole[30:60, 50:80] = True
    white(hole).save(tmp_path / "mask.png")
    given = ["clip.mp4", "--mask", "mask.png", "--mask-dilation", "0", "--frames-out", "out", "--json"]
    command = [sys.executable, "-m", "pipelines", "inpaint", *given]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert next(event["engine"] for event in told if event["type"] == "planned") == "flow"
    assert told[-1]["type"] == "done" and Path(told[-1]["outputs"]["result"]).name == "result.mp4"
    before = np.stack([frame.rgb() for frame in read_frames(probe(tmp_path / "clip.mp4"), decoder="pyav")])
    after = np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted((tmp_path / "out").glob("*.png"))])
    assert np.array_equal(after[:, ~hole], before[:, ~hole])
    error = np.abs(after[:, hole].astype(int) - before[:, hole]).mean()
    assert error < 12, "the camera pans, so other frames show what is behind the hole"


# -- animate ---------------------------------------------------------------------------------------------------


@pytest.fixture
def animate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The current folder, where `animate` runs with the stand-in; with a portrait in it."""
    animate_here(monkeypatch, tmp_path)
    return tmp_path


def test_animate_from_arguments_to_files(animate: Path) -> None:
    draw(animate / "clip.mp4", frames=10)
    asked = ["animate", "face.png", "clip.mp4", "--engine", "flowwarp"]
    assert main([*asked, "-o", "done.mp4", "--frames-out", "out"]) == 0
    assert probe(animate / "done.mp4").frames == len(list((animate / "out").glob("*.png"))) == 10
    assert main([*asked, "-o", "report.json", "--no-flag-stitching"]) == 0
    assert json.loads((animate / "report.json").read_text())["frames"] == 10
    assert len(list((animate / "jobs").iterdir())) == 1, "the built-in engine knows no stitching"


def test_a_folder_of_pictures_is_one_driving(animate: Path) -> None:
    (animate / "frames").mkdir()
    for i in range(5):
        Image.fromarray(np.full((48, 64, 3), 40 * i, np.uint8)).save(animate / f"frames/{i}.png")
    assert main(["animate", "face.png", "frames", "-o", "done.mp4"]) == 0
    assert probe(animate / "done.mp4").frames == 5


def test_two_pictures_give_no_film(animate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open("face.png").save("other.png")
    assert main(["animate", "face.png", "other.png", "-o", "done.png"]) == 0
    assert Image.open("done.png").size == (64, 48)
    assert main(["animate", "face.png", "other.png", "-o", "done.mp4"]) == 2
    assert "This job made no .mp4 for done.mp4. It made result.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["face.png"], "DRIVING"),
        (["face.png", "gone.mp4"], "gone.mp4 cannot be read"),
        (["face.png", "clip.mp4", "-o", "x.gif"], "Use one of .mp4"),
        (["face.png", "clip.mp4", "--source-box", "1,2,3"], "--source-box Write x,y,width,height"),
        (["face.png", "clip.mp4", "--face", "nobody"], "--face"),
        (["face.png", "clip.mp4", "--audio", "loud"], "loud"),
    ],
)
def test_what_animate_cannot_be_asked_is_one_line_and_exit_2(
    arguments: list[str], sentence: str, animate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(animate / "clip.mp4", frames=10)
    assert main(["animate", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told and "\n" not in told


def test_an_estimate_takes_both(animate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(draw(animate / "clip.mp4", frames=10))
    assert main(["estimate", "animate", "face.png", clip, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 10
    assert main(["estimate", "animate", "face.png"]) == 2
    assert "DRIVING" in capsys.readouterr().err
    assert main(["estimate", "score", clip, clip]) == 2
    assert "Unused Tokens" in capsys.readouterr().err


# -- help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "named", "refused"),
    [
        ("score", {".csv", ".json", ".png"}, ".mp4"),
        ("inpaint", {".mp4", ".mov", ".webm", ".mkv", ".csv", ".json", ".png"}, ".avi"),
        ("track", {".mkv", ".mp4", ".csv", ".json"}, ".png"),
        ("copy", {".mp4", ".mov", ".webm", ".mkv", ".json"}, ".avi"),
    ],
)
def test_the_help_promises_what_the_output_may_be(
    task: str,
    named: set[str],
    refused: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    assert main([task, "--help"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "--output" in line)
    assert set(re.findall(r"\.\w+\b", line.partition("suffix")[2])) == named
    draw(tmp_path / "clip.mp4")
    mask = ["--box", "1,2,30,20@0"] if task in ("inpaint", "track") else []
    assert main([task, "clip.mp4", *mask, "-o", f"r{refused}"]) == 2
    assert f"{task} makes no {refused}" in capsys.readouterr().err
