"""Which networks a visitor may use. Error messages that name the server's folders are for its owner alone."""

from contextlib import suppress

from pipelines.engines.availability import Resolved, SettingsT, auto_choice, models_of, offers, resolve
from pipelines.errors import LicenceNotAccepted, WeightsBroken, WeightsMissing
from pipelines.settings import Machine
from pipelines.spec import engine_spec
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find


def resolve_for(task: str, settings: SettingsT, *, local: bool) -> Resolved[SettingsT]:
    """Resolve engine, device and weights; `local`: for the server's owner, who may read where files are missing.

    Raises BadInput, WeightsMissing, WeightsBroken.
    """
    try:
        return resolve(task, settings)
    except (WeightsMissing, WeightsBroken):
        if not local:
            auto = settings.engine == "auto"
            engine = auto_choice(offers(task, settings)).spec if auto else engine_spec(task, settings.engine)
            resolved = engine.resolve(settings.model_copy(update={"engine": engine.name}))
            for model in models_of(task, resolved):
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
            "weights.server",
            title=PUBLISHED[model].title,
        ) from error


def accept_licence(model: str, *, local: bool) -> None:
    """Accept the licence of `model` where the server's owner names it; visitors may use what the owner accepted.

    Raises LicenceNotAccepted.
    """
    if licences.is_accepted(model):
        return
    if not local:
        raise LicenceNotAccepted(
            f"{licences.notice(model)}; whoever runs this server has not accepted it.",
            "Choose another engine, or ask them.",
            "licence.server",
            title=PUBLISHED[model].title,
        )
    with suppress(OSError):
        licences.accept(model)
