"""Files of a scored video: `scores.csv` and the worst frames as pictures."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from pipelines.scoring.metrics.verdicts import Verdicts
from pipelines.scoring.report.summary import Seconds
from pipelines.storage.atomic import atomic_write
from pipelines.storage.jpeg import save_picture
from pipelines.video.info import VideoInfo
from pipelines.video.reader import Decoder, read_frames

COLUMNS = (
    "frame",
    "time_seconds",
    "sharpness",
    "blurred",
    "frozen",
    "cut",
    "motion",
    "window_score",
    "blank",
)

_PICTURE_PX = 1280
"""Largest width of a picture of a worst frame."""


def write_scores(path: Path, blocks: Iterable[Verdicts], start: int, seconds: Seconds) -> None:
    """Write one row per frame as the blocks arrive; frame `start` is the first.

    The number of decimals is fixed, so that equal verdicts give equal bytes; an unknown motion is left empty.
    """
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as table:
        table.write(",".join(COLUMNS) + "\n")
        frame = start
        for block in blocks:
            table.writelines(_rows(block, frame, seconds))
            frame += len(block)


def _rows(block: Verdicts, frame: int, seconds: Seconds) -> Iterator[str]:
    columns = zip(*(block[name].tolist() for name in COLUMNS[2:]), strict=True)
    for i, (sharpness, blurred, frozen, cut, motion, score, blank) in enumerate(columns, frame):
        motion_text = "" if math.isnan(motion) else f"{motion:.3f}"
        flags = f"{blurred:d},{frozen:d},{cut:d}"
        yield f"{i},{seconds(i):.6f},{sharpness:.6f},{flags},{motion_text},{score:.6f},{blank:d}\n"


def write_worst(
    folder: Path, info: VideoInfo, frames: Sequence[int], *, decoder: Decoder, salvage: bool
) -> tuple[Path, ...]:
    """Write each of `frames` as `worst-<frame>.jpg`, one at a time. Deletes the pictures of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("worst-*.jpg"):
        old.unlink()
    paths = []
    for index in frames:
        with closing(read_frames(info, index, index + 1, decoder=decoder, salvage=salvage)) as reader:
            picture = next(reader).rgb()
        path = folder / f"worst-{index:08d}.jpg"
        paths.append(save_picture(picture, path, most_width_px=_PICTURE_PX))
    return tuple(paths)
