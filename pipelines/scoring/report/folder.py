"""Tables of a folder: one row per video, scored or failed.

- `table.csv`: the verdicts, with the longest stretch of each kind.
- `report.json`: the same videos with their whole reports, without the curves.
- `published.csv`: the record by the published rules, which judge jumps of the window score and no frame.

The caller scores the files, and passes the error of each that could not be scored.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipelines.errors import LongtakeError
from pipelines.scoring.metrics.smoothness import failed_record
from pipelines.storage.atomic import atomic_write
from pipelines.storage.names import encodable, printable

COLUMNS = (
    "file",
    "duration_seconds",
    "blurred_share",
    "blurred_from",
    "blurred_to",
    "frozen_from",
    "frozen_to",
    "cuts",
    "sharpness_mean",
)
PUBLISHED_COLUMNS = ("Video", "Blur_Detected", "Confidence", "Severity", "Blur_Ratio", "Blur_Frames")

Record = dict[str, Any]
Result = tuple[str, Path | LongtakeError]
"""A video's name, and the report of its job or the error that ended it."""


def write_table(results: Sequence[Result], folder: Path) -> None:
    """Write the three files of `results` into `folder`, replacing older ones. Holds the report of one video."""
    with ExitStack() as files:
        parts = [
            files.enter_context(atomic_write(folder / name))
            for name in ("table.csv", "published.csv", "report.json")
        ]
        table, published, report = (
            files.enter_context(part.open("w", encoding="utf-8", newline="")) for part in parts
        )
        table.write(_line(COLUMNS))
        published.write(_line(PUBLISHED_COLUMNS))
        report.write("[")
        for index, entry in enumerate(_entries(results)):
            table.write(_line(_row(entry)))
            published.write(published_row(entry["published"]))
            report.write(",\n" if index else "\n")
            json.dump(encodable(entry), report, ensure_ascii=False, allow_nan=False)
        report.write("\n]\n")


def _entries(results: Sequence[Result]) -> Iterator[Record]:
    """Yield each video's report without its curve, with the name of the file, its error and the report's place."""
    for name, result in results:
        if not isinstance(result, LongtakeError):
            try:
                read = json.loads(result.read_text(encoding="utf-8"))
                summary = {key: value for key, value in read["summary"].items() if key != "curve"}
                entry = {"file": name, "error": None, "report": result, **read, "summary": summary}
                _row(entry), published_row(entry["published"])  # raises where the report is not ours
                yield entry
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                result = LongtakeError(f"{result} cannot be read ({type(error).__name__}: {error}).")
        yield {"file": name, "error": result.message, "published": failed_record(name, result.message)}


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row of `table.csv`; a video that could not be scored has nothing but its name."""
    if entry["error"] is not None:
        return entry["file"], *[""] * (len(COLUMNS) - 1)
    summary = entry["summary"]
    blurred, frozen = summary["blurred"]["longest"] or {}, summary["frozen"]["longest"] or {}
    numbers = (
        summary["duration_seconds"],
        summary["blurred"]["ratio"],
        *(run.get(end) for run in (blurred, frozen) for end in ("start_seconds", "stop_seconds")),
        summary["cuts"]["count"],
        summary["mean_sharpness"],
    )
    return entry["file"], *map(_number, numbers)


def _number(value: float | None) -> str:
    """Write a number with up to 6 decimals, as many as `scores.csv` has, and nothing where there is none."""
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")


def published_row(record: Mapping[str, Any]) -> str:
    """Make a row of `published.csv`: confidence and ratio with 3 decimals, booleans as True and False."""
    figures = (
        f"{record['confidence']:.3f}",
        record["blur_severity"],
        f"{record.get('blur_ratio', 0.0):.3f}",
        record.get("blur_frame_count", 0),
    )
    return _line((record["video_name"], record["blur_detected"], *figures))


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return printable(text.getvalue())
