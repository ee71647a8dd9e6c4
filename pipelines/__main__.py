"""The command line: the same jobs as the page's, without a browser.

Exit codes: 0 done, 1 internal error, 2 bad input, 3 not enough memory or disk, 4 weights missing, 5 some files
of a folder failed, 130 cancelled. With `--json` stdout is nothing but events, one JSON object a line.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import App, Parameter
from pydantic import ValidationError

from pipelines.cli import batch as film_folders
from pipelines.cli.console import Console
from pipelines.cli.estimate import estimating
from pipelines.cli.licence import prepare_engine
from pipelines.cli.options import FLAT, JobsOptions, Options
from pipelines.cli.pose import pose
from pipelines.cli.weights import weights
from pipelines.engines.registry import result_suffixes
from pipelines.errors import BadInput, Cancelled, LongtakeError, SomeFailed
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import (
    AnimateSettings,
    CopySettings,
    InpaintSettings,
    MaskSettings,
    ScoreSettings,
    Settings,
    TrackSettings,
)
from pipelines.storage.video_folders import is_video_folder, videos_in
from pipelines.weights.locate import anchor

app = App(name="python -m pipelines", help="Run videos of any length on whatever memory is there.")


_OPTIONS, _PLACE, _SCORE, _COPY = Options(), JobsOptions(), ScoreSettings(), CopySettings()
_INPAINT, _TRACK, _ANIMATE = InpaintSettings(), TrackSettings(), AnimateSettings()
_ONE_MASK_HELP = (
    "What to remove, white on black: one picture for all frames; a folder or a zip of pictures, one a frame; a mask "
    "video or GIF."
)
_MASK_HELP = f"{_ONE_MASK_HELP} For a folder of videos a folder with a mask for each, of the same name."


@app.command
def score(
    path: Path, /, *, settings: Annotated[ScoreSettings, FLAT] = _SCORE, options: Options = _OPTIONS
) -> None:
    """Score sharpness, blur, frozen frames, cuts and smoothness of a video, a folder of images or of videos."""
    console = Console(json=options.json)
    if path.is_dir() and is_video_folder(path):
        _score_folder(path, settings, options, console)
    else:
        _run("score", path, settings, options, console)


@app.command
def inpaint(
    path: Path,
    /,
    *,
    mask: Annotated[Path | None, Parameter(help=_MASK_HELP)] = None,
    settings: Annotated[InpaintSettings, FLAT] = _INPAINT,
    options: Options = _OPTIONS,
) -> None:
    """Remove an object from a video, or from each video of a folder: what a mask marks is filled from other frames."""
    console = Console(json=options.json)
    if not settings.outpaints:
        _check_said(mask, settings)
    if path.is_dir() and is_video_folder(path):
        _inpaint_folder(path, mask, settings, options, console)
    else:
        _run("inpaint", path, settings, options, console, *([mask] if mask else []))


@app.command
def track(
    path: Path,
    /,
    *,
    mask: Annotated[Path | None, Parameter(help=_ONE_MASK_HELP)] = None,
    settings: Annotated[TrackSettings, FLAT] = _TRACK,
    options: Options = _OPTIONS,
) -> None:
    """Show what `inpaint` would remove from a video, and keep it as a film of masks to correct and give back.

    The film (`-o FILE.mkv`) is lossless, white on black, one mask a frame, before they are dilated: with the same
    --start, --end and --mask-dilation `inpaint --mask FILE.mkv` removes the same. `-o FILE.mp4` is the video with the
    masks laid over it.
    """
    _check_said(mask, settings)
    _run("track", path, settings, options, Console(json=options.json), *([mask] if mask else []))


@app.command
def animate(
    source: Path,
    driving: Path,
    /,
    *,
    settings: Annotated[AnimateSettings, FLAT] = _ANIMATE,
    options: Options = _OPTIONS,
) -> None:
    """Make a portrait follow a driving video, or each video of a folder: its face moves as the driving face does."""
    console = Console(json=options.json)
    if driving.is_dir() and is_video_folder(driving):
        _animate_folder(source, driving, settings, options, console)
    else:
        _run("animate", source, settings, options, console, driving)


def _check_said(mask: Path | None, settings: MaskSettings) -> None:
    if mask is None and not settings.follows:
        raise BadInput(
            "Nothing says what to remove.",
            "Give --mask, or say where the object is with --box x,y,width,height@frame.",
        )


@app.command
def copy(
    path: Path, /, *, settings: Annotated[CopySettings, FLAT] = _COPY, options: Options = _OPTIONS
) -> None:
    """Decode and encode a video again, its sound and times kept: try the machinery on a file."""
    _run("copy", path, settings, options, Console(json=options.json))


@app.command
def resume(id: str | None = None, /, *, options: JobsOptions = _PLACE) -> None:
    """Go on with a job where it was; without an ID, with every interrupted or paused one."""
    console = Console(json=options.json)
    jobs = [Job.find(options.jobs_dir, id)] if id else _unfinished(options.jobs_dir)
    if not jobs:
        console.say(f"Nothing to resume in {options.jobs_dir}.")
    with _queue(options.jobs_dir) as queue:
        for job in jobs:
            console.follow(queue, queue.start(job))


def _unfinished(jobs_dir: Path) -> list[Job]:
    return [job for job in Job.all(jobs_dir) if job.state() in ("interrupted", "queued", "paused")]


app.command(estimating)
app.command(weights)
app.command(pose)


@app.command
def doctor(*, options: JobsOptions = _PLACE) -> None:
    """Look at hardware, limits, decoders, weights and disk, and say what to do about each."""
    from pipelines.doctor import examine  # here: it loads the decoders

    Console(json=options.json).checkup(examine(options.jobs_dir))


@app.command
def example(
    *,
    portrait: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw a clip of 12 s with known faults in it: something to try scoring on.

    Args:
        portrait: Draw a portrait and somebody who speaks instead: something to try animating on.
        output: Where to put it, an MP4; a folder for a portrait. What is there already stays.
        json: What was drawn as one JSON object on stdout, and nothing else.
    """
    console = Console(json=json)
    if portrait:
        from pipelines.example.portrait import write_portrait_example  # here: it loads what draws

        console.show(write_portrait_example(output or Path()))
        return
    from pipelines.example.clip import write_example  # here: it loads what draws

    clip = write_example(output or Path("longtake-example.mp4"))
    if json:
        console.show(clip)
    console.say(f"{'clip':>8}  {clip.path}")
    for fault in clip.faults:
        begin, end = fault.seconds
        console.say(f"{begin:8.2f} – {end:.2f} s  {fault.english}")


