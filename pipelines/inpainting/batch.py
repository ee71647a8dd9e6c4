"""A folder of videos with a folder of masks: which mask is whose, and one table over all results."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipelines.errors import BadInput, LongtakeError
from pipelines.events import Outputs
from pipelines.folders import natural_key
from pipelines.settings import InpaintSettings
from pipelines.whole import write_whole


@dataclass(frozen=True)
class Result:
    """One video's row: how many frames, which shares were filled and invented; `error` says why there are none."""

    video: str
    frames: int = 0
    mean_hole_share: float = 0.0
    mean_invented_share: float = 0.0
    worst_frame: int | None = None
    worst_invented_share: float = 0.0
    error: str | None = None


def mask_for(video: Path, masks: Path) -> Path:
    """The file or folder in `masks` that has the name of `video`, whatever its suffix.

    Raises BadInput where there is none, or more than one.
    """
    if not masks.is_dir():
        raise BadInput(
            f"{masks} is no folder.", "Give --mask a folder with a mask for each video, of the same name."
        )
    found = sorted(
        (p for p in masks.iterdir() if p.name == video.stem or (p.is_file() and p.stem == video.stem)),
        key=lambda path: natural_key(path.name),
    )
    if len(found) == 1:
        return found[0]
    what = f"holds {', '.join(p.name for p in found)}" if found else "holds no mask"
    raise BadInput(
        f"{masks} {what} for {video.name}.", f"Name one file or folder {video.stem}, whatever its suffix."
    )


def check_names(videos: Sequence[Path]) -> None:
    """Raise BadInput where two videos differ in nothing but their suffix: masks and results are named after them."""
    seen: dict[str, Path] = {}
    for video in videos:
        if video.stem in seen:
            raise BadInput(
                f"{seen[video.stem].name} and {video.name} have one name but for the suffix.",
                "Rename one of them.",
            )
        seen[video.stem] = video


def settings_for(video: Path, settings: InpaintSettings) -> InpaintSettings:
    """`settings` for one of many videos: its pictures go into a folder of their own."""
    if settings.frames_out is None:
        return settings
    return settings.model_copy(update={"frames_out": settings.frames_out / video.stem})


def read_result(name: str, outputs: Outputs) -> Result:
    """The row of a finished job, from its report. Raises BadInput where the job has none."""
    if outputs.report is None:
        raise BadInput(f"The job of {name} has no report.", "Run it again with --force.")
    summary = json.loads(outputs.report.read_text(encoding="utf-8"))["summary"]
    known = {field.name for field in fields(Result)}
    return Result(name, **{key: value for key, value in summary.items() if key in known})


def failed_result(name: str, error: LongtakeError) -> Result:
    """The row of a video that could not be done."""
    return Result(name, error=error.message)


def write_table(results: Sequence[Result], folder: Path) -> Path:
    """Write `results` as `report.csv` and `report.json` into `folder`, over what is there; returns `folder`."""
    rows = [asdict(result) for result in results]
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Result)], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(folder / "report.csv", text.getvalue().encode())
    write_whole(folder / "report.json", (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode())
    return folder
