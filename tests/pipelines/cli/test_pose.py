"""The command `pose` as a user meets it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main
from pipelines.animation.liveportrait import networks
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED

from ..animation.liveportrait.fakes import FakePortrait


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A portrait that is a ready cut-out, weights with nothing in them, and a place for the result."""
    monkeypatch.setattr(networks, "LivePortrait", FakePortrait)
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "config"))
    picture = tmp_path / "portrait.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 80, 3), np.uint8)).save(picture)
    for file in PUBLISHED["liveportrait"].files:
        (tmp_path / file.name).write_bytes(b"x")
    return ["pose", str(picture), "--weights", str(tmp_path), "--source-crop", "none"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_pose_is_a_picture(
    suffix: str, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / f"posed{suffix}"
    assert main([*asked, "--yaw", "-12.5", "--key", "14:0,-0.02,0", "-o", str(there), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"picture": str(there), "width": 512, "height": 512}
    with Image.open(there) as drawn:
        assert drawn.size == (512, 512)


def test_colours_are_those_that_were_drawn(asked: list[str], tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (250, 10, 40)).save(tmp_path / "portrait.png")
    assert main([*asked, "-o", str(tmp_path / "posed.png")]) == 0
    with Image.open(tmp_path / "posed.png") as drawn:
        red, green, blue = drawn.getpixel((256, 256))
    # The stand-in for the networks changes the lowest six bits.
    assert (red >> 6, green >> 6, blue >> 6) == (3, 0, 0)


def test_transparent_parts_show_the_background_and_that_is_said(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGBA", (64, 64), (250, 10, 40, 0)).save(tmp_path / "portrait.png")
    assert main([*asked, "--background", "blue", "-o", str(tmp_path / "posed.png")]) == 0
    assert "portrait.png has transparent parts. They are read as blue;" in capsys.readouterr().err
    with Image.open(tmp_path / "posed.png") as drawn:
        assert [value >> 6 for value in drawn.getpixel((256, 256))] == [0, 0, 3]


def test_the_licence_is_said_once(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for _ in range(2):
        assert main([*asked, "-o", str(tmp_path / "posed.png")]) == 0
        said.append("MIT License" in capsys.readouterr().err)
    assert said == [True, False] and licences.is_accepted("liveportrait")


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["-o", "posed.mp4"], 2, "not the name of a picture"),
        (["--yaw", "90"], 2, "less than or equal to 45"),
        (["--key", "0:1,0,0"], 2, "does not move"),
        (["--eyes", "0.1"], 2, "No landmarks"),
        (["--ram-limit-gb", "0.1"], 3, "host memory"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    more: list[str],
    code: int,
    words: str,
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    licences.accept("liveportrait")
    assert main([*asked, *more]) == code
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1
    assert not list(tmp_path.glob("posed*"))


def test_missing_weights_are_said_with_where_to_get_them(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asked[:2], "--weights", str(tmp_path / "nowhere")]) == 4
    assert "--fetch" in capsys.readouterr().err


def test_a_video_is_no_portrait(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert main(["pose", str(tmp_path / "clip.mp4"), *asked[2:]]) == 2
    assert "not a picture" in capsys.readouterr().err
