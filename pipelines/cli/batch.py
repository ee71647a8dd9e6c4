"""A folder of videos, each of which becomes a film: names, folders of their own, and one table over all results.

A result is a dataclass of the task's: its first field is the video's name, its last is `error`, and every other has a
default and the name of what the task's report says in its summary.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs.events import Outputs
from pipelines.settings import FilmSettings
from pipelines.storage.atomic import write_bytes

FilmT = TypeVar("FilmT", bound=FilmSettings)


@dataclass(frozen=True)
class Row:
    """One video's row: how many frames; `error` says why there are none."""

    video: str
    frames: int = 0
    error: str | None = None


RowT = TypeVar("RowT", bound=Row)


def check_names(videos: Sequence[Path]) -> None:
    """Raise BadInput where two videos differ in nothing but their suffix: results are named after them."""
    seen: dict[str, Path] = {}
    for video in videos:
        if video.stem in seen:
            raise BadInput(
                f"{seen[video.stem].name} and {video.name} have one name but for the suffix.",
                "Rename one of them.",
            )
        seen[video.stem] = video


def settings_for(video: Path, settings: FilmT) -> FilmT:
    """`settings` for one of many videos: its pictures go into a folder of their own."""
    if settings.frames_out is None:
        return settings
    return settings.model_copy(update={"frames_out": settings.frames_out / video.stem})


def read_row(kind: type[RowT], name: str, outputs: Outputs) -> RowT:
    """The row of a finished job, from its report. Raises BadInput where the job has none."""
    if outputs.report is None:
        raise BadInput(f"The job of {name} has no report.", "Run it again with --force.")
    summary = json.loads(outputs.report.read_text(encoding="utf-8"))["summary"]
    known = {field.name for field in fields(kind)}
    return kind(name, **{key: value for key, value in summary.items() if key in known})


def failed_row(kind: type[RowT], name: str, error: LongtakeError) -> RowT:
    """The row of a video that could not be done."""
    return kind(name, error=error.message)


def write_table(kind: type[RowT], rows: Sequence[RowT], folder: Path) -> Path:
    """Write `rows` as `report.csv` and `report.json` into `folder`, over what is there; returns `folder`."""
    names = [field.name for field in fields(kind)]
    columns = [*(name for name in names if name != "error"), "error"]
    found = [{name: asdict(row)[name] for name in columns} for row in rows]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(found)
    write_bytes(folder / "report.csv", text.getvalue().encode())
    write_bytes(folder / "report.json", (json.dumps(found, ensure_ascii=False, indent=1) + "\n").encode())
    return folder
