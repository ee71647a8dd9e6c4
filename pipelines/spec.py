"""What a task and an engine say of themselves, and the registry in which they are found.

A task or an engine is one spec. Whoever wants to know what there is (the command line, the page, the API, the planner)
asks the registry; no table elsewhere repeats a name. Built-in ones are registered just as plug-ins are: a module is
imported and calls `register_task` or `register_engine`. Light: importing a spec loads no torch, OpenCV or decoder.
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
from pipelines.weights.catalog import PUBLISHED, Published
from presets.tiers import TaskPresets, own_tiers

PLUGINS = "LONGTAKE_PLUGINS"
"""The environment variable that names modules to import, separated by commas."""

_BUILT_IN = (
    "pipelines.scoring.spec",
    "pipelines.inpainting.spec",
    "pipelines.tracking.spec",
    "pipelines.animation.spec",
    "pipelines.copying.spec",
    "pipelines.scoring.builtin.spec",
    "pipelines.scoring.qalign.spec",
    "pipelines.inpainting.flow.spec",
    "pipelines.inpainting.propainter.spec",
    "pipelines.animation.warp.spec",
    "pipelines.animation.liveportrait.spec",
)

BUILT_IN = "built-in"
"""The title of an engine that comes with the program and needs nothing; the page translates it."""

Text = tuple[str, str]
"""Words for people, in English and in Chinese."""
SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Pace:
    """The time that a frame takes: seconds, and seconds per unit of work (pixels computed, or gigaflops).

    `shared`: the seconds are of one core, and all cores share them.
    """

    frame_seconds: float
    work_seconds: float
    shared: bool = False


@dataclass(frozen=True)
class InputSpec:
    """A file that a task reads. `name` is the API's parameter and, where it is a `flag`, the command line's.

    `required` says for which settings it must be given; `missing` is the error (message, hint) where it is not.
    """

    name: str
    help: str
    label: Text
    flag: bool = False
    required: Callable[[Any], bool] = lambda settings: True
    missing: tuple[str, str] = ("A file is missing.", "Give every file that the task reads.")


@dataclass(frozen=True)
class FolderSpec:
    """How the results of a folder of videos, a job each, become one table.

    The table has a row for each video: the `columns` with their defaults, read from the summary of the job's report.
    `suffix` names the folder of results: `clips` become `clips-inpainted`. `check` takes the settings and the other
    inputs, and raises BadInput for those that can only be meant for a single video. `others` finds what belongs to one
    of the videos among the other inputs that were given for the folder. `write` replaces the table with one of the
    task's own: it takes each video's name with its report, or the error, and the folder to write into.
    """

    suffix: str
    columns: Mapping[str, Any] = field(default_factory=lambda: {"frames": 0})
    check: Callable[[Any, tuple[Path, ...]], None] = lambda settings, others: None
    others: Callable[[Path, tuple[Path, ...]], tuple[Path, ...]] = lambda video, others: others
    write: Callable[[Sequence[tuple[str, Path | LongtakeError]], Path], None] | None = None


@dataclass(frozen=True)
class TaskSpec:
    """A task: what it is asked with, what it reads, and how its results are named, versioned and shown."""

    name: str
    title: Text
    help: str
    """What the command line says of it."""
    settings: type[Settings]
    inputs: tuple[InputSpec, ...]
    """The first is the one that is listed and, for a folder of videos, the one that there are many of."""
    result_version: int
    """Raised when a result changes for the same question: older ones are then computed anew."""
    suffixes: tuple[str, ...] = ()
    """What `-o` may name, beside the video of a task that makes one."""
    many: int = 0
    """Which input may be a folder of videos, each a job of its own."""
    folder: FolderSpec | None = None
    """None where a folder of videos is not taken."""
    curve: Text | None = None
    """What the live curve shows; None where there is none."""
    before_and_after: bool = False
    """Whether its previews are two pictures side by side; the page then lays one over the other."""
    served: bool = True
    """Whether the page and the API offer it."""
    trial: str = ""
    """The API's endpoint that runs the first two seconds; empty: there is none."""
    part_of: str = ""
    """The task on whose tab its jobs are shown; empty: its own."""
    presets: TaskPresets | None = None
    """None: the table of `presets/tiers.toml` that has the task's name."""
    models: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    """Published models that a run reads beside its engine's, by the settings."""

    def tables(self) -> TaskPresets:
        """The task's presets. Raises TiersError where there are none."""
        return self.presets or own_tiers().task(self.name)


