"""The table of a folder: one row per video, scored or failed, as CSV and JSON, and a summary as text.

The caller scores the files, and passes the error of each that could not be scored.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import LongtakeError
from pipelines.scoring.metrics.smoothness import failed_record
from pipelines.storage.names import encodable

COLUMNS = ("Video", "Blur_Detected", "Confidence", "Severity", "Blur_Ratio", "Blur_Frames")
SEVERITIES = ("mild", "moderate", "severe")

Record = dict[str, Any]


def table(records: Sequence[Record]) -> str:
    """Make the CSV with its header: confidence and ratio with 3 decimals, booleans as True and False."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for r in records:
        name = r.get("video_name") or Path(r["video_path"]).name
        figures = f"{r['confidence']:.3f}", r["blur_severity"], f"{r.get('blur_ratio', 0.0):.3f}"
        rows.writerow((name, r["blur_detected"], *figures, r.get("blur_frame_count", 0)))
    return text.getvalue()


def counts(records: Sequence[Record]) -> dict[str, int]:
    """Count the videos: all, processed (a failure counts as processed), blurred, failed."""
    detected = sum(bool(r["blur_detected"]) for r in records)
    failed = sum("error" in r for r in records)
    return {
        "total_videos": len(records),
        "processed_videos": len(records),
        "blur_detected_count": detected,
        "failed_count": failed,
    }


def summary(records: Sequence[Record]) -> str:
    """Make the statistics as text; a figure without any data reads "none"."""
    total = counts(records)
    rate = f"{100 * total['blur_detected_count'] / len(records):.1f} %" if records else "none"
    lines = [
        f"Videos: {total['total_videos']}",
        f"Failed: {total['failed_count']}",
        f"Blur detected: {total['blur_detected_count']}",
        f"Detection rate: {rate}",
        f"Confidence: {_spread([r['confidence'] for r in records if 'error' not in r])}",
    ]
    found = Counter(r["blur_severity"] for r in records if r["blur_detected"])
    lines += [f"Severity {name}: {found[name]}" for name in SEVERITIES]
    lines += [f"Failed {Path(r['video_path']).name}: {r['error']}" for r in records if "error" in r]
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    return f"mean {np.mean(values):.3f}, min {min(values):.3f}, max {max(values):.3f}, deviation {np.std(values):.3f}"


def write_table(results: Sequence[tuple[str, Path | LongtakeError]], folder: Path) -> None:
    """Write table, records and summary of `results` (video name, and report or error) into `folder`.

    Files of an earlier run are replaced.
    """
    records = encodable([_record(name, result) for name, result in results])
    folder.mkdir(parents=True, exist_ok=True)
    records_json = json.dumps(records, ensure_ascii=False, indent=2, allow_nan=False)
    for name, text in (
        ("blur_detection_summary.csv", table(records)),
        ("blur_detection_results.json", records_json + "\n"),
        ("statistics_report.txt", summary(records)),
    ):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _record(name: str, result: Path | LongtakeError) -> Record:
    """Read the blur record from a job's report; for a video that could not be scored, make one with the error."""
    if isinstance(result, LongtakeError):
        return failed_record(name, result.message)
    try:
        record: Record = json.loads(result.read_text(encoding="utf-8"))["blur_record"]
    except (OSError, ValueError, KeyError) as error:
        return failed_record(name, f"{result} cannot be read ({type(error).__name__}: {error}).")
    return record
