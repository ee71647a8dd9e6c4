"""A folder of videos: one job per video, results named after the videos, and one table over all of them."""

import csv
import io
import json
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.cli.console import Console
from pipelines.cli.hashing import hash_all
from pipelines.cli.options import Options, open_queue
from pipelines.cli.side_by_side import started
from pipelines.cli.targets import (
    check_folder,
    check_frames_out,
    expected_bytes,
    reject_inputs,
    video_suffix,
    writing,
)
from pipelines.engines.availability import Resolved
from pipelines.errors import BadInput, Cancelled, LongtakeError, SomeFailed
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.job import Job
from pipelines.settings import FilmSettings, Settings
from pipelines.spec import FolderSpec, TaskSpec
from pipelines.storage.atomic import sweep, write_bytes
from pipelines.storage.names import encodable, printable

Result = tuple[str, Path | LongtakeError]
"""A video's name, and the report of its job or the error that ended it."""


def run_folder(
    task: TaskSpec,
    folder: FolderSpec,
    videos: Sequence[Path],
    inputs: tuple[Path, ...],
    resolved: Resolved[Any],
    options: Options,
    console: Console,
) -> None:
    """Run one job for each of `videos`, which replaces the folder among `inputs`.

    Several run side by side where `options` allow it. A failed job does not stop the others. Raises BadInput for
    clashing names and for settings that only make sense for a single video; SomeFailed at the end if any job failed.
    """
    source, other_inputs = inputs[task.many], inputs[: task.many] + inputs[task.many + 1 :]
    folder.check(resolved.settings, other_inputs)
    target = options.output or options.jobs_dir / f"{source.resolve().name}-{folder.suffix}"
    if isinstance(resolved.settings, FilmSettings):
        check_names(videos)
    _check_places(videos, inputs, target, resolved.settings)
    if options.output:
        check_folder(target)
    suffix = video_suffix(resolved.settings)
    results: list[Result] = []

    with open_queue(options) as queue:

        def start(video: Path) -> Job:
            if suffix:
                name = f"{video.stem}{suffix}"
                need_bytes = expected_bytes(video, target / name, resolved.settings)
                check_folder(target, name=name, need_bytes=need_bytes)
            others = folder.others(video, other_inputs)
            first, *rest = (*others[: task.many], video, *others[task.many :])  # type: ignore[misc]
            own = replace(resolved, settings=settings_for(video, resolved.settings))
            hash_all((first, *rest), own, console)
            return queue.submit(task.name, first, own, *rest, force=options.force)

        for video, job in started(videos, start, queue, _contents):
            try:
                if isinstance(job, Exception):
                    raise job
                outputs = console.follow(queue, job)
                if outputs.report is None:
                    raise BadInput(f"The job of {video.name} made no report.", "Run it again with --force.")
                if outputs.result:
                    place = target / f"{video.stem}{outputs.result.suffix}"
                    reject_inputs([place], inputs)
                    with writing(place, kept=outputs.result):
                        console.put(outputs, place)
                results.append((video.name, outputs.report))
            except (Cancelled, BrokenPipeError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a file causes, the others are still to be run
                known = error if isinstance(error, LongtakeError) else _unknown(video, error)
                console.error(known, video.name)
                results.append((video.name, known))
    sweep(target)
    with writing(target):
        if folder.write:
            folder.write(results, target)
        else:
            write_table(folder, results, target)
    console.table(target)
    failed = sum(isinstance(result, LongtakeError) for _, result in results)
    if failed:
        raise SomeFailed(
            f"{failed} of {len(results)} files failed.",
            f"{target / 'report.json'} gives the reason for each.",
        )


def _contents(video: Path) -> Hashable:
    """Return what two copies of a video have in common: the hash of their bytes."""
    try:
        return InputFile.of(video).fingerprint
    except LongtakeError:
        return video


def _check_places(videos: Sequence[Path], inputs: Sequence[Path], target: Path, settings: Settings) -> None:
    """Raise BadInput where a result or a table in `target`, or a picture of a result, would replace an input."""
    suffix = video_suffix(settings)
    named = [target / f"{video.stem}{suffix}" for video in videos] if suffix else []
    reject_inputs([*named, target / "report.csv", target / "report.json"], inputs)
    for video in videos:
        check_frames_out(settings_for(video, settings), inputs)


def _unknown(video: Path, error: Exception) -> LongtakeError:
    """The error of a video that fails in a way that nobody foresaw: it costs this video alone."""
    return LongtakeError(
        f"{video.name} could not be processed ({type(error).__name__}: {error}).",
        "Convert it and try again, or leave it out.",
    )


def check_names(videos: Sequence[Path]) -> None:
    """Raise BadInput if two videos differ only in their suffix: their results would have the same name."""
    seen: dict[str, Path] = {}
    for video in videos:
        if video.stem in seen:
            raise BadInput(
                f"{seen[video.stem].name} and {video.name} differ only in their suffix, so their results would clash.",
                "Rename one of them.",
            )
        seen[video.stem] = video


def settings_for(video: Path, settings: Settings) -> Settings:
    """Return `settings` for one of many videos, whose frames are exported to a folder of their own."""
    if not isinstance(settings, FilmSettings) or settings.frames_out is None:
        return settings
    return settings.model_copy(update={"frames_out": settings.frames_out / video.stem})


def write_table(folder: FolderSpec, results: Sequence[Result], target: Path) -> None:
    """Write one row per result to `report.csv` and `report.json` in `target`, replacing older ones."""
    rows = [_row(folder, *result) for result in results]
    text = io.StringIO()
    table = csv.DictWriter(text, ("video", *folder.columns, "error"), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes(target / "report.csv", printable(text.getvalue()).encode())
    write_bytes(
        target / "report.json", (json.dumps(encodable(rows), ensure_ascii=False, indent=1) + "\n").encode()
    )


def _row(folder: FolderSpec, name: str, result: Path | LongtakeError) -> dict[str, Any]:
    """Return the row of a video: columns from its report's summary, or the defaults and the error."""
    if isinstance(result, LongtakeError):
        return {"video": name, **folder.columns, "error": result.message}
    try:
        summary = json.loads(result.read_text(encoding="utf-8"))["summary"]
    except (OSError, ValueError, KeyError) as error:
        unread = LongtakeError(f"{result} cannot be read ({type(error).__name__}: {error}).")
        return _row(folder, name, unread)
    return {
        "video": name,
        **{key: summary.get(key, value) for key, value in folder.columns.items()},
        "error": None,
    }
