"""A result and its source in one video: each frame beside the one that it was made of, sizes and sound kept."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.comparing.pipeline import MOST_HALF_PX, Halves, placed
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job
from pipelines.settings import CompareSettings
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from ..mask_clips import encode

WIDTH, HEIGHT, BITS, BAR = 72, 50, 7, 10
"""A size of no whole blocks, of which seven bars tell a frame's number."""


def numbered(number: int, tone: int) -> np.ndarray:
    """A picture of `tone` whose bars are the digits of `number`."""
    picture = np.full((HEIGHT, WIDTH, 3), tone, np.uint8)
    for bit in range(BITS):
        picture[10:40, bit * BAR : (bit + 1) * BAR] = 255 * (number >> bit & 1)
    return picture


def number_of(half: np.ndarray) -> int:
    bars = [half[15:35, bit * BAR + 3 : bit * BAR + 7].mean() for bit in range(BITS)]
    return sum((bar > 128) << bit for bit, bar in enumerate(bars))


def clip(path: Path, numbers: range, tone: int) -> Path:
    frames = [numbered(number, tone) for number in numbers]
    return encode(path, frames, "-pix_fmt", "yuv420p", "-crf", "10")


def compared(folder: Path, *inputs: Path, **settings: object) -> events.Event:
    asked = CompareSettings(engine="builtin", **settings)
    job = Job.create(folder / "jobs", "compare", inputs, asked, 1)
    job.journal.append(events.Queued(job=job.id, task="compare", name="clip"))
    run_job(job)
    return [event for event, _ in job.journal.read()][-1]


def test_each_frame_stands_below_the_one_it_was_made_of(tmp_path: Path) -> None:
    """Over the border of two spans, from a source of which the result is a part."""
    source, result = clip(tmp_path / "s.mp4", range(100), 90), clip(tmp_path / "r.mp4", range(25, 95), 160)
    done = compared(tmp_path, result, source, source_start=1.0)
    assert isinstance(done, events.Done), done
    made = done.outputs.result
    report = (made.parent / "report.json").read_text()
    assert '"source_frame": 25' in report
    seen = []
    for frame in read_frames(probe(made)):
        picture = frame.rgb()
        assert picture.shape == (2 * 64, 80, 3)
        above, below = picture[:HEIGHT, :WIDTH], picture[64 : 64 + HEIGHT, :WIDTH]
        assert abs(above[2:6].mean() - 90) < 4 and abs(below[2:6].mean() - 160) < 4
        assert abs(picture[60:64].mean() - 90) < 4 and abs(picture[64:68].mean() - 160) < 4, "no trace"
        seen.append((number_of(above), number_of(below)))
    assert seen == [(number, number) for number in range(25, 95)]


def test_a_source_that_is_too_short_is_refused(tmp_path: Path) -> None:
    source, result = clip(tmp_path / "s.mp4", range(8), 90), clip(tmp_path / "r.mp4", range(8), 160)
    failed = compared(tmp_path, result, source, source_start=0.12)
    assert isinstance(failed, events.Failed) and failed.code == "bad_input"
    assert "8 frames, and 11 are compared" in failed.message


def test_a_picture_that_was_enlarged_has_its_source_in_the_middle() -> None:
    source = np.full((20, 30, 3), 200, np.uint8)
    whole = placed(source, (50, 40))
    assert whole.shape == (40, 50, 3) and (whole[10:30, 10:40] == 200).all()
    assert whole.sum() == source.sum()
    assert placed(source, (15, 10)).shape == (10, 15, 3), "a smaller one is scaled"
    assert placed(source, (30, 20)) is source


@pytest.mark.parametrize("size", [(3840, 2160), (2160, 3840), (16384, 300), (2560, 1440), (2, 2)])
def test_large_pictures_are_scaled_to_what_browsers_decode(size: tuple[int, int]) -> None:
    halves = Halves.of(size)
    width, height = halves.shown
    assert width * height <= MOST_HALF_PX
    assert abs(width / height / (size[0] / size[1]) - 1) < 0.02
    assert halves.shown == size or size[0] * size[1] > MOST_HALF_PX
    assert all(
        room % 16 == 0 and 0 <= room - shown < 16
        for shown, room in zip(halves.shown, halves.room, strict=True)
    )