@dataclass(frozen=True)
class EngineSpec:
    """An engine of a task: what it needs, how fast it is, and how a job is opened with it.

    `open(inputs, settings)` makes the `pipelines.stages.Pipeline` of one job; heavy imports happen inside it.
    """

    task: str
    name: str
    open: Callable[[tuple[Path, ...], Any], Any]
    title: str = BUILT_IN
    weights: Published | None = None
    """The published weights of a network, with their licence; None for an engine that needs none."""
    network: bool = False
    """Whether it computes on a GPU where there is one."""
    least_device_gib: float = 0.0
    """The GPU memory from which on `auto` takes it; on less, or on the CPU, it runs only where it is asked for."""
    pace: Mapping[str, Pace] = field(default_factory=dict)
    """By kind of device (`cpu`, `cuda`, `mps`), as far as it was measured."""
    settings: type[BaseModel] | None = None
    """Further settings, which the task then has: fields made by `setting(..., engine=NAME)`, all with a default."""
    suffixes: tuple[str, ...] = ()
    """What `-o` may name beside what the task says."""
    curve: Text | None = None
    """What the live curve shows where that is not what the task says."""
    models: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    """Published models that a run reads beside `weights`, by the settings."""
    export: Callable[[Any, str], Any] = lambda outputs, suffix: outputs
    """Makes what `-o` names by its suffix where a run does not make it itself; takes and returns the job's outputs."""
    resolve: Callable[[Any], Any] = lambda settings: settings
    """Puts what runs here in place of the `auto` of settings that are the engine's own."""


_tasks: dict[str, TaskSpec] = {}
_engines: dict[str, dict[str, EngineSpec]] = {}
_lock = threading.RLock()
_loaded = False


def register_task(spec: TaskSpec) -> None:
    """Add a task. Raises ValueError where another one has its name."""
    if _tasks.get(spec.name, spec) is not spec:
        raise ValueError(f"there is a task {spec.name!r} already")
    _tasks[spec.name] = spec
    settings_model.cache_clear()


def register_engine(spec: EngineSpec) -> None:
    """Add an engine to its task, and its weights to the catalogue; the first engine of a task is its built-in one.

    Raises ValueError where another one has its name.
    """
    engines = _engines.setdefault(spec.task, {})
    if spec.name == "auto" or engines.get(spec.name, spec) is not spec:
        raise ValueError(f"there is an engine {spec.name!r} of {spec.task!r} already")
    if spec.weights and PUBLISHED.setdefault(spec.weights.model, spec.weights) is not spec.weights:
        raise ValueError(f"there are weights called {spec.weights.model!r} already")
    engines[spec.name] = spec
    settings_model.cache_clear()


def tasks() -> Mapping[str, TaskSpec]:
    """All tasks by name, the built-in ones first. Raises BadInput for a plug-in that cannot be imported."""
    _load()
    return MappingProxyType(_tasks)


def task_spec(name: str) -> TaskSpec:
    """The task called `name`. Raises BadInput, with the choices, where there is none."""
    found = tasks()
    if name not in found:
        raise BadInput(f"There is no task {name!r}.", f"The tasks are {', '.join(found)}.")
    return found[name]


def engines_of(task: str) -> Mapping[str, EngineSpec]:
    """The engines of `task` by name, the built-in one first. Raises BadInput where there is no such task."""
    task_spec(task)
    return MappingProxyType(_engines.get(task, {}))


def engine_spec(task: str, name: str) -> EngineSpec:
    """The engine `name` of `task`. Raises BadInput, with the choices, where there is none."""
    engines = engines_of(task)
    if name not in engines:
        raise BadInput(f"{task} has no engine {name!r}.", f"Its engines are {', '.join(engines)}.")
    return engines[name]


def all_engines() -> Iterator[EngineSpec]:
    """Every engine of every task."""
    for name in tasks():
        yield from engines_of(name).values()


@functools.cache
def settings_model(task: str) -> type[Settings]:
    """The settings of `task`, with its engines as the choices of `engine` and the fields that engines add.

    Raises BadInput where there is no such task.
    """
    base, engines = task_spec(task).settings, engines_of(task)
    choices = Literal[("auto", *engines)]  # type: ignore[valid-type]
    more: list[Any] = [spec.settings for spec in engines.values() if spec.settings]
    fields: dict[str, Any] = {"engine": (choices, engine_setting())}
    return create_model(
        base.__name__, __base__=(*more, base), __doc__=base.__doc__, __module__=base.__module__, **fields
    )


def read_settings(task: str, values: Mapping[str, Any]) -> Settings:
    """The settings of `task` that `values` stand for. Raises pydantic.ValidationError, BadInput."""
    return settings_model(task).model_validate(values)


def _load() -> None:
    """Import the built-in specs and the plug-ins, once."""
    global _loaded
    with _lock:
        if _loaded:
            return
        # Before, not after: a plug-in may ask the registry while it is imported.
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
                    f"Put its folder on PYTHONPATH, mend it, or take it out of {PLUGINS}.",
                ) from error
