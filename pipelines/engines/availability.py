"""Which engines of a task can run on this machine, and which one `auto` picks.

Nothing here loads torch: the page asks too.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from memory.compute import compute_device
from memory.devices import Device
from memory.probe import Hardware, probe_hardware
from memory.units import GIB
from pipelines.errors import BadInput, InputChanged, LongtakeError, NotAVideo, WeightsBroken, WeightsMissing
from pipelines.jobs.inputs import InputFile
from pipelines.settings import Settings
from pipelines.settings.devices import device_for
from pipelines.spec import EngineSpec, engine_spec, engines_of, task_spec
from pipelines.storage.contents import Tick
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find

SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class Availability:
    """How an engine would run here: its weight `files` by name, or the `error` that prevents it.

    `accepted`: the user has accepted the licence of the weights. `device`: what it would compute on; None is the CPU.
    `fits`: the device has enough memory for `auto` to pick the engine.
    """

    spec: EngineSpec
    files: Mapping[str, Path] = field(default_factory=dict)
    error: LongtakeError | None = None
    accepted: bool = True
    device: Device | None = None
    fits: bool = True

    @property
    def suits_auto(self) -> bool:
        """Whether `auto` may pick it."""
        return self.spec.network and self.error is None and self.accepted and self.fits


@dataclass(frozen=True)
class Resolved(Generic[SettingsT]):
    """Resolved settings: without `auto`, with the engine and the weight files of each model."""

    settings: SettingsT
    engine: EngineSpec
    files: Mapping[str, Mapping[str, Path]]

    @property
    def weight_paths(self) -> tuple[Path, ...]:
        """The weight files that a run reads."""
        return tuple(path for files in self.files.values() for _, path in sorted(files.items()))

    @cached_property
    def weights(self) -> tuple[InputFile, ...]:
        """The weight files that a run reads, with their fingerprints. Raises WeightsBroken if one cannot be read."""
        with _broken_weights():
            return tuple(InputFile.of(path) for path in self.weight_paths)


@contextmanager
def _broken_weights() -> Iterator[None]:
    try:
        yield
    except NotAVideo as error:
        raise WeightsBroken(error.message, error.hint, "weights.broken") from error


def offers(task: str, settings: Settings, hardware: Hardware | None = None) -> list[Availability]:
    """Return how each engine of `task` would run with `settings`, the built-in one first. Loads nothing."""
    specs = engines_of(task).values()
    if not any(spec.network for spec in specs):
        return [Availability(spec) for spec in specs]
    hardware = hardware or probe_hardware()
    return [_offer(spec, settings, hardware) for spec in specs]


def _offer(spec: EngineSpec, settings: Settings, hardware: Hardware) -> Availability:
    if not spec.network and spec.weights is None:
        return Availability(spec)
    device, files, error = None, {}, None
    try:
        device = device_for(settings, hardware) if spec.network else None
        files = find(spec.weights.model, settings.weights) if spec.weights else {}
    except (BadInput, WeightsMissing, WeightsBroken) as why:
        error = why
    accepted = spec.weights is None or licences.is_accepted(spec.weights.model)
    fits = (
        device is not None
        and compute_device(device.kind).suits_auto
        and device.total_bytes >= spec.least_device_gib * GIB
    )
    return Availability(spec, files, error, accepted, device, fits)


def auto_choice(offers: Sequence[Availability]) -> Availability:
    """Return the engine that `auto` picks: the first network that can run here, otherwise the built-in engine."""
    builtin, *others = offers
    return next((offer for offer in others if offer.suits_auto), builtin)


def resolve(task: str, settings: SettingsT, hardware: Hardware | None = None) -> Resolved[SettingsT]:
    """Replace every `auto` in `settings`: the engine by the network if it can run here, otherwise the built-in one.

    The same goes for other models that a run loads. The GPU's total memory counts, not what is free at the moment, so
    that equal settings resolve equally. Raises BadInput for an unknown engine; WeightsMissing and WeightsBroken if the
    weights of a model that will run are missing or unreadable.
    """
    known: dict[str, Mapping[str, Path]] = {}
    if settings.engine == "auto":
        chosen = auto_choice(offers(task, settings, hardware))
        if chosen.spec.weights:
            known[chosen.spec.weights.model] = chosen.files
        settings = settings.model_copy(update={"engine": chosen.spec.name})
    engine = engine_spec(task, settings.engine)
    settings = engine.resolve(settings)
    names = models_of(task, settings)
    return Resolved(
        settings, engine, {name: known.get(name) or find(name, settings.weights) for name in names}
    )


def models_of(task: str, settings: Settings) -> tuple[str, ...]:
    """Return the published models that a run loads: its engine's, and those the settings add. Raises BadInput."""
    engine = engine_spec(task, settings.engine)
    own = (engine.weights.model,) if engine.weights else ()
    return (*own, *task_spec(task).models(settings), *engine.models(settings))


def check_weights(
    task: str, settings: Settings, known: tuple[InputFile, ...], tick: Tick = lambda count: None
) -> None:
    """Raise InputChanged if the weights are not those a job was started with; they may have moved to another folder."""
    paths = resolve(task, settings).weight_paths
    with _broken_weights():
        same = [path.name for path in paths] == [file.path.name for file in known] and all(
            file.is_same(path, tick) for file, path in zip(known, paths, strict=True)
        )
    if not same:
        titles = " and ".join(PUBLISHED[name].title for name in models_of(task, settings))
        raise InputChanged(
            f"The weights of {titles} have changed since this job was started.",
            "Start a new job, or restore the files.",
            "weights.changed",
        )
