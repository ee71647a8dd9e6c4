"""Specs of tasks and engines, and the registry that holds them.

One spec describes one task or engine. The command line, the page, the API and the planner all read the registry; no
other table repeats a name. Built-in specs are registered in the same way as plug-ins: a module is imported and calls
`register_task` or `register_engine`. Importing a spec must stay cheap: no torch, OpenCV or decoder.
"""

import functools
import importlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, create_model

from pipelines.errors import BadInput, LongtakeError
from pipelines.settings.base import Settings, engine_setting
from pipelines.storage.names import quoted
from pipelines.weights.catalog import PUBLISHED, Published
from presets.tiers import TaskPresets, own_tiers

PLUGINS = "LONGTAKE_PLUGINS"
"""Environment variable with the plug-in modules to import, separated by commas."""

_BUILT_IN = (
    "pipelines.scoring.spec",
    "pipelines.inpainting.spec",
    "pipelines.tracking.spec",
    "pipelines.animation.spec",
    "pipelines.copying.spec",
    "pipelines.comparing.spec",
    "pipelines.scoring.builtin.spec",
    "pipelines.scoring.qalign.spec",
    "pipelines.inpainting.flow.spec",
    "pipelines.inpainting.propainter.spec",
    "pipelines.animation.warp.spec",
    "pipelines.animation.liveportrait.spec",
)

BUILT_IN = "built-in"
"""Title of an engine that ships with the program and needs no weights; the page translates it."""

Text = tuple[str, str]
"""A text shown to users, in English and in Chinese."""
SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Pace:
    """Measured speed of an engine: seconds per frame, plus seconds per unit of work (pixels computed, or gigaflops).

    With `shared` the seconds are those of one core, and all cores share the work.
    """

    frame_seconds: float
    work_seconds: float
    shared: bool = False


@dataclass(frozen=True)
class InputSpec:
    """An input file of a task. `name` is its parameter in the API and, if it is a `flag`, on the command line.

    `required` decides by the settings whether it must be given; `missing` is the error (message, hint) if it is not.
    """

    name: str
    help: str
    label: Text
    flag: bool = False
    required: Callable[[Any], bool] = lambda settings: True
    missing: tuple[str, str] = ("A file is missing.", "Give every file that the task reads.")


@dataclass(frozen=True)
class FolderSpec:
    """How a folder of videos is processed: one job per video, and one table over all results.

    The table has one row per video with `columns` (name and default), read from the summary of the job's report.
    `suffix` names the results folder: `clips` becomes `clips-inpainted`. `check` takes the settings and the other
    inputs and raises BadInput for those that only make sense for a single video. `others` picks, from the other inputs
    given for the folder, those of one video. `write` replaces the table by the task's own: it takes each video's name
    with its report or error, and the folder to write into.
    """

    suffix: str
    columns: Mapping[str, Any] = field(default_factory=lambda: {"frames": 0})
    check: Callable[[Any, tuple[Path, ...]], None] = lambda settings, others: None
    others: Callable[[Path, tuple[Path, ...]], tuple[Path, ...]] = lambda video, others: others
    write: Callable[[Sequence[tuple[str, Path | LongtakeError]], Path], None] | None = None


@dataclass(frozen=True)
class TaskSpec:
    """A task: its settings and inputs, and how its results are named, versioned and shown."""

    name: str
    title: Text
    help: str
    """Help text of its command."""
    settings: type[Settings]
    inputs: tuple[InputSpec, ...]
    """The first gives the job its name in lists."""
    result_version: int
    """To be raised when the same inputs and settings give another result: older results are then recomputed."""
    suffixes: tuple[str, ...] = ()
    """File suffixes that `-o` accepts, beside that of the result video."""
    many: int = 0
    """Index of the input that may be a folder of videos, one job each."""
    folder: FolderSpec | None = None
    """None: the task does not take a folder of videos."""
    report_lines: Callable[[Path], Sequence[str]] = lambda report: ()
    """Takes a finished job's report and returns what the command line prints about it."""
    curve: Text | None = None
    """Caption of the live curve; None: there is no curve."""
    before_and_after: bool = False
    """Whether its frames are those of its first input, changed; then previews hold before and after side by side."""
    done: Callable[[Any], str] = lambda settings: "result"
    """Given the settings, the word that a download has after the video's name: `removed` as in `clip_removed.mp4`."""
    served: bool = True
    """Whether the page and the API offer the task."""
    trial: str = ""
    """Name of the API endpoint that previews the first two seconds; empty: there is none."""
    part_of: str = ""
    """Task on whose tab its jobs are shown; empty: its own."""
    presets: TaskPresets | None = None
    """None: those under the task's name in `presets/tiers.toml`."""
    models: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    """Given the settings, the published models that a run loads beside those of its engine."""

    def tables(self) -> TaskPresets:
        """Return the task's presets. Raises TiersError if there are none."""
        return self.presets or own_tiers().task(self.name)


