"""The API: what programs ask, by name. The page shows nothing of it; both talk to the same desk.

A task's endpoint (`/score`), and `/job` with `follow`, are streams of full statuses, each the whole truth; the last one
comes with the files. All others answer once. Parameters are those of the settings models. Errors are messages in both
languages that end with a code in brackets. Who may see which job is the desk's matter: a status carries a `key` that
opens its job to programs without cookies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs.job import Job
from pipelines.settings import (
    AnimateSettings,
    InpaintSettings,
    PoseSettings,
    ScoreSettings,
    Settings,
    TrackSettings,
    trial,
)
from ui.components import forms
from ui.components.run_view import shown
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out, take_uploads_alone
from ui.jobs.view import JobView, Status

TASKS: dict[str, type[Settings]] = {
    "score": ScoreSettings,
    "inpaint": InpaintSettings,
    "track": TrackSettings,
    "animate": AnimateSettings,
}
"""The tasks that the API offers."""
_FILES = {"inpaint": ("file", "mask"), "track": ("file", "mask"), "animate": ("source", "driving")}
"""What a task reads, by the names of its parameters; most read one file."""

_ALL = {
    # Each engine's name is checked by its task.
    name: Settings if name in Settings.model_fields else model
    for model in TASKS.values()
    for name in forms.field_names(model)
}
"""Each setting of any task, and the model that explains it."""

Answer = dict[str, Any]


class Api:
    """Publishes the endpoints where it is made. `system` answers for the machine."""

    def __init__(self, desk: JobService, system: Callable[[], Answer]) -> None:
        self._desk = desk
        self._system = system
        # What is never shown costs the page nothing but its description.
        self._door = gr.Button(visible=False)
        self._file = take_uploads_alone(gr.File(label="The video: an upload.", visible=False))
        self._mask = take_uploads_alone(
            gr.File(
                None, label="The mask, white on black: a picture, a zip of pictures, a film.", visible=False
            )
        )
        self._driving = take_uploads_alone(
            gr.File(
                None, label="What drives a portrait: a video, a picture, a motion template.", visible=False
            )
        )
        self._second = {"mask": self._mask, "driving": self._driving}
        self._task = gr.Dropdown(list(TASKS), value="score", label="The task.", visible=False)
        self._job = gr.Textbox(label="A job's id, as its status tells it.", visible=False)
        self._key = gr.Textbox(
            "", label="The job's key: needed where the job is not the caller's.", visible=False
        )
        self._follow = gr.Checkbox(False, label="Stream statuses until the job ends.", visible=False)
        self._status = gr.JSON(label="Status", visible=False)
        self._files = gr.File(label="The files of a finished job.", file_count="multiple", visible=False)
        self._settings = {name: forms.make_parameter(model, name) for name, model in _ALL.items()}
        for task, model in TASKS.items():
            self._publish_task(task, task, (model.__doc__ or "").split("\n")[0])
        for name, task in (("mask_preview", "track"), ("animate_preview", "animate")):
            self._publish_task(name, task, f"The same as /{task}, for the first two seconds.", trial)
        self._publish_questions()
        self._publish_pose()
        self._publish_jobs()

    def _publish_task(
        self, name: str, task: str, words: str, changed: Callable[[Settings], Settings] = lambda s: s
    ) -> None:
        """`/score` and its like: run and stream."""
        first, *second = _files_of(task)
        files = {first: self._file, **{name: self._second[name] for name in second}}
        names = forms.field_names(TASKS[task])
        self._publish(
            forms.named(self._runner(task, changed), *files, *names),
            [*files.values(), *(self._settings[name] for name in names)],
            [self._status, self._files],
            name,
            words,
        )

    def _publish_questions(self) -> None:
        """`/submit` and `/estimate` take the settings of all tasks, and each task its own."""
        inputs = [self._file, self._mask, self._task, self._driving, *self._settings.values()]
        for name, handler, words in (
            (
                "submit",
                self._submitter(),
                "Queue a job and answer at once with its status; /job tells how it goes.",
            ),
            ("estimate", self._estimator(), "What a run would do and hold, and why, without running it."),
        ):
            asked = forms.named(handler, "file", "mask", "task", "driving", *self._settings)
            self._publish(asked, inputs, [self._status], name, words)
        words = "What a video is: size, length, rate, sound."
        self._publish(self._inspect, [self._file], [self._status], "inspect", words)

    def _publish_pose(self) -> None:
        """`/pose` answers with a picture; there is no job."""
        names = forms.field_names(PoseSettings)
        fields = [forms.make_parameter(PoseSettings, name) for name in names]
        words = (PoseSettings.__doc__ or "").split("\n")[0] + " Needs LivePortrait's weights."
        picture = gr.File(label="The portrait, posed: a JPEG.", visible=False)
        self._publish(
            forms.named(self._poser(names), "source", *names), [self._file, *fields], [picture], "pose", words
        )

    def _poser(self, names: Sequence[str]) -> Any:
        async def pose(source: str | None, *values: Any) -> str:
            *given, _ = values
            with told_to_visitors():
                settings = forms.read(PoseSettings, dict(zip(names, given, strict=True)))
                return str(await self._desk.pose(source, settings, Path(self._files.GRADIO_CACHE)))

        return pose

    def _publish_jobs(self) -> None:
        job, publish = [self._job, self._key], self._publish
        publish(
            self._watch,
            [*job, self._follow],
            [self._status, self._files],
            "job",
            "A job's full status and, when it is done, its files; as a stream with follow.",
        )
        publish(self._list, [], [self._status], "jobs", "The caller's jobs, the newest first (at most 100).")
        for what, words in {
            "cancel": "Stop a job; finished spans are kept.",
            "pause": "Stop a job for now; finished spans are kept.",
            "resume": "Go on with a job that was interrupted, paused, cancelled or failed.",
            "delete": "Remove a job that is not waiting or running, and its files.",
        }.items():
            publish(self._asker(what), job, [self._status], what, words)
        publish(
            self._machine, [], [self._status], "system", "The machine, its memory, the worker and the queue."
        )

    def _publish(
        self, handler: Any, inputs: list[Any], outputs: list[Any], name: str, description: str
    ) -> None:
        self._door.click(
            handler,
            inputs,
            outputs,
            api_name=name,
            api_description=description,
            concurrency_limit=None,
            show_progress="hidden",
        )

    # -- asking ----------------------------------------------------------------------------------------------

    def _runner(self, task: str, changed: Callable[[Settings], Settings]) -> Any:
        names, count = forms.field_names(TASKS[task]), len(_files_of(task))

        async def run(*values: Any) -> AsyncIterator[tuple[Any, Any]]:
            file, *others = values[:count]
            *given, request = values[count:]
            with told_to_visitors():
                settings = changed(forms.read(TASKS[task], dict(zip(names, given, strict=True))))
                visitor = self._desk.visitor(request)
                job = await self._desk.submit(visitor, task, file, settings, _some(task, others))
                async for answer in self._answers(job, request):
                    yield answer

        return run

    def _submitter(self) -> Any:
        async def submit(
            file: str | None, mask: str | None, task: str, driving: str | None, *values: Any
        ) -> Answer:
            *given, request = values
            with told_to_visitors():
                settings = _settings_of(task, dict(zip(_ALL, given, strict=True)))
                others, visitor = _others_of(task, mask=mask, driving=driving), self._desk.visitor(request)
                job = await self._desk.submit(visitor, task, file, settings, others)
                return _json((await asyncio.to_thread(self._desk.snapshot, job)).status)

        return submit

    def _estimator(self) -> Any:
        async def estimate(
            file: str | None, mask: str | None, task: str, driving: str | None, *values: Any
        ) -> Answer:
            *given, _ = values
            with told_to_visitors():
                settings = _settings_of(task, dict(zip(_ALL, given, strict=True)))
                others = _others_of(task, mask=mask, driving=driving)
                plan = await self._desk.inspect(task, file, settings, others)
            return plan.model_dump(mode="json", exclude={"job", "type", "time", "frames_kept"})

        return estimate

    async def _inspect(self, file: str | None) -> Answer:
        with told_to_visitors():
            plan = await self._desk.inspect("score", file, ScoreSettings())
        return plan.facts.model_dump(mode="json")

    # -- jobs ------------------------------------------------------------------------------------------------

    async def _watch(
        self, job: str, key: str, follow: bool, request: gr.Request
    ) -> AsyncIterator[tuple[Any, Any]]:
        with told_to_visitors():
            found = self._desk.find(self._desk.visitor(request), job, key)
            if follow:
                async for answer in self._answers(found, request):
                    yield answer
            else:
                yield await asyncio.to_thread(
                    self._answer, await asyncio.to_thread(self._desk.snapshot, found)
                )

    async def _list(self, request: gr.Request) -> list[Answer]:
        entries = await asyncio.to_thread(self._desk.jobs, self._desk.visitor(request))
        return [entry.model_dump(mode="json") for entry in entries]

    def _asker(self, what: str) -> Any:
        def ask(job: str, key: str, request: gr.Request) -> Answer:
            with told_to_visitors():
                visitor = self._desk.visitor(request)
                found = self._desk.find(visitor, job, key)
                if what == "delete":
                    status = self._desk.snapshot(found).status
                    self._desk.delete(visitor, found)
                    return _json(status)
                if what == "resume":
                    self._desk.resume(visitor, found)
                else:
                    self._desk.queue.stop(found, what)
                return _json(self._desk.snapshot(found).status)

        return ask

    async def _machine(self) -> Answer:
        return await asyncio.to_thread(self._system)

    async def _answers(self, job: Job, request: gr.Request) -> AsyncIterator[tuple[Any, Any]]:
        """Full statuses until the job ends, the last one with its files. Raises what a failed job failed with."""
        session, last = str(request.session_hash), JobView()
        self._desk.presence.arrive(session, self._desk.visitor(request).name)
        try:
            async with aclosing(self._desk.watch(job)) as listening:
                async for last in listening:
                    yield await asyncio.to_thread(self._answer, last)
        finally:
            self._desk.presence.leave(session)
        if last.status.state == "failed":
            raise LongtakeError.from_code(last.status.code, last.status.message, last.status.hint)

    def _answer(self, view: JobView) -> tuple[Any, Any]:
        if view.outputs is None:
            return _json(view.status), None
        cache = Path(self._files.GRADIO_CACHE)
        return _json(view.status), [hand_out(path, cache, view.status.key) for path in view.outputs.paths()]


@contextmanager
def told_to_visitors() -> Iterator[None]:
    """Turns what goes wrong inside into what a visitor is told."""
    try:
        yield
    except (LongtakeError, OSError) as error:
        raise shown(error) from error


def _settings_of(task: str, given: dict[str, Any]) -> Settings:
    """The settings of `task` out of those of all tasks. Raises BadInput for one of another task that was given."""
    if task not in TASKS:
        raise BadInput(f"There is no task {task!r}.", f"There are: {', '.join(TASKS)}.")
    model = TASKS[task]
    names = forms.field_names(model)
    for name in given.keys() - set(names):
        # A number that stands in a text field comes as text.
        if str(given[name]) != str(forms.default(_ALL[name], name)):
            raise BadInput(f"{name} is no setting of {task}.", "Leave it out.")
    return forms.read(model, {name: given[name] for name in names})


def _files_of(task: str) -> tuple[str, ...]:
    return _FILES.get(task, ("file",))


def _some(task: str, others: Sequence[str | None]) -> tuple[str, ...]:
    """The files that were given beside the first. Raises BadInput for a portrait that nothing drives."""
    there = tuple(file for file in others if file)
    if task == "animate" and not there:
        raise BadInput("There is nothing to follow.", "Give a driving video, picture or template.")
    return there


def _others_of(task: str, **files: str | None) -> tuple[str, ...]:
    """The files of `task` among those that any task may have. Raises BadInput for one of another task."""
    takes = _files_of(task)[1:]
    for name, file in files.items():
        if file and name not in takes:
            raise BadInput(f"The task {task} takes no {name}.", "Leave it out.")
    return _some(task, [files[name] for name in takes])


def _json(status: Status) -> Answer:
    return status.model_dump(mode="json")