def _run(
    task: str, path: Path, settings: Settings, options: Options, console: Console, *others: Path
) -> None:
    suffixes = result_suffixes(task, settings)
    if options.output and options.output.suffix.lower() not in suffixes:
        kinds = ", ".join(suffixes)
        raise BadInput(f"{options.output.name} is no name for a result of {task}.", f"It may end in {kinds}.")
    prepare_engine(settings, console)
    with _queue(options.jobs_dir) as queue:
        job = queue.submit(task, path, settings, *others, force=options.force)
        outputs = console.follow(queue, job)
    if options.output:
        if options.output.suffix.lower() == ".pkl" and outputs.template:
            from pipelines.animation.motion.templates import published_template

            outputs = outputs.model_copy(update={"template": published_template(outputs.template)})
        console.put(outputs, options.output)


def _score_folder(folder: Path, settings: Settings, options: Options, console: Console) -> None:
    from pipelines.cli import score_batch

    results = []
    prepare_engine(settings, console)
    with _queue(options.jobs_dir) as queue:
        for path in videos_in(folder):
            try:
                job = queue.submit("score", path, settings, force=options.force)
                results.append(score_batch.read_result(path.name, console.follow(queue, job)))
            except Cancelled:
                raise
            except LongtakeError as error:
                console.error(error, path.name)
                results.append(score_batch.failed_result(path.name, error))
    table = score_batch.write_table(
        results, options.output or options.jobs_dir / f"{folder.resolve().name}-scores"
    )
    console.table(table)
    bad = sum(result.error is not None for result in results)
    if bad:
        raise SomeFailed(f"{bad} of {len(results)} files failed.", "The table says why for each.")


