"""A folder of films: names, a folder of pictures for each, one table."""

import csv
import json
from pathlib import Path

import pytest

from pipelines.cli.batch import check_names, failed_row, read_row, settings_for, write_table
from pipelines.cli.inpaint_batch import InpaintRow
from pipelines.errors import BadInput
from pipelines.jobs.events import Outputs
from pipelines.settings import InpaintSettings


def test_names_that_cannot_be_told_apart_are_refused() -> None:
    check_names([Path("a.mp4"), Path("b.mp4")])
    with pytest.raises(BadInput, match=r"a\.mov and a\.mp4 have one name"):
        check_names([Path("a.mov"), Path("a.mp4")])


def test_one_table_over_good_and_bad(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"summary": {"frames": 7, "worst_frame": 3, "more": 1}}))
    good = read_row(InpaintRow, "clip.mp4", Outputs(report=tmp_path / "report.json"))
    assert good == InpaintRow("clip.mp4", frames=7, worst_frame=3)
    folder = write_table(
        InpaintRow, [good, failed_row(InpaintRow, "bad.mp4", BadInput("It is no video."))], tmp_path / "table"
    )
    with (folder / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["video"], row["frames"], row["error"]) for row in rows] == [
        ("clip.mp4", "7", ""),
        ("bad.mp4", "0", "It is no video."),
    ]
    assert [row["error"] for row in json.loads((folder / "report.json").read_text())] == [
        None,
        "It is no video.",
    ]
    with pytest.raises(BadInput, match="has no report"):
        read_row(InpaintRow, "x", Outputs())


def test_pictures_of_many_videos_have_a_folder_each() -> None:
    asked = settings_for(Path("a/film.mp4"), InpaintSettings(frames_out=Path("/out")))
    assert asked.frames_out == Path("/out/film")
    assert settings_for(Path("film.mp4"), InpaintSettings()) == InpaintSettings()
