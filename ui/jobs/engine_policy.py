"""Which networks a visitor may use, and what they are told where they may not: an owner's folders are not for all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipelines.engines.availability import check_there, is_network
from pipelines.errors import LicenceNotAccepted, WeightsBroken, WeightsMissing
from pipelines.settings import Machine, Settings
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find


def check_engine(settings: Settings, *, local: bool) -> None:
    """Raise WeightsMissing or WeightsBroken where the engine lacks what it reads; `local`: its owner asks."""
    with _told(settings.engine, local):
        check_there(settings)


def check_model(model: str, machine: Machine, *, local: bool) -> None:
    """The same of one model by its name."""
    with _told(model, local):
        find(model, machine.weights)


@contextmanager
def _told(engine: str, local: bool) -> Iterator[None]:
    try:
        yield
    except (WeightsMissing, WeightsBroken) as error:
        if local:
            raise
        raise WeightsMissing(
            f"This server has no weights of {PUBLISHED[engine].title} that can be used.",
            "Choose another engine, or ask whoever runs the server.",
        ) from error


def take_note(engine: str, *, local: bool) -> None:
    """Naming a network accepts its licence where whoever runs the server asks; visitors may use what that one accepted.

    Raises LicenceNotAccepted.
    """
    if not is_network(engine) or licences.is_accepted(engine):
        return
    if not local:
        raise LicenceNotAccepted(
            f"{licences.notice(engine)}; whoever runs this server has not accepted it.",
            "Choose another engine, or ask them.",
        )
    with suppress(OSError):
        licences.accept(engine)
