"""All commands: those of the tasks, and those that look after jobs, weights and the machine."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pipelines.cli.console import Console
from pipelines.cli.options import JobsOptions
from pipelines.cli.pose import pose
from pipelines.cli.task_commands import estimate_command, run_command
from pipelines.cli.weights import weights
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.spec import tasks

_JOBS = JobsOptions()


def make_app() -> App:
    """The command line as it is now: with the tasks that the registry has. Raises BadInput for a broken plug-in."""
    app = App(name="python -m pipelines", help="Run videos of any length on whatever memory is there.")
    estimating = App(
        name="estimate",
        help="Estimate what a run would do and hold, without running it: facts, engine, preset, memory, time, disk, "
        "risk.",
    )
    for task in tasks().values():
        app.command(run_command(task), name=task.name)
        estimating.command(estimate_command(task), name=task.name)
    app.command(estimating)
    for command in (weights, pose, resume, doctor, example):
        app.command(command)
    return app


def resume(id: str | None = None, /, *, options: JobsOptions = _JOBS) -> None:
    """Go on with a job where it was; without an ID, with every interrupted or paused one."""
    console = Console(json=options.json)
    jobs = [Job.find(options.jobs_dir, id)] if id else _unfinished(options.jobs_dir)
    if not jobs:
        console.say(f"Nothing to resume in {options.jobs_dir}.")
    with JobQueue(options.jobs_dir) as queue:
        for job in jobs:
            console.follow(queue, queue.start(job))


def _unfinished(jobs_dir: Path) -> list[Job]:
    return [job for job in Job.all(jobs_dir) if job.state() in ("interrupted", "queued", "paused")]


def doctor(*, options: JobsOptions = _JOBS) -> None:
    """Check hardware, limits, decoders, weights and disk, and say what to do about each."""
    from pipelines.doctor import examine  # here: it loads the decoders

    Console(json=options.json).checkup(examine(options.jobs_dir))


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
