"""A portrait with a folder of drivings; and the command line, from arguments to files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import __main__ as command_line
from pipelines.video.probe import probe
from pipelines.video.writer import VideoWriter

from ..animation.running import shorten, stand_in
from .in_process import run_commands_here


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Commands run in this process, with the stand-in; the folder that is the current one, with a portrait in it."""

    shorten(monkeypatch.setattr)
    stand_in(monkeypatch.setattr)
    run_commands_here(monkeypatch)
    monkeypatch.setattr("pipelines.runtime.run.draw_memory", lambda table, picture, **more: None)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((48, 64, 3), 128, np.uint8)).save("face.png")
    return tmp_path


def draw(path: Path, frames: int = 10) -> Path:
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, 64, 48, 25, preset="ultrafast") as writer:
        for i in range(frames):
            writer.write(np.full((48, 64, 3), 10 * i, np.uint8))
    return path


def test_from_arguments_to_files(here: Path) -> None:
    draw(here / "clip.mp4")
    asked = ["animate", "face.png", "clip.mp4", "--engine", "flowwarp"]
    assert command_line.main([*asked, "-o", "done.mp4", "--frames-out", "out"]) == 0
    assert probe(here / "done.mp4").frames == len(list((here / "out").glob("*.png"))) == 10
    assert command_line.main([*asked, "-o", "report.json", "--no-flag-stitching"]) == 0
    assert json.loads((here / "report.json").read_text())["frames"] == 10
    assert len(list((here / "jobs").iterdir())) == 1, "the built-in engine knows no stitching"


def test_a_folder_of_drivings_is_one_table(here: Path) -> None:
    for name in ("one", "two"):
        draw(here / f"films/{name}.mp4", frames=9 if name == "one" else 10)
    (here / "films/three.mp4").write_text("no video")
    arguments = ["animate", "face.png", "films", "--frames-out", "out", "-o", "done"]
    assert command_line.main(arguments) == 5, "one is no video"
    found = sorted(path.name for path in (here / "done").iterdir())
    assert found == ["one.mp4", "report.csv", "report.json", "two.mp4"]
    assert [len(list((here / "out" / name).glob("*.png"))) for name in ("one", "two")] == [9, 10]
    with (here / "done/report.csv").open() as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    assert (rows["one.mp4"]["frames"], rows["two.mp4"]["frames"]) == ("9", "10")
    assert "is not a video" in rows["three.mp4"]["error"]


def test_a_folder_of_pictures_is_one_driving(here: Path) -> None:
    (here / "frames").mkdir()
    for i in range(5):
        Image.fromarray(np.full((48, 64, 3), 40 * i, np.uint8)).save(here / f"frames/{i}.png")
    assert command_line.main(["animate", "face.png", "frames", "-o", "done.mp4"]) == 0
    assert probe(here / "done.mp4").frames == 5


def test_two_pictures_give_no_film(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open("face.png").save("other.png")
    assert command_line.main(["animate", "face.png", "other.png", "-o", "done.png"]) == 0
    assert Image.open("done.png").size == (64, 48)
    assert command_line.main(["animate", "face.png", "other.png", "-o", "done.mp4"]) == 2
    assert "This job made no .mp4 for done.mp4. It made result.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["face.png"], "DRIVING"),
        (["face.png", "gone.mp4"], "gone.mp4 cannot be read"),
        (["face.png", "clip.mp4", "-o", "x.gif"], "It may end in .mp4"),
        (["face.png", "clip.mp4", "--source-box", "1,2,3"], "--source-box Write x,y,width,height"),
        (["face.png", "clip.mp4", "--face", "nobody"], "--face"),
        (["face.png", "clip.mp4", "--audio", "loud"], "loud"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_exit_2(
    arguments: list[str], sentence: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(here / "clip.mp4")
    assert command_line.main(["animate", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told and "\n" not in told


def test_an_estimate_takes_both(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(draw(here / "clip.mp4"))
    assert command_line.main(["estimate", "animate", "face.png", clip, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 10
    assert command_line.main(["estimate", "animate", "face.png"]) == 2
    assert "Give a driving video after the source" in capsys.readouterr().err
    assert command_line.main(["estimate", "score", clip, clip]) == 2
    assert "reads nothing but" in capsys.readouterr().err
