"""The licence of published weights, stated before they are first used."""

import contextlib

from pipelines.cli.console import Console
from pipelines.engines.availability import check_there, is_network
from pipelines.settings import Settings
from pipelines.weights.licences import accept, is_accepted, notice


def prepare_engine(settings: Settings, console: Console) -> None:
    """A network that is asked for by name: are its weights there? Its licence is said. Raises WeightsMissing."""
    check_there(settings)
    if is_network(settings.engine):
        state_licence(settings.engine, console)


def state_licence(model: str, console: Console) -> None:
    """Say once under which licence weights are. Naming them is the user's act, so nobody is asked."""
    if not is_accepted(model):
        console.note(f"{notice(model)} (by naming them you accept that)")
        # Where it cannot be kept it is said again.
        with contextlib.suppress(OSError):
            accept(model)
