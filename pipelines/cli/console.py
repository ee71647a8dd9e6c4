"""Output of the command line: events as JSON lines, or a progress bar and a few sentences."""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel
from rich.console import Console as Rich
from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from memory.units import GIB
from pipelines.errors import BadInput, Cancelled, FolderUnusable, LongtakeError
from pipelines.jobs import events
from pipelines.jobs.events import Event, Outputs
from pipelines.jobs.job import Job
from pipelines.runtime.watchdog import LIFE, QUIET_SECONDS
from pipelines.scheduler.queue import JobQueue
from pipelines.spec import tasks
from pipelines.storage.atomic import atomic_write
from pipelines.storage.names import printable, to_json


class Console:
    """Prints a job's events, to a terminal or a pipe.

    With `json` stdout has JSON lines only. Otherwise sentences go to stdout, the progress bar to stderr.
    """

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._out = Rich(highlight=False, soft_wrap=True)
        self._err = Rich(stderr=True, highlight=False, soft_wrap=True)
        self._waits_for: events.WaitsFor = "turn"

    def follow(self, queue: JobQueue, job: Job) -> Outputs:
        """Print a job's events until it ends; Ctrl-C cancels it. Raises the error that the job failed with."""
        bar = nullcontext(_NoBar()) if self._json or not self._err.is_terminal else _Bar(self._err)
        printed = 0
        with bar as progress:
            while True:
                try:
                    for event in islice(queue.listen(job), printed, None):
                        printed += 1
                        self._print_event(event, progress)
                        if isinstance(event, events.Done) and event.outputs.report:
                            self._print_report(job, event.outputs.report)
                        if isinstance(event, events.ENDINGS):
                            return _outcome(event)
                    raise FolderUnusable(
                        f"The folder of the job, {job.folder}, is gone.", "Run the same command again."
                    )
                except KeyboardInterrupt:
                    queue.stop(job, "cancel")

    def _print_event(self, event: Event, bar: "_Bar | _NoBar") -> None:
        if self._json:
            self._line(event)
            return
        bar.update(event)
        match event:
            case events.Queued():
                if event.waits_for == "room" != self._waits_for:
                    self.note(
                        "There is no room beside the jobs that run; it starts when one of them has ended."
                    )
                self._waits_for = event.waits_for
            case events.Planned():
                self.say(event.reason)
            case events.Degraded() | events.Warned():
                self._err.print(f"[yellow]{_plain(event.message)}[/yellow]")
            case events.Done():
                for name, path in event.outputs:
                    if isinstance(path, Path):  # those that come in numbers lie beside the report
                        self.say(f"{name:>8}  {path}")
            case _:
                pass

    def _print_report(self, job: Job, report: Path) -> None:
        if (task := tasks().get(job.record().task)) is None:  # of a plug-in that is not loaded
            return
        with suppress(OSError):  # a report that is gone since: the other files are named all the same
            for line in task.report_lines(report):
                self.say(line)

    def say(self, text: str) -> None:
        """Print a sentence to stdout, unless stdout has JSON lines only."""
        if not self._json:
            self._out.print(_plain(text))

    def show(self, facts: BaseModel) -> None:
        """Print a model: as one JSON line, or one line per field."""
        if self._json:
            self._line(facts)
            return
        for name, value in facts.model_dump(exclude={"type", "time", "job"}).items():
            shown = f"{value / GIB:.2f} GiB" if name.endswith("_bytes") else value
            self.say(f"{name.removesuffix('_bytes').replace('_', ' '):>24}  {shown}")

    def checkup(self, findings: Sequence[BaseModel]) -> None:
        """Print the doctor's findings: what was checked, what was found, what to do."""
        for finding in findings:
            if self._json:
                self._line(finding)
            else:
                fields = finding.model_dump()
                fine = "--" if fields.get("missing") else "[green]ok[/green]"
                mark = fine if fields["ok"] else "[yellow]!![/yellow]"
                self._out.print(f"{mark}  {fields['what']:<12} {_plain(fields['found'])}")
                if fields["advice"]:
                    self._out.print(f"{'':<17}{_plain(fields['advice'])}")

    def note(self, text: str) -> None:
        """Print a line to stderr that is not an error."""
        self._err.print(_plain(text))

    @contextmanager
    def transfer(self) -> Iterator[Callable[[str, int, int | None], None]]:
        """Show download progress on a terminal; yields a callback that takes file name, bytes done, total bytes."""
        columns = TextColumn("{task.description:>32}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        shown: dict[str, TaskID] = {}
        with Progress(*columns, console=self._err, disable=self._json or not self._err.is_terminal) as bars:

            def update(name: str, done: int, total: int | None) -> None:
                if name not in shown:
                    shown[name] = bars.add_task(name)
                bars.update(shown[name], completed=done, total=total)

            yield update

    def error(self, error: LongtakeError, name: str = "") -> None:
        """Print an error and its hint to stderr; with `json` also as an event. What cannot be printed is left out."""
        with suppress(OSError):
            if self._json and not error.reported:
                self._line(events.Failed.of("", error))
        with suppress(OSError):
            self._err.print(_plain(f"{name}: {error}" if name else str(error)))

    def put(self, outputs: Outputs, target: Path) -> None:
        """Put the output whose kind `target`'s suffix names at `target`. Raises BadInput where the job made none."""
        made = outputs.paths()
        found = next((path for path in made if path.suffix == target.suffix.lower()), None)
        if found is None:
            names = ", ".join(path.name for path in made)
            raise BadInput(
                f"This job made no {target.suffix} for {target.name}.",
                f"It made {names}: see {made[0].parent}.",
            )
        with atomic_write(target) as part:
            shutil.copyfile(found, part)
        self.say(f"{'copied':>8}  {target}")

    def table(self, folder: Path) -> None:
        """Print where the table of a folder was written."""
        self.say(f"{'table':>8}  {folder}")

    def _line(self, value: BaseModel) -> None:
        sys.stdout.write(to_json(value).decode() + "\n")
        sys.stdout.flush()


def _outcome(event: Event) -> Outputs:
    """Return the files of a finished job. Raises the error that ended any other."""
    if isinstance(event, events.Done):
        return event.outputs
    error: LongtakeError
    match event:
        case events.Failed():
            error = event.to_error()
        case events.Paused():
            error = Cancelled(f"Paused. {event.message}".strip(), f"`resume {event.job}` continues it.")
        case _:
            error = Cancelled("Cancelled; finished spans are kept.", f"`resume {event.job}` continues it.")
    error.reported = True
    raise error


def _plain(text: str) -> str:
    # rich reads [brackets] as markup; file names may have them.
    return printable(text).replace("[", r"\[")


class _NoBar:
    def update(self, event: Event) -> None:
        """Show nothing."""


class _Silence(ProgressColumn):
    """Says of a stage that is not done how long it has made no progress."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic()

    def end(self) -> None:
        """Note a sign of life."""
        self._since = time.monotonic()

    def render(self, task: Task) -> Text:
        """Return the words; none before `QUIET_SECONDS`."""
        seconds = time.monotonic() - self._since
        return Text("" if task.finished or seconds < QUIET_SECONDS else f"no progress for {seconds:.0f} s")


def crew_lines(crew: events.Crewed) -> list[str]:
    """Return how many workers there are, and a line for each: its device, what it does, how one was lost."""
    if not (crew.members or crew.lost):
        return []
    rows = {member.worker: _member_line(member) for member in crew.members}
    for lost in crew.lost:
        rows[lost.worker] = f"worker {lost.worker} {lost.how}; what it had not finished is computed again"
    count = f"{len(crew.members)} of {crew.wanted} workers"
    return [count, *(printable(f"  {rows[worker]}") for worker in sorted(rows))]


def _member_line(member: events.Member) -> str:
    parts = [f"worker {member.worker}", member.device]
    if member.state != "busy":
        parts.append(member.state)
    elif member.stage:
        parts += [member.stage, f"frames {member.start} to {member.stop - 1}"]
    if member.state == "busy" and member.attempt > 1:
        parts.append(f"attempt {member.attempt}")
    return " · ".join(parts)


class _BarWithCrew(Progress):
    """A progress bar with the lines of the workers below it."""

    crew: tuple[Text, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bars, then the workers."""
        yield from super().get_renderables()
        yield from self.crew


class _Bar:
    """A progress bar on stderr."""

    def __init__(self, console: Rich) -> None:
        self._silence = _Silence()
        self._progress = _BarWithCrew(
            TextColumn("{task.description:>9}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            self._silence,
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._memory = ""

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, event: Event) -> None:
        """Show the progress, memory or workers that `event` reports."""
        if isinstance(event, LIFE):
            self._silence.end()
        if isinstance(event, (events.Crewed, *events.ENDINGS)):
            lines = crew_lines(event) if isinstance(event, events.Crewed) else []
            self._progress.crew = tuple(Text(line, no_wrap=True, overflow="ellipsis") for line in lines)
            self._progress.refresh()
        elif isinstance(event, events.Memory):
            self._memory = f"{event.host_bytes / GIB:.2f} GiB"
        elif isinstance(event, events.Progress):
            if event.stage not in self._tasks:
                self._tasks[event.stage] = self._progress.add_task(event.stage, detail="")
            self._progress.update(
                self._tasks[event.stage],
                completed=event.done,
                total=event.total,
                detail=f"{event.frames_per_second:.0f} fps  {self._memory}",
            )
