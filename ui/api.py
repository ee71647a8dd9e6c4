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
from pipelines.settings import PoseSettings, ScoreSettings, Settings, trial
from pipelines.spec import TaskSpec, settings_model, tasks
from ui.components import forms
from ui.components.run_view import shown
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out, take_uploads_alone
from ui.jobs.view import JobView, Status

Answer = dict[str, Any]


class Api:
    """Publishes the endpoints where it is made. `system` answers for the machine."""

    def __init__(self, desk: JobService, system: Callable[[], Answer]) -> None:
        self._desk = desk
        self._system = system
        self._tasks = {name: task for name, task in tasks().items() if task.served}
        self._all = {
            # Each engine's name is checked by its task.
            name: Settings if name in Settings.model_fields else settings_model(task)
            for task in self._tasks
            for name in forms.field_names(settings_model(task))
        }
        """Each setting of any task, and the model that explains it."""
        # What is never shown costs the page nothing but its description.
        self._door = gr.Button(visible=False)
        self._file = take_uploads_alone(gr.File(label="The video: an upload.", visible=False))
        further = {each.name: each for task in self._tasks.values() for each in task.inputs[1:]}
        self._further = {
            # Gradio takes a parameter without a value for one that must be given.
            name: take_uploads_alone(gr.File(None, label=each.help, visible=False))
            for name, each in further.items()
        }
        self._task = gr.Dropdown(
            list(self._tasks), value=next(iter(self._tasks)), label="The task.", visible=False
        )
        self._job = gr.Textbox(label="A job's id, as its status tells it.", visible=False)
        self._key = gr.Textbox(
            "", label="The job's key: needed where the job is not the caller's.", visible=False
        )
        self._follow = gr.Checkbox(False, label="Stream statuses until the job ends.", visible=False)
        self._status = gr.JSON(label="Status", visible=False)
        self._files = gr.File(label="The files of a finished job.", file_count="multiple", visible=False)
        self._settings = {name: forms.make_parameter(model, name) for name, model in self._all.items()}
        for task in self._tasks.values():
            self._publish_task(task.name, task, (task.settings.__doc__ or "").split("\n")[0])
            if task.trial:
                words = f"The same as /{task.name}, for the first two seconds."
                self._publish_task(task.trial, task, words, trial)
        self._publish_questions()
        self._publish_pose()
        self._publish_jobs()

    def _publish_task(
        self, name: str, task: TaskSpec, words: str, changed: Callable[[Settings], Settings] = lambda s: s
    ) -> None:
        """`/score` and its like: run and stream."""
        first, *others = task.inputs
        files = {first.name: self._file, **{each.name: self._further[each.name] for each in others}}
        names = forms.field_names(settings_model(task.name))
        self._publish(
            forms.named(self._runner(task, changed), *files, *names),
            [*files.values(), *(self._settings[name] for name in names)],
            [self._status, self._files],
            name,
            words,
        )

    def _publish_questions(self) -> None:
        """`/submit` and `/estimate` take the settings of all tasks, and each task its own."""
        # The task stands where programs that count have always found it.
        (second, mask), *more = self._further.items()
        names = ("file", second, "task", *(name for name, _ in more))
        inputs = [self._file, mask, self._task, *(file for _, file in more), *self._settings.values()]
        for name, handler, words in (
            (
                "submit",
                self._submitter(),
                "Queue a job and answer at once with its status; /job tells how it goes.",
            ),
            ("estimate", self._estimator(), "What a run would do and hold, and why, without running it."),
        ):
            asked = forms.named(handler, *names, *self._settings)
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

    def _runner(self, task: TaskSpec, changed: Callable[[Settings], Settings]) -> Any:
        model, count = settings_model(task.name), len(task.inputs)
        names = forms.field_names(model)

        async def run(*values: Any) -> AsyncIterator[tuple[Any, Any]]:
            file, *others = values[:count]
            *given, request = values[count:]
            with told_to_visitors():
                settings = changed(forms.read(model, dict(zip(names, given, strict=True))))
                visitor = self._desk.visitor(request)
                job = await self._desk.submit(
                    visitor, task.name, file, settings, _given(task, others, settings)
                )
                async for answer in self._answers(job, request):
                    yield answer

        return run

    def _submitter(self) -> Any:
        async def submit(*values: Any) -> Answer:
            *given, request = values
            with told_to_visitors():
                task, file, others, settings = self._question(given)
                job = await self._desk.submit(self._desk.visitor(request), task, file, settings, others)
                return _json((await asyncio.to_thread(self._desk.snapshot, job)).status)

        return submit

    def _estimator(self) -> Any:
        async def estimate(*values: Any) -> Answer:
            *given, _ = values
            with told_to_visitors():
                task, file, others, settings = self._question(given)
                plan = await self._desk.inspect(task, file, settings, others)
            return plan.model_dump(mode="json", exclude={"job", "type", "time", "frames_kept"})

        return estimate

    def _question(self, values: Sequence[Any]) -> tuple[str, str | None, tuple[str, ...], Settings]:
        """Task, first file, other files and settings out of those of all tasks.

        Raises BadInput for a file or setting of another task that was given, and for one that is missing.
        """
        count = len(self._further) + 2
        (file, second, name, *more), settings = (
            values[:count],
            dict(zip(self._all, values[count:], strict=True)),
        )
        if name not in self._tasks:
            raise BadInput(f"There is no task {name!r}.", f"There are: {', '.join(self._tasks)}.")
        task, model = self._tasks[name], settings_model(name)
        files = dict(zip(self._further, (second, *more), strict=True))
        takes = [each.name for each in task.inputs[1:]]
        for other, given in files.items():
            if given and other not in takes:
                raise BadInput(f"The task {name} takes no {other}.", "Leave it out.")
        own = forms.field_names(model)
        for other in settings.keys() - set(own):
            # A number that stands in a text field comes as text.
            if str(settings[other]) != str(forms.default(self._all[other], other)):
                raise BadInput(f"{other} is no setting of {name}.", "Leave it out.")
        asked = forms.read(model, {each: settings[each] for each in own})
        return name, file, _given(task, [files[each] for each in takes], asked), asked

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


def _given(task: TaskSpec, others: Sequence[str | None], settings: Settings) -> tuple[str, ...]:
    """The files that were given beside the first. Raises BadInput for one that must be there and is not."""
    for each, file in zip(task.inputs[1:], others, strict=True):
        if not file and each.required(settings):
            raise BadInput(*each.missing)
    return tuple(file for file in others if file)


def _json(status: Status) -> Answer:
    return status.model_dump(mode="json")
