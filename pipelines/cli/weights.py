"""The command `weights`: list published weights, accept their licences, download them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipelines.cli.console import Console
from pipelines.cli.licence import state_licence
from pipelines.errors import BadInput, FolderUnusable, WeightsMissing
from pipelines.storage.names import quoted
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.licences import consent_file, is_accepted
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
    """List published weights: which are installed, where, and their licence. With --fetch download those of MODEL.

    Args:
        model: propainter, qalign, liveportrait, insightface or sam2; default: all.
        fetch: Download what is missing, resuming an interrupted download. Accepts the licence.
        accept_licence: Accept the licence of MODEL, so that `auto` and visitors of the page may use it.
        weights: Look for and store weights in this folder only.
        json: Print one JSON object per line to stdout and nothing else.
    """
    from pipelines.doctor import weights_finding  # loads the decoders

    console = Console(json=json)
    if model and model not in PUBLISHED:
        raise BadInput(
            f"There are no weights called {quoted(model)}.", f"Choose one of {', '.join(PUBLISHED)}."
        )
    folder = weights.expanduser().absolute() if weights else None
    if fetch or accept_licence:
        if model is None:
            raise BadInput(
                "--fetch and --accept-licence need the name of a model.",
                f"Name one of {', '.join(PUBLISHED)}.",
            )
        state_licence(model, console)
        if accept_licence and not is_accepted(model):
            raise FolderUnusable(
                f"That the licence is accepted cannot be recorded in {consent_file()}.",
                "Make that place writable, or set LONGTAKE_CONFIG to a folder that is.",
            )
    if fetch and model:
        _fetch(model, folder, console)
    names = [model] if model else list(PUBLISHED)
    console.checkup([weights_finding(name, folder, needed=True) for name in names])


def _fetch(model: str, folder: Path | None, console: Console) -> None:
    from pipelines.weights.fetch import fetch

    if folder is None and _is_elsewhere(model):
        return
    with console.transfer() as progress:
        fetch(model, folder, progress, console.note)


def _is_elsewhere(model: str) -> bool:
    """Check whether the weights are installed outside our own folder, where we do not manage them."""
    try:
        return not all(path.is_relative_to(own_folder()) for path in find(model).values())
    except WeightsMissing:
        return False
