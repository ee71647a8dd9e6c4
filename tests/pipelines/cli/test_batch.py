"""A folder of videos: names, whose mask is whose, pictures and results of each apart, one table."""

import csv
import json
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.cli.batch import check_names, settings_for, write_table
from pipelines.cli.console import Console
from pipelines.errors import BadInput, Cancelled
from pipelines.jobs.events import Outputs
from pipelines.settings import InpaintSettings, ScoreSettings
from pipelines.spec import FolderSpec, task_spec

from ..mask_clips import disc, white
from .in_process import animate_here, draw, inpaint_here


def folder_of(task: str) -> FolderSpec:
    found = task_spec(task).folder
    assert found
    return found


def test_names_that_cannot_be_told_apart_are_refused() -> None:
    check_names([Path("a.mp4"), Path("b.mp4")])
    with pytest.raises(BadInput, match=r"a\.mov and a\.mp4 differ only"):
        check_names([Path("a.mov"), Path("a.mp4")])


def test_one_table_over_good_and_bad(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"summary": {"frames": 7, "worst_frame": 3, "more": 1}}))
    folder = tmp_path / "table"
    results = [("clip.mp4", report), ("bad.mp4", BadInput("It is no video."))]
    for _ in range(2):
        write_table(folder_of("inpaint"), results, folder)
    with (folder / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["video"], row["frames"], row["error"]) for row in rows] == [
        ("clip.mp4", "7", ""),
        ("bad.mp4", "0", "It is no video."),
    ]
    good, bad = json.loads((folder / "report.json").read_text())
    blank = {"mean_hole_share": 0.0, "mean_invented_share": 0.0, "worst_invented_share": 0.0}
    assert good == {"video": "clip.mp4", "frames": 7, "worst_frame": 3, **blank, "error": None}
    assert bad == {"video": "bad.mp4", "frames": 0, "worst_frame": None, **blank, "error": "It is no video."}
    assert list(rows[0]) == list(good) == list(bad)


def test_the_columns_of_portraits_are_their_summary(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"summary": {"frames": 7, "most_turn_degrees": 12.5}}))
    write_table(folder_of("animate"), [("clip.mp4", report)], tmp_path)
    assert (tmp_path / "report.csv").read_text().splitlines() == [
        "video,frames,frames_at_rest,most_shift_eye_distances,most_turn_degrees,error",
        "clip.mp4,7,0,,12.5,",
    ]


def test_pictures_of_many_videos_have_a_folder_each() -> None:
    asked = settings_for(Path("a/film.mp4"), InpaintSettings(frames_out=Path("/out")))
    assert asked.frames_out == Path("/out/film")
    assert settings_for(Path("film.mp4"), InpaintSettings()) == InpaintSettings()
    assert settings_for(Path("film.mp4"), ScoreSettings()) == ScoreSettings()


def test_each_video_has_the_mask_of_its_name(tmp_path: Path) -> None:
    def mask_for(video: str, masks: Path) -> Path:
        (found,) = folder_of("inpaint").others(Path(video), (masks,))
        return found

    (tmp_path / "film.1").mkdir()
    for name in ("film.png", "other.zip", "other.png"):
        (tmp_path / name).touch()
    assert mask_for("x/film.mp4", tmp_path).name == "film.png"
    assert mask_for("x/film.1.mp4", tmp_path).name == "film.1"
    with pytest.raises(BadInput, match="has no mask for none"):
        mask_for("none.mp4", tmp_path)
    with pytest.raises(BadInput, match=r"has several masks \(other\.png, other\.zip\) for other"):
        mask_for("other.mp4", tmp_path)
    with pytest.raises(BadInput, match="is not a folder"):
        mask_for("film.mp4", tmp_path / "film.png")
    assert folder_of("inpaint").others(Path("film.mp4"), ()) == (), (
        "nothing marks where the frame is extended"
    )


# -- the command line ------------------------------------------------------------------------------------------


def test_a_folder_of_videos_with_a_folder_of_masks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    inpaint_here(monkeypatch, tmp_path)
    for name in ("one", "two", "three"):
        draw(tmp_path / f"films/{name}.mp4")
    (tmp_path / "masks/two").mkdir(parents=True)
    white(disc(0)).save(tmp_path / "masks/one.png")
    for i in range(12):
        white(disc(i)).save(tmp_path / f"masks/two/{i}.png")
    arguments = ["inpaint", "films", "--mask", "masks", "--frames-out", "out", "-o", "done"]
    assert main(arguments) == 5, "one has no mask"
    found = sorted(path.name for path in (tmp_path / "done").iterdir())
    assert found == ["one.mp4", "report.csv", "report.json", "two.mp4"]
    assert [len(list((tmp_path / "out" / name).glob("*.png"))) for name in ("one", "two")] == [12, 12]
    rows = {row["video"]: row for row in json.loads((tmp_path / "done/report.json").read_text())}
    assert rows["two.mp4"]["frames"] == 12 and "no mask for three.mp4" in rows["three.mp4"]["error"]


def test_boxes_are_for_one_video(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inpaint_here(monkeypatch, tmp_path)
    draw(tmp_path / "films/one.mp4")
    assert main(["inpaint", "films", "--box", "1,2,30,20@0"]) == 2
    assert "apply to a single video" in capsys.readouterr().err


def test_a_folder_of_drivings_is_one_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    animate_here(monkeypatch, tmp_path)
    for name in ("one", "two"):
        draw(tmp_path / f"films/{name}.mp4", frames=9 if name == "one" else 10)
    (tmp_path / "films/three.mp4").write_text("no video")
    arguments = ["animate", "face.png", "films", "--frames-out", "out", "-o", "done"]
    assert main(arguments) == 5, "one is no video"
    found = sorted(path.name for path in (tmp_path / "done").iterdir())
    assert found == ["one.mp4", "report.csv", "report.json", "two.mp4"]
    assert [len(list((tmp_path / "out" / name).glob("*.png"))) for name in ("one", "two")] == [9, 10]
    with (tmp_path / "done/report.csv").open() as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    assert (rows["one.mp4"]["frames"], rows["two.mp4"]["frames"]) == ("9", "10")
    assert "is not a video" in rows["three.mp4"]["error"]


def test_a_job_without_a_report_is_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    animate_here(monkeypatch, tmp_path)
    draw(tmp_path / "films/one.mp4")
    monkeypatch.setattr(Console, "follow", lambda console, queue, job: Outputs())
    assert main(["animate", "face.png", "films"]) == 5
    (row,) = json.loads((tmp_path / "jobs/films-animated/report.json").read_text())
    assert row["video"] == "one.mp4" and "made no report" in row["error"]


def test_what_is_cancelled_is_cancelled_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    animate_here(monkeypatch, tmp_path)
    for name in ("one", "two"):
        draw(tmp_path / f"films/{name}.mp4")
    followed = []

    def cancelled(console: Console, queue: object, job: object) -> Outputs:
        followed.append(job)
        raise Cancelled("Cancelled.", "`resume` continues it.")

    monkeypatch.setattr(Console, "follow", cancelled)
    assert main(["animate", "face.png", "films", "-o", "done"]) == 130
    assert len(followed) == 1 and not (tmp_path / "done").exists()
