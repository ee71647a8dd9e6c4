"""The files of a scored video: `scores.csv`, `report.json` and the worst frames as pictures."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

import cv2

from pipelines.scoring.summary import Seconds
from pipelines.scoring.verdict import Verdicts
from pipelines.video.info import VideoInfo
from pipelines.video.reader import Decoder, read_frames

COLUMNS = ("frame", "time_seconds", "sharpness", "blurred", "frozen", "cut", "motion", "window_score")

_PICTURE_WIDTH = 1280
_JPEG_QUALITY = 90


def write_scores(path: Path, blocks: Iterable[Verdicts], start: int, seconds: Seconds) -> None:
    """Write one row a frame as the blocks come; frame `start` is the first.

    Decimals are fixed, so that equal verdicts are equal bytes; a figure that was not computed is left empty.
    """
    with _whole(path) as table:
        table.write(",".join(COLUMNS) + "\n")
        frame = start
        for block in blocks:
            table.writelines(_rows(block, frame, seconds))
            frame += len(block)


def _rows(block: Verdicts, frame: int, seconds: Seconds) -> Iterator[str]:
    columns = zip(*(block[name].tolist() for name in COLUMNS[2:]), strict=True)
    for i, (sharpness, blurred, frozen, cut, motion, score) in enumerate(columns, frame):
        moved = "" if math.isnan(motion) else f"{motion:.3f}"
        yield f"{i},{seconds(i):.6f},{sharpness:.6f},{blurred:d},{frozen:d},{cut:d},{moved},{score:.6f}\n"


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write `report` as JSON. Raises ValueError where a number is not finite."""
    with _whole(path) as file:
        json.dump(report, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")


def video_facts(info: VideoInfo) -> dict[str, Any]:
    """What a report says of the video itself."""
    return {
        "name": info.path.name,
        "codec": info.codec,
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "frame_rate": str(info.frame_rate),
        "seconds": round(float(info.seconds), 6),
    }


def write_worst(
    folder: Path, info: VideoInfo, frames: Sequence[int], *, decoder: Decoder, salvage: bool
) -> tuple[Path, ...]:
    """Write each of `frames` as `worst-<frame>.jpg`; holds one at a time. Pictures of an earlier run go."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("worst-*.jpg"):
        old.unlink()
    paths = []
    for index in frames:
        with closing(read_frames(info, index, index + 1, decoder=decoder, salvage=salvage)) as found:
            picture = next(found).rgb()
        path = folder / f"worst-{index:08d}.jpg"
        shown = cv2.cvtColor(narrowed(picture, _PICTURE_WIDTH), cv2.COLOR_RGB2BGR)
        path.write_bytes(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
        paths.append(path)
    return tuple(paths)


def narrowed(picture: Any, width: int) -> Any:
    """`picture` `(H, W, 3)` uint8 averaged down to `width` where it is wider."""
    rows, columns = picture.shape[:2]
    if columns <= width:
        return picture
    return cv2.resize(picture, (width, max(1, round(rows * width / columns))), interpolation=cv2.INTER_AREA)


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """A text file that is complete or absent: written beside `path`, then renamed."""
    part = path.with_name(f"part-{path.name}")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)
