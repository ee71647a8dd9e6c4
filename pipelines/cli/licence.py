"""The licence of published weights, stated before they are first used."""

import contextlib

from pipelines.cli.console import Console
from pipelines.engines.availability import Resolved, SettingsT, resolve
from pipelines.weights.licences import accept, is_accepted, notice


def prepare_engine(task: str, settings: SettingsT, console: Console) -> Resolved[SettingsT]:
    """Resolve `settings`, and state the licence of a network that they name. Raises as `resolve` does."""
    resolved = resolve(task, settings)
    if settings.engine != "auto" and resolved.engine.weights:
        state_licence(resolved.engine.weights.model, console)
    return resolved


def state_licence(model: str, console: Console) -> None:
    """Say once under which licence weights are. Naming them is the user's act, so nobody is asked."""
    if not is_accepted(model):
        console.note(f"{notice(model)} (by naming them you accept that)")
        # Where it cannot be kept it is said again.
        with contextlib.suppress(OSError):
            accept(model)
