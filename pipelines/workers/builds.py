"""What shapes a result besides the job itself: the builds of the programs that compute it, and the kind of device."""

import hashlib
import importlib.metadata
import platform
import subprocess
from contextlib import suppress

from memory.compute import CPU
from memory.devices import HIDDEN
from memory.probe import probe_hardware
from memory.slot import Slot
from pipelines.errors import Sentence
from pipelines.settings.base import Machine
from pipelines.settings.devices import asks_for_host, device_for, torch_name
from pipelines.storage.names import shortened
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.video.files import ffmpeg
from pipelines.workers.exchange import Card

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-contrib-python-headless",
    "pillow",
    "av",
    "decord",
    "onnxruntime",
)
"""Whatever makes, reads or changes pixels."""
_PROGRAM = ("pipelines", "memory", "presets")
ANY_DEVICE = ""


def builds() -> dict[str, str]:
    """Return the versions of the program, its libraries and ffmpeg, and the kind of processor. Reads the program."""
    found = {"longtake": _program(), "processor": platform.machine(), "ffmpeg": _ffmpeg()}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def device_of(settings: Machine) -> str:
    """Return the kind of device that a job with these settings computes on; `ANY_DEVICE` where it uses none."""
    if asks_for_host(settings):
        return ANY_DEVICE
    device = device_for(settings, probe_hardware())
    return device.name if device else CPU


def own_slot(device: str) -> tuple[str, Slot]:
    """Return the kind of the device that `--device` names here, and the slot at which it is the only one.

    Raises BadInput where there is no such device.
    """
    found = device_for(Machine(device=device), probe_hardware())
    if found is None:
        return CPU, Slot(torch_name(None), HIDDEN)
    return found.name, Slot(torch_name(found), found.alone)


def difference(here: Card, there: Card) -> Sentence | None:
    """Return why the results of a worker may differ from those of a run, `here` its card; None where they cannot."""
    for name in sorted({*here.builds, *there.builds}):
        ours, theirs = here.builds.get(name, "missing"), there.builds.get(name, "missing")
        if ours != theirs:
            return _differs(there.host, name, theirs, ours)
    if here.device not in (ANY_DEVICE, there.device):
        return _differs(there.host, "device", there.device, here.device)
    return None


def _differs(*found: str) -> Sentence:
    machine, what, there, here = map(shortened, found)
    return Sentence(
        f"The worker on {machine} is not used, because its results may differ: {what} is {there} there, and {here} "
        "here. --mixed-devices uses it.",
        "worker_differs",
        machine=machine,
        what=what,
        there=there,
        here=here,
    )


def _program() -> str:
    digest = hashlib.sha256()
    for room in _PROGRAM:
        for path in sorted((PROJECT_ROOT / room).rglob("*.py")):
            digest.update(path.relative_to(PROJECT_ROOT).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _ffmpeg() -> str:
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([ffmpeg.binary(), "-version"], capture_output=True, text=True, timeout=20)
        return said.stdout.partition("\n")[0]
    return "unknown"
