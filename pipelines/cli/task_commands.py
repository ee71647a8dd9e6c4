"""The commands of the tasks, one for each that the registry knows; their flags are the fields of its settings."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pipelines.cli.batch import run_folder
from pipelines.cli.console import Console
from pipelines.cli.licence import prepare_engine
from pipelines.cli.options import FLAT, JobsOptions, Options
from pipelines.cli.targets import check_frames_out, check_target, expected_bytes, writing
from pipelines.engines.registry import possible_suffixes, result_suffixes
from pipelines.errors import BadInput
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import Settings
from pipelines.spec import InputSpec, TaskSpec, settings_model
from pipelines.storage.special_files import reject_special
from pipelines.storage.video_folders import is_video_folder, videos_in

_OPTIONS, _JOBS = Options(), JobsOptions()


def run_command(task: TaskSpec) -> Callable[..., None]:
    """The command that runs `task`."""

    def command(
        *files: Path,
        settings: Settings | None = None,
        options: Options = _OPTIONS,
        output: Path | None = None,
        **flags: Path | None,
    ) -> None:
        options = replace(options, output=output)
        settings = settings or settings_model(task.name)()
        inputs = _inputs(task, files, flags, settings)
        console, many = Console(json=options.json), inputs[task.many]
        if task.folder and many.is_dir() and is_video_folder(many):
            resolved = prepare_engine(task.name, settings, console)
            run_folder(task, task.folder, videos_in(many), inputs, resolved, options, console)
        else:
            run_one(task, inputs, settings, options, console)

    return _signed(command, task, task.help, _output(task), options=(Options, _OPTIONS))


def estimate_command(task: TaskSpec) -> Callable[..., None]:
    """The command that says what `task` would do and hold, without running it."""

    def estimate(
        *files: Path, settings: Settings | None = None, options: JobsOptions = _JOBS, **flags: Path | None
    ) -> None:
        from pipelines.runtime.planning import estimate as estimated  # here: it loads the decoders

        settings = settings or settings_model(task.name)()
        inputs = _inputs(task, files, flags, settings)
        Console(json=options.json).show(estimated(task.name, inputs, settings, options.jobs_dir))

    words = f"Estimate what `{task.name}` would do, hold and take. {task.settings.__doc__}"
    return _signed(estimate, task, words, options=(JobsOptions, _JOBS))


def run_one(
    task: TaskSpec, inputs: tuple[Path, ...], settings: Settings, options: Options, console: Console
) -> None:
    """Run one job to its end, and put its result where `-o` says. Raises BadInput, and what the job fails with."""
    output = options.output
    if output:
        check_target(output, inputs, need_bytes=expected_bytes(inputs[task.many], output, settings))
    check_frames_out(settings, inputs)
    resolved = prepare_engine(task.name, settings, console)
    known = result_suffixes(task.name, resolved.settings)
    if output and output.suffix.lower() not in known:
        raise BadInput(
            f"{output.name} is no name for a result of {task.name}.",
            f"It may end in {', '.join(known)}.",
        )
    first, *others = inputs
    with JobQueue(options.jobs_dir) as queue:
        job = queue.submit(task.name, first, resolved, *others, force=options.force)
        outputs = console.follow(queue, job)
    if output:
        with writing(output, kept=outputs.result or outputs.report):
            made = resolved.engine.export(outputs, output.suffix.lower())
            console.put(made, output)


def _inputs(
    task: TaskSpec, files: tuple[Path, ...], flags: dict[str, Path | None], settings: Settings
) -> tuple[Path, ...]:
    """The inputs in the order of the spec, without those left out.

    Raises BadInput for one that must be there, NotAVideo for one that is no file.
    """
    positional = iter(files)
    given = [flags.get(each.name) if each.flag else next(positional, None) for each in task.inputs]
    for each, path in zip(task.inputs, given, strict=True):
        if path is None and each.required(settings):
            raise BadInput(*each.missing)
        if path is not None:
            reject_special(path)
    return tuple(path for path in given if path is not None)


def _signed(
    command: Callable[..., None],
    task: TaskSpec,
    words: str,
    *more: inspect.Parameter,
    options: tuple[type, Any],
) -> Callable[..., None]:
    """Give `command` the name, help and signature of `task`: cyclopts makes arguments and flags of them."""
    model = settings_model(task.name)
    kind, default = options
    parameters = [
        *(_parameter(each) for each in task.inputs if not each.flag),
        *(_parameter(each) for each in task.inputs if each.flag),
        _keyword("settings", Annotated[model, FLAT], model()),
        *more,
        _keyword("options", kind, default),
    ]
    command.__name__, command.__doc__ = task.name, words
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _output(task: TaskSpec) -> inspect.Parameter:
    """The flag `-o`, whose help names what `task` can put there."""
    words = f"Also put the result here; the suffix says which ({', '.join(possible_suffixes(task.name))})."
    if task.folder:
        words += " For a folder of videos: the folder of their results."
    return _keyword("output", Annotated[Path | None, Parameter(name=["--output", "-o"], help=words)], None)


def _parameter(each: InputSpec) -> inspect.Parameter:
    if each.flag:
        return _keyword(each.name, Annotated[Path | None, Parameter(help=each.help)], None)
    annotation = Annotated[Path, Parameter(help=each.help)]
    return inspect.Parameter(each.name, inspect.Parameter.POSITIONAL_ONLY, annotation=annotation)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
