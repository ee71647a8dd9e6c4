"""The table of a folder."""

import json

import pytest

from pipelines.errors import DamagedVideo
from pipelines.scoring.metrics.smoothness import blur_record, failed_record, gather, threshold_for
from pipelines.scoring.report import folder as table_of_folder

LEVELS = {
    "无模糊": "none",
    "轻微模糊": "mild",
    "中等模糊": "moderate",
    "严重模糊": "severe",
    "检测失败": "failed",
}


def test_records_and_table_match_the_goldens(golden):
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
    lines = table_of_folder.table(records).splitlines()
    rows = [",".join(LEVELS.get(cell, cell) for cell in row.split(",")) for row in case["csv_rows_sorted"]]
    assert lines == [case["csv_header"], *rows]
    assert case["summary"].items() <= table_of_folder.counts(records).items()


def test_statistics_leave_failures_out():
    records = [
        blur_record("a.mp4", gather([0.5] * 4, 0.01), 0.0, 3),
        blur_record("b.mp4", gather([0.5, 0.9] * 2, 0.01), 0.0, 3),
        failed_record("c.mp4", "no picture in it"),
    ]
    text = table_of_folder.summary(records)
    assert "Videos: 3" in text
    assert "Detection rate: 33.3 %" in text
    assert "Confidence: mean 0.480, min 0.100, max 0.860, deviation 0.380" in text
    assert "Severity severe: 1" in text
    assert "Failed c.mp4: no picture in it" in text


@pytest.mark.parametrize("records", [[], [failed_record("c.mp4", "no picture in it")]])
def test_nothing_to_count_reads_none(records):
    assert "Confidence: none" in table_of_folder.summary(records)


def test_the_three_files_are_written(tmp_path):
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"blur_record": blur_record("a.mp4", gather([0.5], 0.01), 0.0, 3)}))
    folder = tmp_path / "new" / "table"
    table_of_folder.write_table(
        [("a.mp4", report), ("b,2.mp4", DamagedVideo("The file is cut short."))], folder
    )
    rows = (folder / "blur_detection_summary.csv").read_text().splitlines()
    assert rows[2] == '"b,2.mp4",False,0.000,failed,0.000,0'
    records = json.loads((folder / "blur_detection_results.json").read_text())
    assert [record.get("error") for record in records] == [None, "The file is cut short."]
    assert "Failed: 1" in (folder / "statistics_report.txt").read_text()
    table_of_folder.write_table([("a.mp4", report)], folder)
    assert "Videos: 1" in (folder / "statistics_report.txt").read_text(), "over what was there"
