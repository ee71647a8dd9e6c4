"""Which licences of weights the user has taken note of, kept in their configuration. The words are the publishers'."""

import json
import os
import time
from pathlib import Path

from pipelines.storage.atomic import write_bytes
from pipelines.weights.catalog import PUBLISHED


def consent_file() -> Path:
    """Where it is kept: `licences.json` in the folder that `LONGTAKE_CONFIG` names, or in the user's own."""
    named, home = os.environ.get("LONGTAKE_CONFIG"), os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return (Path(named) if named else Path(home) / "longtake").expanduser().absolute() / "licences.json"


def is_accepted(model: str) -> bool:
    """Whether the user has accepted the licence that the weights of `model` are under today."""
    known = _read().get(model)
    return isinstance(known, dict) and known.get("licence") == PUBLISHED[model].licence.name


def accept(model: str) -> None:
    """Keep that the user accepts the licence of the weights of `model`. Raises OSError where it cannot be kept."""
    kept = _read() | {model: {"licence": PUBLISHED[model].licence.name, "accepted": time.time()}}
    write_bytes(consent_file(), json.dumps(kept, indent=1).encode())


def notice(model: str) -> str:
    """What the user has to know before the first use, in one line."""
    published = PUBLISHED[model]
    licence = published.licence
    return f"The weights of {published.title} are under the {licence.sentence}: {licence.address}"


def _read() -> dict[str, object]:
    try:
        kept = json.loads(consent_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
