"""Stills and animations are taken by every task, whatever their names."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main

from .cli.in_process import run_commands_here
from .mask_clips import disc, white

SIZE = (96, 64)
DELAYS = [100, 40, 200, 500, 60, 100]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are given in an empty folder, and their jobs run in this process."""
    run_commands_here(monkeypatch)
    monkeypatch.chdir(tmp_path)


def drawn(index: int = 0) -> Image.Image:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    ground = np.dstack([x * 2, y * 3, (x + 5 * index) % 96]).astype(np.uint8)
    ground[disc(index, *SIZE)] = (250, 40, 30)
    return Image.fromarray(ground)


def frames_of(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """Times and pixels as PyAV reads them."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in frames]


STILLS = [("photo", "JPEG"), ("photo.avif", "AVIF"), ("photo.mp4", "WEBP"), ("photo.gif", "GIF")]


@pytest.mark.parametrize(("name", "form"), STILLS)
@pytest.mark.parametrize("task", ["copy", "score", "inpaint", "track"])
def test_a_still_is_a_video_of_one_frame(task: str, name: str, form: str, capsys) -> None:
    drawn().save(name, form)
    white(disc(0, *SIZE)).save("mask", "PNG")
    out = {"score": "scores.csv", "track": "masks.mkv"}.get(task, "out.mp4")
    mask = ["--mask", "mask"] if task in ("inpaint", "track") else []
    assert main([task, name, *mask, "-o", out]) == 0, capsys.readouterr().err
    if task == "score":
        assert len(Path(out).read_text().splitlines()) == 2
    else:
        ((_, pixels),) = frames_of(Path(out))
        assert pixels.shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("form", ["WEBP", "PNG", "AVIF", "GIF"])
def test_an_animation_keeps_its_delays(form: str, capsys) -> None:
    first, *others = (drawn(i) for i in range(len(DELAYS)))
    first.save("moving", form, save_all=True, append_images=others, duration=DELAYS)
    assert main(["copy", "moving", "-o", "out.mp4"]) == 0, capsys.readouterr().err
    found = frames_of(Path("out.mp4"))
    assert [round(float(time) * 1000) for time, _ in found] == [sum(DELAYS[:i]) for i in range(len(DELAYS))]
    for index, (_, pixels) in enumerate(found):
        assert np.abs(pixels.astype(int) - np.asarray(drawn(index))).mean() < 12
