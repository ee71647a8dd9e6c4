"""The table of a folder."""

import json

import pytest

from pipelines.cli import score_batch
from pipelines.errors import BadInput, DamagedVideo
from pipelines.jobs.events import Outputs
from pipelines.scoring.metrics.smoothness import blur_record, failed_record, gather, threshold_for

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
    lines = score_batch.table(records).splitlines()
    rows = [",".join(LEVELS.get(cell, cell) for cell in row.split(",")) for row in case["csv_rows_sorted"]]
    assert lines == [case["csv_header"], *rows]
    assert case["summary"].items() <= score_batch.counts(records).items()


def test_statistics_leave_failures_out():
    records = [
        blur_record("a.mp4", gather([0.5] * 4, 0.01), 0.0, 3),
        blur_record("b.mp4", gather([0.5, 0.9] * 2, 0.01), 0.0, 3),
        failed_record("c.mp4", "no picture in it"),
    ]
    text = score_batch.summary(records)
    assert "Videos: 3" in text
    assert "Detection rate: 33.3 %" in text
    assert "Confidence: mean 0.480, min 0.100, max 0.860, deviation 0.380" in text
    assert "Severity severe: 1" in text
    assert "Failed c.mp4: no picture in it" in text


@pytest.mark.parametrize("records", [[], [failed_record("c.mp4", "no picture in it")]])
def test_nothing_to_count_reads_none(records):
    assert "Confidence: none" in score_batch.summary(records)


def test_the_three_files_are_written(tmp_path):
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"blur_record": blur_record("a.mp4", gather([0.5], 0.01), 0.0, 3)}))
    results = [
        score_batch.read_result("a.mp4", Outputs(report=report)),
        score_batch.failed_result("b,2.mp4", DamagedVideo("The file is cut short.")),
    ]
    folder = score_batch.write_table(results, tmp_path / "new" / "table")
    assert (folder / "blur_detection_summary.csv").read_text().splitlines()[
        2
    ] == '"b,2.mp4",False,0.000,failed,0.000,0'
    assert (
        json.loads((folder / "blur_detection_results.json").read_text())[1]["error"]
        == "The file is cut short."
    )
    assert "Failed: 1" in (folder / "statistics_report.txt").read_text()
    assert [r.error for r in results] == [None, "The file is cut short."]


def test_a_job_without_a_report_is_refused():
    with pytest.raises(BadInput, match="no report"):
        score_batch.read_result("a.mp4", Outputs())