def _inpaint_folder(
    folder: Path, masks: Path | None, settings: InpaintSettings, options: Options, console: Console
) -> None:
    from pipelines.cli import inpaint_batch

    if masks is None and not settings.outpaints:
        raise BadInput(
            "Boxes and points are for one video.", "For a folder of videos give --mask a folder of masks."
        )

    def asked(video: Path) -> _Question:
        marks = [inpaint_batch.mask_for(video, masks)] if masks else []
        return "inpaint", (video, *marks), film_folders.settings_for(video, settings)

    target = options.output or options.jobs_dir / f"{folder.resolve().name}-inpainted"
    prepare_engine(settings, console)
    _film_folder(videos_in(folder), target, asked, inpaint_batch.InpaintRow, options, console)


def _animate_folder(
    source: Path, folder: Path, settings: AnimateSettings, options: Options, console: Console
) -> None:
    from pipelines.cli import animate_batch

    def asked(driving: Path) -> _Question:
        return "animate", (source, driving), film_folders.settings_for(driving, settings)

    target = options.output or options.jobs_dir / f"{folder.resolve().name}-animated"
    prepare_engine(settings, console)
    _film_folder(videos_in(folder), target, asked, animate_batch.AnimateRow, options, console)


_Question = tuple[str, tuple[Path, ...], Settings]
"""Task, inputs and settings."""


def _film_folder(
    videos: list[Path],
    target: Path,
    asked: Callable[[Path], _Question],
    kind: type[film_folders.RowT],
    options: Options,
    console: Console,
) -> None:
    """A job for each of `videos`, their films and one table into `target`. Raises SomeFailed."""
    film_folders.check_names(videos)
    rows = []
    with _queue(options.jobs_dir) as queue:
        for path in videos:
            try:
                task, (first, *others), settings = asked(path)
                job = queue.submit(task, first, settings, *others, force=options.force)
                outputs = console.follow(queue, job)
                rows.append(film_folders.read_row(kind, path.name, outputs))
                if outputs.result:
                    console.put(outputs, target / f"{path.stem}{outputs.result.suffix}")
            except Cancelled:
                raise
            except LongtakeError as error:
                console.error(error, path.name)
                rows.append(film_folders.failed_row(kind, path.name, error))
    console.table(film_folders.write_table(kind, rows, target))
    bad = sum(row.error is not None for row in rows)
    if bad:
        raise SomeFailed(f"{bad} of {len(rows)} files failed.", "The table says why for each.")


@contextlib.contextmanager
def _queue(jobs_dir: Path) -> Iterator[JobQueue]:
    queue = JobQueue(jobs_dir)
    try:
        yield queue
    finally:
        queue.close()


def _one_line(error: cyclopts.CycloptsError) -> str:
    cause: Any = error.__cause__
    if not isinstance(cause, ValidationError):
        return str(error).splitlines()[0]
    first = cause.errors()[0]
    where = "".join(f"--{str(part).replace('_', '-')} " for part in first["loc"] if isinstance(part, str))
    got = f" (not {first['input']!r})" if first["loc"] else ""
    return f"{where}{first['msg'].removeprefix('Value error, ')}{got}."


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Errors are one line on stderr, what and what to do."""
    console = Console(json="--json" in arguments)
    anchor()
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        console.error(BadInput(_one_line(error), "`--help` lists what there is."))
        return BadInput.exit_code
    except LongtakeError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return Cancelled.exit_code
    except BrokenPipeError:
        # Whoever read our output is gone; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
