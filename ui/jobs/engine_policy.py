"""Which networks a visitor may use, and what they are told where they may not: an owner's folders are not for all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipelines.engines.availability import Resolved, SettingsT, resolve
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
    with _told(engine_spec(task, settings.engine).title if settings.engine != "auto" else "", local):
        return resolve(task, settings)


def check_model(model: str, machine: Machine, *, local: bool) -> None:
    """The same of one model by its name."""
    with _told(PUBLISHED[model].title, local):
        find(model, machine.weights)


@contextmanager
def _told(title: str, local: bool) -> Iterator[None]:
    try:
        yield
    except (WeightsMissing, WeightsBroken) as error:
        if local:
            raise
        raise WeightsMissing(
            f"This server has no weights of {title} that can be used.",
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