@dataclass(frozen=True)
class EngineSpec:
    """An engine of a task: its requirements, its speed, and how to open a job with it.

    `open(inputs, settings)` makes the `pipelines.stages.Pipeline` of one job; heavy imports belong inside it.
    """

    task: str
    name: str
    open: Callable[[tuple[Path, ...], Any], Any]
    title: str = BUILT_IN
    weights: Published | None = None
    """The published weights of its network, with their licence; None: it needs none."""
    network: bool = False
    """Whether it computes on a GPU if there is one."""
    least_device_gib: float = 0.0
    """GPU memory above which `auto` picks it; with less, or on the CPU, it runs only when chosen by name."""
    pace: Mapping[str, Pace] = field(default_factory=dict)
    """Speed by kind of device (`cpu`, `cuda`, `mps`), as far as it has been measured."""
    settings: type[BaseModel] | None = None
    """Settings that it adds to the task's: fields made by `setting(..., engine=NAME)`, each with a default."""
    suffixes: tuple[str, ...] = ()
    """File suffixes that `-o` accepts, beside the task's."""
    curve: Text | None = None
    """Caption of the live curve, if it is not the task's."""
    models: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    """Given the settings, the published models that a run loads beside `weights`."""
    export: Callable[[Any, str], Any] = lambda outputs, suffix: outputs
    """Makes a file for `-o`, by its suffix, that a run does not make itself; takes and returns the job's outputs."""
    resolve: Callable[[Any], Any] = lambda settings: settings
    """Replaces `auto` in the engine's own settings with what will run here."""


_tasks: dict[str, TaskSpec] = {}
_engines: dict[str, dict[str, EngineSpec]] = {}
_lock = threading.RLock()
_loaded = False


def register_task(spec: TaskSpec) -> None:
    """Add a task. Raises ValueError if its name is taken."""
    if _tasks.get(spec.name, spec) is not spec:
        raise ValueError(f"a task named {spec.name!r} is already registered")
    _tasks[spec.name] = spec
    settings_model.cache_clear()


def register_engine(spec: EngineSpec) -> None:
    """Add an engine to its task, and its weights to the catalogue; a task's first engine is its built-in one.

    Raises ValueError if its name or that of its weights is taken.
    """
    engines = _engines.setdefault(spec.task, {})
    if spec.name == "auto" or engines.get(spec.name, spec) is not spec:
        raise ValueError(f"{spec.task!r} already has an engine named {spec.name!r}")
    if spec.weights and PUBLISHED.setdefault(spec.weights.model, spec.weights) is not spec.weights:
        raise ValueError(f"weights named {spec.weights.model!r} are already registered")
    engines[spec.name] = spec
    settings_model.cache_clear()


def tasks() -> Mapping[str, TaskSpec]:
    """Return all tasks by name, the built-in ones first. Raises BadInput for a plug-in that cannot be imported."""
    _load()
    return MappingProxyType(_tasks)


def task_spec(name: str) -> TaskSpec:
    """Return the task called `name`. Raises BadInput, listing the choices, if there is none."""
    found = tasks()
    if name not in found:
        raise BadInput(
            f"There is no task {quoted(name)}.",
            f"The tasks are {', '.join(found)}.",
            "request.task",
            name=quoted(name),
        )
    return found[name]


def engines_of(task: str) -> Mapping[str, EngineSpec]:
    """Return the engines of `task` by name, the built-in one first. Raises BadInput if there is no such task."""
    task_spec(task)
    return MappingProxyType(_engines.get(task, {}))


def engine_spec(task: str, name: str) -> EngineSpec:
    """Return the engine `name` of `task`. Raises BadInput, listing the choices, if there is none."""
    engines = engines_of(task)
    if name not in engines:
        raise BadInput(
            f"{task} has no engine {quoted(name)}.",
            f"Its engines are {', '.join(engines)}.",
            "request.engine",
            name=quoted(name),
        )
    return engines[name]


def all_engines() -> Iterator[EngineSpec]:
    """Iterate over the engines of all tasks."""
    for name in tasks():
        yield from engines_of(name).values()


@functools.cache
def settings_model(task: str) -> type[Settings]:
    """Build the settings model of `task`: its engines are the choices of `engine`, and their own fields are added.

    Raises BadInput if there is no such task.
    """
    base, engines = task_spec(task).settings, engines_of(task)
    choices = Literal[("auto", *engines)]  # type: ignore[valid-type]
    additions: list[Any] = [spec.settings for spec in engines.values() if spec.settings]
    fields: dict[str, Any] = {"engine": (choices, engine_setting())}
    return create_model(
        base.__name__, __base__=(*additions, base), __doc__=base.__doc__, __module__=base.__module__, **fields
    )


def read_settings(task: str, values: Mapping[str, Any]) -> Settings:
    """Validate `values` as settings of `task`. Raises pydantic.ValidationError, BadInput."""
    return settings_model(task).model_validate(values)


def _load() -> None:
    """Import the built-in specs and the plug-ins, once."""
    global _loaded
    with _lock:
        if _loaded:
            return
        # Set before the imports: a plug-in may query the registry while it is imported.
        _loaded = True
        for name in _BUILT_IN:
            importlib.import_module(name)
        for name in filter(None, map(str.strip, os.environ.get(PLUGINS, "").split(","))):
            try:
                importlib.import_module(name)
            except Exception as error:
                _loaded = False
                raise BadInput(
                    f"The plug-in {name} cannot be imported ({type(error).__name__}: {error}).",
                    f"Put its folder on PYTHONPATH, fix it, or remove it from {PLUGINS}.",
                    "plugin.broken",
                    name=name,
                ) from error
