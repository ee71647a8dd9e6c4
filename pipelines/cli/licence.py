"""The licence notice of published weights, printed before they are first used."""

import contextlib

from pipelines.cli.console import Console
from pipelines.engines.availability import Resolved, SettingsT, resolve
from pipelines.weights.licences import accept, is_accepted, notice


def prepare_engine(task: str, settings: SettingsT, console: Console) -> Resolved[SettingsT]:
    """Resolve `settings` and print the licence of the network they name, if any. Raises the errors of `resolve`."""
    resolved = resolve(task, settings)
    if settings.engine != "auto" and resolved.engine.weights:
        state_licence(resolved.engine.weights.model, console)
    return resolved


def state_licence(model: str, console: Console) -> None:
    """Print the licence of weights once. Choosing them by name is the user's act, so there is no prompt."""
    if not is_accepted(model):
        console.note(f"{notice(model)} (by choosing them you accept it)")
        # If the acceptance cannot be saved, the notice is printed again next time.
        with contextlib.suppress(OSError):
            accept(model)
