"""Where the program itself lies, and where it keeps what can be made again."""

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]
"""The folder that holds `pipelines` and `pyproject.toml`: child processes start there, so that imports resolve."""


def cache_folder() -> Path:
    """Return the folder of what can be fetched or computed again: `LONGTAKE_CACHE`, or else `~/.cache/longtake`."""
    named, caches = os.environ.get("LONGTAKE_CACHE"), os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(named) if named else Path(caches) / "longtake").expanduser().absolute()
