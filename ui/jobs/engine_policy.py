"""Which networks a visitor may use, and what they are told where they may not: an owner's folders are not for all."""

from contextlib import suppress

from pipelines.engines.availability import Resolved, SettingsT, auto_choice, models_of, offers, resolve
from pipelines.errors import LicenceNotAccepted, WeightsBroken, WeightsMissing
from pipelines.settings import Machine
from pipelines.spec import engine_spec
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find


def resolve_for(task: str, settings: SettingsT, *, local: bool) -> Resolved[SettingsT]:
    """Resolve `settings`; `local`: the server's owner asks, who is told where files are missing.

    Raises BadInput, WeightsMissing, WeightsBroken.
    """
    try:
        return resolve(task, settings)
    except (WeightsMissing, WeightsBroken):
        if not local:
            auto = settings.engine == "auto"
            engine = auto_choice(offers(task, settings)).spec if auto else engine_spec(task, settings.engine)
            meant = engine.resolve(settings.model_copy(update={"engine": engine.name}))
            for model in models_of(task, meant):
                check_model(model, settings, local=False)
        raise


def check_model(model: str, machine: Machine, *, local: bool) -> None:
    """Raise WeightsMissing or WeightsBroken where the files of one published model are not there or not whole."""
    try:
        find(model, machine.weights)
    except (WeightsMissing, WeightsBroken) as error:
        if local:
            raise
        raise WeightsMissing(
            f"This server has no weights of {PUBLISHED[model].title} that can be used.",
            "Choose another engine, or ask whoever runs the server.",
        ) from error


def take_note(model: str, *, local: bool) -> None:
    """Naming a network accepts its licence where whoever runs the server asks; visitors may use what that one accepted.

    Raises LicenceNotAccepted.
    """
    if licences.is_accepted(model):
        return
    if not local:
        raise LicenceNotAccepted(
            f"{licences.notice(model)}; whoever runs this server has not accepted it.",
            "Choose another engine, or ask them.",
        )
    with suppress(OSError):
        licences.accept(model)
