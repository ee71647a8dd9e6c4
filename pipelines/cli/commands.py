"""All commands: one per task, and those for jobs, weights and the machine."""

from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pipelines.cli.console import Console
from pipelines.cli.options import JobsOptions, flagged_team, open_queue
from pipelines.cli.pose import pose
from pipelines.cli.side_by_side import started
from pipelines.cli.task_commands import estimate_command, run_command
from pipelines.cli.weights import weights
from pipelines.cli.work import work
from pipelines.errors import BadInput, Cancelled, LongtakeError, SomeFailed
from pipelines.jobs.job import Job
from pipelines.spec import tasks
from pipelines.video.clock.time_code import time_range

_JOBS = JobsOptions()
_RESUMABLE = ("interrupted", "queued", "paused", "failed")


def make_app() -> App:
    """Build the command line with the tasks of the registry. Raises BadInput for a broken plug-in."""
    app = App(
        name="python -m pipelines", help="Process videos of any length, whatever memory the machine has."
    )
    estimating = App(
        name="estimate",
        help="Estimate a run without starting it: video facts, engine, preset, memory, time, disk space and risk.",
    )
    for task in tasks().values():
        app.command(run_command(task), name=task.name)
        estimating.command(estimate_command(task), name=task.name)
    app.command(estimating)
    for command in (weights, pose, resume, doctor, example, work):
        app.command(command)
    return app


_FORCE = Parameter(negative="", help="Compute everything anew, also what another version left unfinished.")


def resume(
    id: str | None = None,
    /,
    *,
    force: Annotated[bool, _FORCE] = False,
    options: JobsOptions = _JOBS,
) -> None:
    """Resume a job where it stopped; without an ID, every interrupted, paused or failed job."""
    console = Console(json=options.json)
    if id:
        with open_queue(options) as queue:
            console.follow(queue, queue.start(Job.find(options.jobs_dir, id), force=force))
        return
    _resume_all(options, console, force=force)


def _resume_all(options: JobsOptions, console: Console, *, force: bool) -> None:
    """Resume what can be resumed; a job that fails, or cannot be read, costs the others nothing.

    Raises at the end where there was one: BadInput where all were, else SomeFailed.
    """
    jobs_dir = options.jobs_dir
    unreadable = Job.unreadable(jobs_dir)
    for error in unreadable:
        console.error(error)
    jobs = [job for job in Job.all(jobs_dir) if job.state() in _RESUMABLE]
    if not jobs:
        console.say(f"Nothing to resume in {jobs_dir}.")
    failed: list[LongtakeError] = []
    with open_queue(options) as queue:
        for job, going in started(jobs, partial(queue.start, force=force), queue):
            try:
                if isinstance(going, Exception):
                    raise going
                console.follow(queue, going)
            except Cancelled:
                raise
            except LongtakeError as known:
                console.error(known, job.id)
                failed.append(known)
    if wrong := [*failed, *unreadable]:
        kind = BadInput if all(isinstance(error, BadInput) for error in wrong) else SomeFailed
        raise kind(
            f"{len(failed)} of {len(jobs)} jobs were not finished, {len(unreadable)} cannot be read.",
            "The lines above say why.",
        )


def doctor(*, options: JobsOptions = _JOBS) -> None:
    """Check hardware, limits, decoders, weights and disk, and suggest a fix for each problem.

    With --crew pulled or ray also the workers: who is there, and whether they can be used. Exit code 1 where none can.
    """
    from pipelines.doctor import examine  # loads the decoders

    console, team = Console(json=options.json), flagged_team(options)
    console.checkup(examine(options.jobs_dir))
    if team.crew != "local":
        from pipelines.workers.crew_check import check_crew

        check_crew(team, options.jobs_dir.absolute(), console.checkup)


def example(
    *,
    portrait: Annotated[bool, Parameter(negative="")] = False,
    removal: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Generate a 12-second clip with known defects, for trying out scoring.

    Args:
        portrait: Generate a portrait and a talking driving video instead, for trying out animation.
        removal: Generate a clip with a balloon that crosses it instead, for trying out removal.
        output: Where to write the clip (MP4); with --portrait a folder. Existing files are kept.
        json: Print one JSON object to stdout and nothing else.
    """
    console = Console(json=json)
    if portrait:
        from pipelines.example.portrait import write_portrait_example  # loads OpenCV

        console.show(write_portrait_example(output or Path()))
        return
    if removal:
        from pipelines.example.crossing import write_removal_example  # loads OpenCV

        console.show(write_removal_example(output or Path("longtake-balloon.mp4")))
        return
    from pipelines.example.clip import write_example  # loads OpenCV

    clip = write_example(output or Path("longtake-example.mp4"))
    if json:
        console.show(clip)
    console.say(f"{'clip':>8}  {clip.path}")
    for fault in clip.faults:
        console.say(f"{time_range(*fault.seconds):>24}  {fault.english}")
