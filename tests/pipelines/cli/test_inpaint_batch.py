"""A folder of videos: whose mask is whose; and the command line, from arguments to files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pipelines.cli.inpaint_batch import mask_for

from pipelines import __main__ as command_line
from pipelines.errors import BadInput
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ..inpainting.standin import install
from ..mask_clips import disc, encode, white
from .in_process import run_commands_here

ROOT = Path(__file__).parents[3]


def test_each_video_has_the_mask_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "film.1").mkdir()
    for name in ("film.png", "other.zip", "other.png"):
        (tmp_path / name).touch()
    assert mask_for(Path("x/film.mp4"), tmp_path).name == "film.png"
    assert mask_for(Path("x/film.1.mp4"), tmp_path).name == "film.1"
    with pytest.raises(BadInput, match="holds no mask for none"):
        mask_for(Path("none.mp4"), tmp_path)
    with pytest.raises(BadInput, match=r"holds other\.png, other\.zip for other"):
        mask_for(Path("other.mp4"), tmp_path)
    with pytest.raises(BadInput, match="is no folder"):
        mask_for(Path("film.mp4"), tmp_path / "film.png")


# -- the command line ----------------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Commands run in this process, with the stand-in; the folder that is the current one."""

    install(monkeypatch.setattr)
    run_commands_here(monkeypatch)
    monkeypatch.setattr("pipelines.runtime.run.draw_memory", lambda table, picture, **more: None)
    monkeypatch.setattr("pipelines.inpainting.pipeline.draw_invention", lambda path, *more: path.touch())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(path: Path, frames: int = 12) -> Path:
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    ground = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (48, 32), interpolation=cv2.INTER_CUBIC)
    return encode(path, [np.roll(ground, i, axis=1) for i in range(frames)], "-pix_fmt", "yuv420p")


def test_from_arguments_to_files(here: Path) -> None:
    draw(here / "clip.mp4")
    white(disc(0)).save(here / "mask.png")
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
    assert command_line.main(arguments) == 0
    assert probe(here / "done.mp4").frames == 12
    assert len(list((here / "out").glob("*.png"))) == 12, "relative to where the command was given"
    for picture in (here / "out").glob("0000[3-5].png"):
        picture.unlink()
    assert command_line.main(arguments) == 0
    assert len(list((here / "out").glob("*.png"))) == 12, "though the job is done"


def test_a_folder_of_videos_with_a_folder_of_masks(here: Path) -> None:
    for name in ("one", "two", "three"):
        draw(here / f"films/{name}.mp4")
    (here / "masks/two").mkdir(parents=True)
    white(disc(0)).save(here / "masks/one.png")
    for i in range(12):
        white(disc(i)).save(here / f"masks/two/{i}.png")
    arguments = ["inpaint", "films", "--mask", "masks", "--frames-out", "out", "-o", "done"]
    assert command_line.main(arguments) == 5, "one has no mask"
    assert sorted(p.name for p in (here / "done").iterdir()) == [
        "one.mp4",
        "report.csv",
        "report.json",
        "two.mp4",
    ]
    assert [len(list((here / "out" / name).glob("*.png"))) for name in ("one", "two")] == [12, 12]
    rows = {row["video"]: row for row in json.loads((here / "done/report.json").read_text())}
    assert rows["two.mp4"]["frames"] == 12 and "no mask for three.mp4" in rows["three.mp4"]["error"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give --mask"),
        (["--box", "1,2,3@0"], "--box Write x,y,width,height@frame"),
        (["--point", "1@0"], "--point Write x,y@frame"),
        (["--mask", "gone.png"], "gone.png cannot be read"),
        (["--mask", "clip.mp4", "-o", "x.webm"], "It may end in .mp4"),
        (["--mask", "clip.mp4", "--codec", "vp9", "-o", "x.mp4"], "It may end in .webm"),
        (["--mask", "clip.mp4", "--mask-dilation", "-1"], "--mask-dilation"),
        (["--mask", "clip.mp4", "--engine", "magic"], "magic"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_exit_2(arguments, sentence, here: Path, capsys) -> None:
    draw(here / "clip.mp4")
    assert command_line.main(["inpaint", "clip.mp4", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told and "\n" not in told


def test_boxes_are_for_one_video(here: Path, capsys) -> None:
    draw(here / "films/one.mp4")
    assert command_line.main(["inpaint", "films", "--box", "1,2,30,20@0"]) == 2
    assert "for one video" in capsys.readouterr().err


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
        timeout=200,
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
