"""The tables of a folder."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DamagedVideo
from pipelines.scoring.metrics.smoothness import blur_record, failed_record, gather, threshold_for
from pipelines.scoring.report.folder import COLUMNS, PUBLISHED_COLUMNS, published_row, write_table

LEVELS = {
    "无模糊": "none",
    "轻微模糊": "mild",
    "中等模糊": "moderate",
    "严重模糊": "severe",
    "检测失败": "failed",
}


def extent(start: int, stop: int) -> dict[str, Any]:
    return {"start": start, "stop": stop, "start_seconds": start / 8, "stop_seconds": stop / 8}


def summary(**changes: Any) -> dict[str, Any]:
    none = {"frames": 0, "ratio": 0.0, "longest": None}
    return {
        "frames": 40,
        "duration_seconds": 5.0,
        "mean_sharpness": 0.512345,
        "blurred": {**none, "interval_count": 0, "intervals": []},
        "frozen": {**none, "run_count": 0, "runs": []},
        "cuts": {"count": 0, "frames": []},
        "curve": {"mean": [0.5] * 40},
        **changes,
    }


def written(path: Path, **changes: Any) -> Path:
    record = blur_record(f"{path.stem}.mp4", gather([0.5, 0.9] * 2, 0.01), 0.0, 3)
    path.write_text(json.dumps({"task": "score", "summary": summary(**changes), "published": record}))
    return path


def table(folder: Path, name: str = "table.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_published_records_match_the_goldens(golden):
    case = golden("batch.json")
    movement = case["camera_movement"]
    records = [
        failed_record(name, "cannot decode")
        if scores is None
        else blur_record(name, gather(scores, threshold_for(movement)), movement, 3)
        for name, scores in sorted(case["scores"].items())
        if name not in case["skipped_by_reference"]
    ]
    for record, expected in zip(records, case["results"], strict=True):
        expected["blur_severity"] = LEVELS[expected["blur_severity"]]
        frames = expected.pop("blur_frames", None)
        assert record.get("blur_frames") == frames
        assert {key: record[key] for key in expected} == pytest.approx(expected, abs=1e-9)
    rows = [",".join(LEVELS.get(cell, cell) for cell in row.split(",")) for row in case["csv_rows_sorted"]]
    assert [published_row(record) for record in records] == [f"{row}\n" for row in rows]
    assert ",".join(PUBLISHED_COLUMNS) == case["csv_header"]


def test_the_columns_are_those_that_readers_of_the_table_rely_on(tmp_path: Path) -> None:
    write_table([], tmp_path)
    assert (tmp_path / "table.csv").read_bytes() == (
        b"file,duration_seconds,blurred_share,blurred_from,blurred_to,frozen_from,frozen_to,cuts,sharpness_mean\n"
    )
    assert json.loads((tmp_path / "report.json").read_text()) == []


def test_an_untouched_video_has_zeros_and_empty_cells(tmp_path: Path) -> None:
    write_table([("a.mp4", written(tmp_path / "a.json"))], tmp_path / "out")
    assert (tmp_path / "out/table.csv").read_text().splitlines()[1] == "a.mp4,5,0,,,,,0,0.512345"


def test_a_row_has_the_longest_stretch_of_each_kind(tmp_path: Path) -> None:
    blurred = {"frames": 8, "ratio": 0.2, "longest": extent(0, 7), "intervals": []}
    frozen = {"frames": 6, "ratio": 0.15, "longest": extent(31, 37), "runs": []}
    report = written(
        tmp_path / "a.json", blurred=blurred, frozen=frozen, cuts={"count": 2}, mean_sharpness=None
    )
    write_table([("a.mp4", report)], tmp_path / "out")
    assert list(table(tmp_path / "out")[0].values()) == [
        *("a.mp4", "5", "0.2", "0", "0.875", "3.875", "4.625", "2", "")
    ]


def test_failures_are_rows_and_say_why_in_the_report(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    results = [
        ("a.mp4", written(tmp_path / "a.json")),
        ("b,2.mp4", DamagedVideo("The file is cut short.")),
        ("c.mp4", tmp_path / "none.json"),
        ("d.mp4", broken),
    ]
    folder = tmp_path / "new/folder"
    write_table(results, folder)
    rows = table(folder)
    assert [row["file"] for row in rows] == ["a.mp4", "b,2.mp4", "c.mp4", "d.mp4"]
    assert [set(row.values()) - {row["file"]} == {""} for row in rows] == [False, True, True, True]
    published = table(folder, "published.csv")
    assert [row["Severity"] for row in published] == ["severe", "failed", "failed", "failed"]
    good, *bad = json.loads((folder / "report.json").read_text())
    assert (good["file"], good["error"], good["report"]) == ("a.mp4", None, str(tmp_path / "a.json"))
    assert good["summary"] == {key: value for key, value in summary().items() if key != "curve"}
    assert good["published"]["blur_severity"] == "severe"
    assert bad[0]["error"] == "The file is cut short."
    assert all("cannot be read" in entry["error"] for entry in bad[1:])
    write_table(results[:1], folder)
    assert len(table(folder)) == 1, "replaces the files of an earlier run"


def test_a_table_that_fails_half_way_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [("a.mp4", written(tmp_path / "a.json"))]
    write_table(results, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*_: object) -> None:
        raise OSError("disk")

    monkeypatch.setattr("pipelines.scoring.report.folder.published_row", full)
    with pytest.raises(OSError, match="disk"):
        write_table([("b.mp4", DamagedVideo("Cut short."))], tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_the_header_is_the_columns() -> None:
    assert len(COLUMNS) == len(set(COLUMNS)) == 9
