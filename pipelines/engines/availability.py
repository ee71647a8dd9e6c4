"""Which engines a task has, what each of them needs, and which one `auto` stands for on this machine.

A task's engines are those that its settings name: the first is built in and needs nothing. One that is called as
published weights are is a network. Light: a page asks too, so nothing here loads torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

from memory.devices import Device
from memory.probe import Hardware, probe_hardware
from memory.units import GIB
from pipelines.engines.devices import device_for
from pipelines.errors import BadInput, InputChanged, LongtakeError, NotAVideo, WeightsBroken, WeightsMissing
from pipelines.jobs.inputs import InputFile
from pipelines.settings import MODELS, AnimateSettings, MaskSettings, Settings
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED, Published
from pipelines.weights.locate import find

SettingsT = TypeVar("SettingsT", bound=Settings)

_FACES = "insightface"
"""Published models that find faces, by the setting's name and the weights'."""

_LEAST_GIB = {"propainter": 3.5, "liveportrait": 3.5, "qalign": 11.2}
"""The card that `auto` wants for a network: smaller ones (and the CPU) compute it too, but only when they are asked."""


@dataclass(frozen=True)
class Availability:
    """An engine as it could run here. `weights` is one of its files, `error` why there are none.

    `device` is what it would compute on: None is the CPU. `fits` says whether that holds it comfortably.
    """

    engine: str
    published: Published | None = None
    weights: Path | None = None
    error: LongtakeError | None = None
    accepted: bool = True
    device: Device | None = None
    fits: bool = True

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.published.title if self.published else "built-in"

    @property
    def suits_auto(self) -> bool:
        """Whether `auto` may take it."""
        return self.error is None and self.accepted and self.fits


def engines_of(task: str) -> tuple[str, ...]:
    """The names of the engines of `task`, the built-in one first."""
    names = get_args(MODELS[task].model_fields["engine"].annotation)
    return tuple(name for name in names if name != "auto")


def is_network(engine: str) -> bool:
    """Whether the engine called so is a network, which needs published weights."""
    return engine in PUBLISHED


def offers(task: str, settings: Settings, hardware: Hardware | None = None) -> list[Availability]:
    """The engines of `task`, the built-in one first, as they could run with `settings`. Looks; loads nothing."""
    builtin, *networks = engines_of(task)
    if not networks:
        return [Availability(builtin)]
    found = hardware or probe_hardware()
    return [Availability(builtin), *(_offer(name, settings, found) for name in networks)]


def _offer(engine: str, settings: Settings, hardware: Hardware) -> Availability:
    path, device, error = None, None, None
    try:
        device = device_for(settings, hardware)
        path = next(iter(find(engine, settings.weights).values()))
    except (BadInput, WeightsMissing, WeightsBroken) as why:
        error = why
    least_bytes = _LEAST_GIB[engine] * GIB
    return Availability(
        engine,
        PUBLISHED[engine],
        path,
        error,
        licences.is_accepted(engine),
        device,
        device is not None and device.kind == "cuda" and device.total_bytes >= least_bytes,
    )


def resolved(task: str, settings: SettingsT, hardware: Hardware | None = None) -> SettingsT:
    """`settings` with the engine's name in place of `auto`: the network where nothing stands against it.

    So it is with what finds faces. What a card has free at the moment makes no difference, so that the same question
    has the same answer.
    """
    if settings.engine == "auto":
        builtin, *networks = offers(task, settings, hardware)
        engine = next((offer.engine for offer in networks if offer.suits_auto), builtin.engine)
        settings = settings.model_copy(update={"engine": engine})
    if (
        isinstance(settings, AnimateSettings)
        and settings.engine == "liveportrait"
        and settings.faces == "auto"
    ):
        # Here: it loads OpenCV, which only this engine needs.
        from pipelines.animation.liveportrait.face_finder import faces_by

        settings = settings.model_copy(update={"faces": faces_by(settings)})
    return settings


def networks_of(settings: Settings) -> tuple[str, ...]:
    """The networks whose weights a run reads: its engine, what follows the object to remove, and what finds faces."""
    names = [settings.engine]
    if isinstance(settings, MaskSettings) and settings.follows:
        names.append(settings.tracker)
    if isinstance(settings, AnimateSettings) and (settings.engine, settings.faces) == (
        "liveportrait",
        _FACES,
    ):
        names.append(_FACES)
    return tuple(name for name in names if is_network(name))


def check_there(settings: Settings) -> None:
    """Raise WeightsMissing, or WeightsBroken, where a network of `settings` lacks what it reads."""
    for name in networks_of(settings):
        find(name, settings.weights)


def weights_of(settings: Settings) -> tuple[InputFile, ...]:
    """The weight files that the networks of `settings` read, known by their contents; none where all is built in.

    Raises WeightsMissing, WeightsBroken.
    """
    found = [
        path for name in networks_of(settings) for _, path in sorted(find(name, settings.weights).items())
    ]
    try:
        return tuple(InputFile.of(path) for path in found)
    except NotAVideo as error:
        raise WeightsBroken(error.message, error.hint) from error


def check_weights(settings: Settings, known: tuple[InputFile, ...]) -> None:
    """Raise InputChanged where the weights are not those that a job was started with, wherever they lie now."""
    contents = [(file.path.name, file.content) for file in known]
    if [(file.path.name, file.content) for file in weights_of(settings)] != contents:
        raise InputChanged(
            f"The weights of {_titles(settings)} have changed since this job was started.",
            "Start it again as a new job, or put the files back.",
        )


def _titles(settings: Settings) -> str:
    return " and ".join(PUBLISHED[name].title for name in networks_of(settings))
