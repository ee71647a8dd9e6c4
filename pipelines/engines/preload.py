"""Loading what jobs need before there is one, so that a job that comes only has to be opened."""

import importlib
import importlib.util
from contextlib import suppress

from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.spec import EngineSpec, all_engines
from pipelines.weights.locate import find

_MODULES = ("engine", "pipeline")
"""What the `open` of a spec imports from its own room, or from that of its task."""


def preload() -> None:
    """Import the decoders and all engines, and torch where the weights of a network are on this machine."""
    importlib.import_module("pipelines.video.probe")
    for spec in all_engines():
        room = spec.open.__module__.rpartition(".")[0]
        for name in (f"{each}.{module}" for each in (room, room.rpartition(".")[0]) for module in _MODULES):
            with suppress(ImportError, ValueError):  # the job that needs it says so
                if importlib.util.find_spec(name):
                    importlib.import_module(name)
    if any(map(_has_weights, all_engines())):
        importlib.import_module("torch")


def _has_weights(spec: EngineSpec) -> bool:
    if not (spec.network and spec.weights):
        return False
    try:
        return bool(find(spec.weights.model))
    except (WeightsMissing, WeightsBroken):
        return False
