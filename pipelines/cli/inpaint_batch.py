"""A folder of videos with a folder of masks: which mask is whose, and one row for each."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.cli.batch import Row
from pipelines.errors import BadInput
from pipelines.storage.video_folders import natural_key


@dataclass(frozen=True)
class InpaintRow(Row):
    """One video's row: frames, which shares were filled and invented, and where the most was."""

    mean_hole_share: float = 0.0
    mean_invented_share: float = 0.0
    worst_frame: int | None = None
    worst_invented_share: float = 0.0


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
