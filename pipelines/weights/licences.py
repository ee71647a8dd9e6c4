"""Licences of weights that the user has accepted, stored in the user's configuration folder."""

import json
import os
import time
from pathlib import Path

from pipelines.storage.atomic import write_bytes
from pipelines.weights.catalog import PUBLISHED


def consent_file() -> Path:
    """The path of `licences.json`: in the folder that `LONGTAKE_CONFIG` names, by default in `~/.config/longtake`."""
    named, home = os.environ.get("LONGTAKE_CONFIG"), os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return (Path(named) if named else Path(home) / "longtake").expanduser().absolute() / "licences.json"


def is_accepted(model: str) -> bool:
    """Return whether the user has accepted the current licence of the weights of `model`."""
    known = _read().get(model)
    return isinstance(known, dict) and known.get("licence") == PUBLISHED[model].licence.name


def accept(model: str) -> None:
    """Record that the user accepts the licence of the weights of `model`. Raises OSError if it cannot be written."""
    kept = _read() | {model: {"licence": PUBLISHED[model].licence.name, "accepted": time.time()}}
    write_bytes(consent_file(), json.dumps(kept, indent=1).encode())


def notice(model: str) -> str:
    """Return the one line that is shown before the first use of the weights of `model`."""
    published = PUBLISHED[model]
    licence = published.licence
    return f"The weights of {published.title} are under the {licence.sentence}: {licence.address}"


def _read() -> dict[str, object]:
    try:
        kept = json.loads(consent_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
