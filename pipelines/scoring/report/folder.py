"""The table of a folder: one row a video, good or failed, as CSV, JSON and a summary in words.

The caller loops over the files, and hands in the error of each that could not be scored.
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
    """The CSV, header included: confidence and ratio with 3 decimals, booleans as True and False."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for r in records:
        name = r.get("video_name") or Path(r["video_path"]).name
        figures = f"{r['confidence']:.3f}", r["blur_severity"], f"{r.get('blur_ratio', 0.0):.3f}"
        rows.writerow((name, r["blur_detected"], *figures, r.get("blur_frame_count", 0)))
    return text.getvalue()


def counts(records: Sequence[Record]) -> dict[str, int]:
    """How many videos there are, were processed (a failure counts as processed), and have blur."""
    detected = sum(bool(r["blur_detected"]) for r in records)
    failed = sum("error" in r for r in records)
    return {
        "total_videos": len(records),
        "processed_videos": len(records),
        "blur_detected_count": detected,
        "failed_count": failed,
    }


def summary(records: Sequence[Record]) -> str:
    """The statistics in words; figures that no video gives read "none"."""
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
    """Write table, records and summary of the videos, named with their results, into `folder`, over what is there."""
    records = encodable([_record(name, result) for name, result in results])
    folder.mkdir(parents=True, exist_ok=True)
    listed = json.dumps(records, ensure_ascii=False, indent=2, allow_nan=False)
    for name, text in (
        ("blur_detection_summary.csv", table(records)),
        ("blur_detection_results.json", listed + "\n"),
        ("statistics_report.txt", summary(records)),
    ):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _record(name: str, result: Path | LongtakeError) -> Record:
    """The blur record in a job's report; of a video that could not be scored, one that says why."""
    if isinstance(result, LongtakeError):
        return failed_record(name, result.message)
    try:
        record: Record = json.loads(result.read_text(encoding="utf-8"))["blur_record"]
    except (OSError, ValueError, KeyError) as error:
        return failed_record(name, f"{result} cannot be read ({type(error).__name__}: {error}).")
    return record
