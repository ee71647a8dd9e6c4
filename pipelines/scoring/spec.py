"""Registers the task `score`."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import LongtakeError
from pipelines.settings import ScoreSettings
from pipelines.spec import FolderSpec, InputSpec, TaskSpec, register_task


def _write_table(results: Sequence[tuple[str, Path | LongtakeError]], folder: Path) -> None:
    from pipelines.scoring.report.folder import write_table

    write_table(results, folder)


def _report_lines(report: Path) -> Sequence[str]:
    from pipelines.scoring.report.stretches import report_lines

    return report_lines(report)


register_task(
    TaskSpec(
        name="score",
        title=("Score", "评分"),
        help="Score sharpness, blur, frozen frames, cuts and smoothness of a video, an image sequence or a folder of "
        "videos.",
        settings=ScoreSettings,
        inputs=(InputSpec("file", "The video.", ("Video", "视频")),),
        result_version=8,
        suffixes=(".csv", ".json", ".png"),
        folder=FolderSpec("scores", write=_write_table),
        report_lines=_report_lines,
        curve=("Sharpness so far: higher is sharper", "目前的清晰度：越高越清晰"),
    )
)
