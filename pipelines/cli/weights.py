"""The command `weights`: which published weights are there, and how others come; and what naming a network means."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipelines.cli.console import Console
from pipelines.cli.licence import state_licence
from pipelines.errors import BadInput, WeightsMissing
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.locate import find, own_folder


def weights(
    model: str | None = None,
    /,
    *,
    fetch: Annotated[bool, Parameter(negative="")] = False,
    accept_licence: Annotated[bool, Parameter(negative="")] = False,
    weights: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say which published weights are there, where, and under which licence; with --fetch download those of MODEL.

    Args:
        model: propainter, qalign, liveportrait, insightface or sam2; all of them where none is given.
        fetch: Download what is missing; what was interrupted goes on where it was. Accepts the licence.
        accept_licence: Accept the licence of MODEL; `auto` and visitors of a page may use it then.
        weights: Look and keep there, and nowhere else.
        json: One JSON object a line on stdout, and nothing else.
    """
    from pipelines.doctor import weights_finding  # here: it loads the decoders

    console = Console(json=json)
    if model and model not in PUBLISHED:
        raise BadInput(f"There are no weights called {model!r}.", f"There are {', '.join(PUBLISHED)}.")
    folder = weights.expanduser().absolute() if weights else None
    if fetch or accept_licence:
        if model is None:
            raise BadInput("Nothing says which weights are meant.", f"Name one of {', '.join(PUBLISHED)}.")
        state_licence(model, console)
    if fetch and model:
        _fetch(model, folder, console)
    names = [model] if model else list(PUBLISHED)
    console.checkup([weights_finding(name, folder, needed=True) for name in names])


def _fetch(model: str, folder: Path | None, console: Console) -> None:
    from pipelines.weights.fetch import fetch

    if folder is None and _is_elsewhere(model):
        return
    with console.transfer() as tell:
        fetch(model, folder, tell, console.note)


def _is_elsewhere(model: str) -> bool:
    """Whether the weights are there in a place that others take care of."""
    try:
        return not all(path.is_relative_to(own_folder()) for path in find(model).values())
    except WeightsMissing:
        return False
