"""The file `report.json`, and what every task says in it of the video itself."""

import json
from pathlib import Path
from typing import Any

from pipelines.video.info import VideoInfo
from pipelines.whole import whole


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write `report` as JSON. Raises ValueError where a number is not finite."""
    with whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
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
