"""The API: named endpoints for programs, none of them shown on the page; both ask the same `JobService`.

A task's endpoint (`/score`), and `/job` with `follow`, stream full statuses; the last one comes with the files. All
others answer once. Parameters are those of the settings models. Errors are messages in both languages that end with a
code in brackets. `JobService` decides who may see which job: a status carries keys that open its job to
programs without cookies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs.job import Job
from pipelines.settings import PoseSettings, ScoreSettings, Settings, trial
from pipelines.spec import TaskSpec, settings_model, tasks
from pipelines.storage.names import quoted
from ui import api_types
from ui.components import forms
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.jobs.view import JobView, Status
from ui.server.answers import visitor_error
from ui.server.visitors import Right

Answer = dict[str, Any]


class Api:
    """The endpoints, published inside the Blocks in which this is constructed. `system` reports the machine."""

    def __init__(self, service: JobService, system: Callable[[], Answer]) -> None:
        self._service = service
        self._system = system
        self._tasks = {name: task for name, task in tasks().items() if task.served}
        self._all = {
            # `engine` is free text here: each task checks the name against its own engines.
            name: Settings if name in Settings.model_fields else settings_model(task)
            for task in self._tasks
            for name in forms.field_names(settings_model(task))
        }
        """Each setting of any task, and the model that describes it."""
        # Invisible components cost the page only their entry in its configuration.
        self._trigger = gr.Button(visible=False)
        self._video = api_types.upload("file", "The video.")
        first_inputs = {task.inputs[0].name: task.inputs[0] for task in self._tasks.values()}
        self._first_files = {
            name: self._video if name == "file" else api_types.upload(name, each.help)
            for name, each in first_inputs.items()
        }
        other_inputs = {each.name: each for task in self._tasks.values() for each in task.inputs[1:]}
        self._other_files = {name: api_types.upload(name, each.help) for name, each in other_inputs.items()}
        self._task = gr.Dropdown(
            list(self._tasks), value=next(iter(self._tasks)), label="The task.", visible=False
        )
        self._job = gr.Textbox(label="A job's id, as its status tells it.", visible=False)
        self._key = gr.Textbox(
            "", label="One of the job's keys: needed where the job is not the caller's.", visible=False
        )
        self._follow = gr.Checkbox(False, label="Stream statuses until the job ends.", visible=False)
        self._status = api_types.status()
        self._files = gr.File(label="The files of a finished job.", file_count="multiple", visible=False)
        self._settings = {name: api_types.setting(model, name) for name, model in self._all.items()}
        for task in self._tasks.values():
            self._publish_task(task.name, task, (task.settings.__doc__ or "").split("\n")[0])
            if task.trial:
                description = f"The same as /{task.name}, for the first two seconds."
                self._publish_task(task.trial, task, description, trial)
        self._publish_any_task()
        self._publish_pose()
        self._publish_jobs()

    def _publish_task(
        self,
        name: str,
        task: TaskSpec,
        description: str,
        change: Callable[[Settings], Settings] = lambda s: s,
    ) -> None:
        """Publish an endpoint such as `/score`: it runs the task and streams statuses."""
        first, *others = task.inputs
        files = {
            first.name: self._first_files[first.name],
            **{each.name: self._other_files[each.name] for each in others},
        }
        names = forms.field_names(settings_model(task.name))
        self._publish(
            forms.with_parameters(self._runner(task, change), *files, *names),
            [*files.values(), *(self._settings[name] for name in names)],
            [self._status, self._files],
            name,
            description,
        )

    def _publish_any_task(self) -> None:
        """Publish `/submit` and `/estimate`, which take any task with the settings of all tasks, and `/inspect`."""
        # The task stays the third parameter, for programs that pass parameters by position.
        (second, second_file), *more = self._other_files.items()
        names = ("file", second, "task", *(name for name, _ in more))
        file = api_types.upload("file", "The first file of the task: the video, or for animate the portrait.")
        inputs = [file, second_file, self._task, *(file for _, file in more), *self._settings.values()]
        for name, handler, answer, description in (
            (
                "submit",
                self._submitter(),
                self._status,
                "Queue a job and answer at once with its status; /job tells how it goes.",
            ),
            (
                "estimate",
                self._estimator(),
                api_types.plan(),
                "What a run would do and hold, and why, without running it.",
            ),
        ):
            endpoint = forms.with_parameters(handler, *names, *self._settings)
            self._publish(endpoint, inputs, [answer], name, description)
        description = "What a video is: size, length, rate, sound."
        self._publish(self._inspect, [self._video], [api_types.facts()], "inspect", description)

    def _publish_pose(self) -> None:
        """Publish `/pose`, which answers with a picture and makes no job."""
        names = forms.field_names(PoseSettings)
        fields = [api_types.setting(PoseSettings, name) for name in names]
        description = (PoseSettings.__doc__ or "").split("\n")[0] + " Needs LivePortrait's weights."
        picture = gr.File(label="The portrait, posed: a JPEG.", visible=False)
        self._publish(
            forms.with_parameters(self._poser(names), "source", *names),
            [self._first_files["source"], *fields],
            [picture],
            "pose",
            description,
        )

    def _poser(self, names: Sequence[str]) -> Any:
        async def pose(source: str | None, *values: Any) -> str:
            *fields, request = values
            visitor, cache = self._service.visitor(request), Path(self._files.GRADIO_CACHE)
            with visitor_errors():
                settings = forms.read(PoseSettings, dict(zip(names, fields, strict=True)))
                return str(await self._service.pose(visitor, source, settings, cache))

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
        publish(
            self._list, [], [api_types.jobs()], "jobs", "The caller's jobs, the newest first (at most 100)."
        )
        for action, description in {
            "cancel": "Stop a job; finished spans are kept.",
            "pause": "Stop a job for now; finished spans are kept.",
            "resume": "Go on with a job that was interrupted, paused, cancelled or failed.",
            "delete": "Remove a job that is not waiting or running, and its files.",
        }.items():
            publish(self._job_action(action), job, [self._status], action, description)
        publish(
            self._machine,
            [],
            [api_types.machine()],
            "system",
            "The machine, its memory, the worker and the queue.",
        )

    def _publish(
        self, handler: Any, inputs: list[Any], outputs: list[Any], name: str, description: str
    ) -> None:
        self._trigger.click(
            handler,
            inputs,
            outputs,
            api_name=name,
            api_description=description,
            concurrency_limit=None,
            show_progress="hidden",
        )

    # -- tasks ------------------------------------------------------------------------------------------------

    def _runner(self, task: TaskSpec, change: Callable[[Settings], Settings]) -> Any:
        model, count = settings_model(task.name), len(task.inputs)
        names = forms.field_names(model)

        async def run(*values: Any) -> AsyncIterator[tuple[Any, Any]]:
            file, *others = values[:count]
            *fields, request = values[count:]
            with visitor_errors():
                settings = change(forms.read(model, dict(zip(names, fields, strict=True))))
                visitor = self._service.visitor(request)
                job = await self._service.submit(
                    visitor, task.name, file, settings, _other_inputs(task, others, settings)
                )
                async for answer in self._answers(job, request):
                    yield answer

        return run

    def _submitter(self) -> Any:
        async def submit(*values: Any) -> Answer:
            *fields, request = values
            with visitor_errors():
                task, file, others, settings = self._parse_request(fields)
                job = await self._service.submit(self._service.visitor(request), task, file, settings, others)
                return _json((await asyncio.to_thread(self._service.snapshot, job)).status)

        return submit

    def _estimator(self) -> Any:
        async def estimate(*values: Any) -> Answer:
            *fields, request = values
            with visitor_errors():
                task, file, others, settings = self._parse_request(fields)
                visitor = self._service.visitor(request)
                plan = await self._service.inspect(visitor, task, file, settings, others)
            return plan.model_dump(mode="json", exclude={"job", "type", "time", "frames_kept"})

        return estimate

    def _parse_request(self, values: Sequence[Any]) -> tuple[str, str | None, tuple[str, ...], Settings]:
        """Task, first file, other files and settings from the parameters of all tasks.

        Raises BadInput for a file or setting that belongs to another task, and for a required file that is missing.
        """
        count = len(self._other_files) + 2
        (file, second, name, *more), settings = (
            values[:count],
            dict(zip(self._all, values[count:], strict=True)),
        )
        if not isinstance(name, str) or name not in self._tasks:
            name = str(name)
            raise BadInput(
                f"There is no task {quoted(name)}.",
                f"There are: {', '.join(self._tasks)}.",
                "request.task",
                name=quoted(name),
            )
        task, model = self._tasks[name], settings_model(name)
        files = dict(zip(self._other_files, (second, *more), strict=True))
        accepted = [each.name for each in task.inputs[1:]]
        for other, path in files.items():
            if path and other not in accepted:
                raise BadInput(
                    f"The task {name} takes no {other}.", "Leave it out.", "request.parameter", name=other
                )
        own = forms.field_names(model)
        for other in settings.keys() - set(own):
            # A number in a text field arrives as text.
            if str(settings[other]) != str(forms.default(self._all[other], other)):
                raise BadInput(
                    f"{other} is no setting of {name}.", "Leave it out.", "request.parameter", name=other
                )
        own_settings = forms.read(model, {each: settings[each] for each in own})
        return name, file, _other_inputs(task, [files[each] for each in accepted], own_settings), own_settings

    async def _inspect(self, file: str | None, request: gr.Request) -> Answer:
        with visitor_errors():
            visitor = self._service.visitor(request)
            plan = await self._service.inspect(visitor, "score", file, ScoreSettings())
        return plan.facts.model_dump(mode="json")

    # -- jobs ------------------------------------------------------------------------------------------------

    async def _watch(
        self, job: str, key: str, follow: bool, request: gr.Request
    ) -> AsyncIterator[tuple[Any, Any]]:
        with visitor_errors():
            visitor = self._service.visitor(request)
            found = self._service.find(visitor, job, key)
            right = self._service.right(visitor, found, key)
            if follow:
                async for answer in self._answers(found, request, right):
                    yield answer
            else:
                view = await asyncio.to_thread(self._service.snapshot, found, right)
                yield await asyncio.to_thread(self._answer, view)

    async def _list(self, request: gr.Request) -> list[Answer]:
        entries = await asyncio.to_thread(self._service.jobs, self._service.visitor(request))
        return [entry.model_dump(mode="json") for entry in entries]

    def _job_action(self, action: str) -> Any:
        def act(job: str, key: str, request: gr.Request) -> Answer:
            with visitor_errors():
                visitor = self._service.visitor(request)
                found = self._service.find_to_act(visitor, job, key)
                if action == "delete":
                    status = self._service.snapshot(found).status
                    self._service.delete(visitor, found)
                    return _json(status)
                if action == "resume":
                    self._service.resume(visitor, found)
                else:
                    self._service.queue.stop(found, action)
                return _json(self._service.snapshot(found).status)

        return act

    async def _machine(self) -> Answer:
        return await asyncio.to_thread(self._system)

    async def _answers(
        self, job: Job, request: gr.Request, right: Right = "edit"
    ) -> AsyncIterator[tuple[Any, Any]]:
        """Stream full statuses until the job ends, the last one with its files. Raises the error of a failed job."""
        session, last = str(request.session_hash), JobView()
        self._service.presence.arrive(session, self._service.visitor(request).name)
        try:
            async with aclosing(self._service.watch(job, right)) as stream:
                async for last in stream:
                    yield await asyncio.to_thread(self._answer, last)
        finally:
            self._service.presence.leave(session)
        if last.status.state == "failed":
            raise LongtakeError.from_code(last.status.code, last.status.message, last.status.hint)

    def _answer(self, view: JobView) -> tuple[Any, Any]:
        if view.outputs is None:
            return _json(view.status), None
        cache = Path(self._files.GRADIO_CACHE)
        return _json(view.status), [hand_out(path, cache, view.files) for path in view.outputs.paths()]


@contextmanager
def visitor_errors() -> Iterator[None]:
    """Turn expected errors into the messages that visitors see."""
    try:
        yield
    except (LongtakeError, OSError) as error:
        raise visitor_error(error) from error


def _other_inputs(task: TaskSpec, others: Sequence[str | None], settings: Settings) -> tuple[str, ...]:
    """The paths of the inputs after the first. Raises BadInput where a required one is missing."""
    for each, file in zip(task.inputs[1:], others, strict=True):
        if not file and each.required(settings):
            raise BadInput(*each.missing, "input.missing")
    return tuple(file for file in others if file)


def _json(status: Status) -> Answer:
    return status.model_dump(mode="json")
