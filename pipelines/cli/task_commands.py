"""Commands of the tasks, one for each in the registry; its settings become the flags."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pipelines.cli.batch import run_folder
from pipelines.cli.console import Console
from pipelines.cli.hashing import hash_all
from pipelines.cli.licence import prepare_engine
from pipelines.cli.options import FLAT, JobsOptions, Options, flagged_team, open_queue
from pipelines.cli.targets import check_frames_out, check_target, expected_bytes, writing
from pipelines.engines.registry import possible_suffixes, result_suffixes
from pipelines.errors import BadInput
from pipelines.settings import Settings
from pipelines.spec import InputSpec, TaskSpec, settings_model
from pipelines.storage.special_files import reject_special
from pipelines.storage.video_folders import is_video_folder, videos_in

_OPTIONS, _JOBS = Options(), JobsOptions()


def run_command(task: TaskSpec) -> Callable[..., None]:
    """Make the command that runs `task`."""

    def command(
        *files: Path,
        settings: Settings | None = None,
        options: Options = _OPTIONS,
        output: Path | None = None,
        **flags: Path | None,
    ) -> None:
        options = replace(options, output=output)
        flagged_team(options)  # refused before inputs are read, which may take long
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
    """Make the command that estimates a run of `task` without starting it."""

    def estimate(
        *files: Path, settings: Settings | None = None, options: JobsOptions = _JOBS, **flags: Path | None
    ) -> None:
        from pipelines.runtime.planning import estimate as estimated  # loads the decoders

        settings = settings or settings_model(task.name)()
        inputs = _inputs(task, files, flags, settings)
        Console(json=options.json).show(estimated(task.name, inputs, settings, options.jobs_dir))

    help_text = f"Estimate memory, time and disk space of `{task.name}`. {task.settings.__doc__}"
    return _signed(estimate, task, help_text, options=(JobsOptions, _JOBS))


def run_one(
    task: TaskSpec, inputs: tuple[Path, ...], settings: Settings, options: Options, console: Console
) -> None:
    """Run one job to its end and copy its result to `-o`. Raises BadInput, and the error that the job fails with."""
    output = options.output
    if output:
        check_target(output, inputs, need_bytes=expected_bytes(inputs[task.many], output, settings))
    check_frames_out(settings, inputs)
    resolved = prepare_engine(task.name, settings, console)
    known = result_suffixes(task.name, resolved.settings)
    if output and output.suffix.lower() not in known:
        raise BadInput(
            f"{output.name}: {task.name} makes no {output.suffix or 'file without a suffix'}.",
            f"Use one of {', '.join(known)}.",
        )
    hash_all(inputs, resolved, console)
    first, *others = inputs
    with open_queue(options) as queue:
        job = queue.submit(task.name, first, resolved, *others, force=options.force)
        outputs = console.follow(queue, job)
    if output:
        with writing(output, kept=outputs.result or outputs.report):
            made = resolved.engine.export(outputs, output.suffix.lower())
            console.put(made, output)


def _inputs(
    task: TaskSpec, files: tuple[Path, ...], flags: dict[str, Path | None], settings: Settings
) -> tuple[Path, ...]:
    """Return the inputs in the order of the spec, without omitted ones.

    Raises BadInput if a required one is absent, NotAVideo for one that is a pipe or a device.
    """
    positional = iter(files)
    paths = [flags.get(spec.name) if spec.flag else next(positional, None) for spec in task.inputs]
    for spec, path in zip(task.inputs, paths, strict=True):
        if path is None and spec.required(settings):
            raise BadInput(*spec.missing)
        if path is not None:
            reject_special(path)
    return tuple(path for path in paths if path is not None)


def _signed(
    command: Callable[..., None],
    task: TaskSpec,
    help_text: str,
    *more: inspect.Parameter,
    options: tuple[type, Any],
) -> Callable[..., None]:
    """Give `command` the name, help and signature of `task`, from which cyclopts makes arguments and flags."""
    model = settings_model(task.name)
    kind, default = options
    parameters = [
        *(_parameter(spec) for spec in task.inputs if not spec.flag),
        *(_parameter(spec) for spec in task.inputs if spec.flag),
        _keyword("settings", Annotated[model, FLAT], model()),
        *more,
        _keyword("options", kind, default),
    ]
    command.__name__, command.__doc__ = task.name, help_text
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _output(task: TaskSpec) -> inspect.Parameter:
    """Return the flag `-o`, whose help names what `task` can put there."""
    words = (
        f"Also copy the result here; the suffix selects the file ({', '.join(possible_suffixes(task.name))})."
    )
    if task.folder:
        words += " For a folder of videos: the folder of their results."
    return _keyword("output", Annotated[Path | None, Parameter(name=["--output", "-o"], help=words)], None)


def _parameter(spec: InputSpec) -> inspect.Parameter:
    if spec.flag:
        return _keyword(spec.name, Annotated[Path | None, Parameter(help=spec.help)], None)
    annotation = Annotated[Path, Parameter(help=spec.help)]
    return inspect.Parameter(spec.name, inspect.Parameter.POSITIONAL_ONLY, annotation=annotation)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
