"""Check everything a run depends on, with advice where something is missing."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import imageio_ffmpeg
from pydantic import BaseModel, ConfigDict

from memory.probe import Hardware, probe_disk, probe_hardware
from memory.units import GIB
from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.licences import is_accepted
from pipelines.weights.locate import find, own_folder

_LOW_DISK_BYTES = 5 * GIB
"""Warn below this: the segments and the result of a long video can take more."""
_LOW_HOST_BYTES = 2 * GIB
"""Warn below this: plans leave as much to other programs (`memory.budget.host_reserve_bytes`)."""


class Finding(BaseModel):
    """One check: what was found, whether it is fine, and what to do where it is not.

    `missing`: something optional is not there; runs without it are fine.
    """

    model_config = ConfigDict(frozen=True)
    what: str
    found: str
    ok: bool
    advice: str = ""
    missing: bool = False


def examine(jobs_dir: Path, hardware: Hardware | None = None) -> list[Finding]:
    """Check Python, hardware, libraries, encoder, decoders, weights and disk, in this order. Takes about a second."""
    return list(_findings(jobs_dir, hardware or probe_hardware()))


def _findings(jobs_dir: Path, hardware: Hardware) -> Iterator[Finding]:
    python = platform.python_version_tuple()[:2]
    supported = ("3", "11") <= python <= ("3", "13")
    yield Finding(
        what="python",
        found=f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        ok=supported,
        advice="" if supported else "Use Python 3.11, 3.12 or 3.13.",
    )
    yield _host(hardware)
    yield from _devices(hardware)
    yield _torch()
    yield _ffmpeg()
    yield _decoders()
    yield from _weights()
    yield _disk(jobs_dir)


def _host(hardware: Hardware) -> Finding:
    host = hardware.host
    limit = (
        f", a container's limit on a machine of {host.machine_bytes / GIB:.0f} GiB"
        if host.in_container
        else ""
    )
    low = host.available_bytes < _LOW_HOST_BYTES
    return Finding(
        what="host",
        found=f"{host.available_bytes / GIB:.1f} GiB free of {host.total_bytes / GIB:.1f} GiB{limit}",
        ok=not low,
        advice="Close other programs; until then, runs are planned small." if low else "",
    )


def _devices(hardware: Hardware) -> Iterator[Finding]:
    for device in hardware.devices:
        others = f", {device.others_bytes / GIB:.1f} GiB held by others" if device.others_bytes else ""
        yield Finding(
            what=f"gpu {device.index}",
            found=f"{device.name}: {device.free_bytes / GIB:.1f} GiB free of "
            f"{device.total_bytes / GIB:.1f} GiB{others}",
            ok=True,
        )
    if not hardware.devices:
        yield Finding(
            what="gpu",
            found=hardware.no_device_reason,
            ok=True,
            missing=True,
            advice="The built-in engines do not need one.",
        )


def _torch() -> Finding:
    # From its metadata, because importing torch takes seconds and 200 MiB.
    if find_spec("torch") is None:
        return Finding(
            what="torch",
            found="not installed",
            ok=False,
            advice="Network engines need it: pip install -r requirements.txt.",
        )
    return Finding(what="torch", found=importlib.metadata.version("torch"), ok=True)


def _ffmpeg() -> Finding:
    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
        shown = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return Finding(
            what="ffmpeg",
            found=f"does not run ({error})",
            ok=False,
            advice="Reinstall it: pip install --force-reinstall imageio-ffmpeg.",
        )
    return Finding(what="ffmpeg", found=f"{shown.stdout.split(' Copyright')[0]} ({path})", ok=True)


def _decoders() -> Finding:
    found = [f"{name} {importlib.metadata.version(name)}" for name in ("av", "decord") if find_spec(name)]
    missing = find_spec("decord") is None
    return Finding(
        what="decoders",
        found=", ".join([*found, "ffmpeg pipe"]),
        ok=True,
        advice="decord has no wheel for this machine; PyAV reads every clip." if missing else "",
    )


def _weights() -> Iterator[Finding]:
    named = os.environ.get("LONGTAKE_WEIGHTS")
    missing_folder = named is not None and not Path(named).expanduser().is_dir()
    where = f"LONGTAKE_WEIGHTS is {named}" if named else "LONGTAKE_WEIGHTS is not set"
    yield Finding(
        what="weights",
        found=f"{where}, which is not a folder"
        if missing_folder
        else f"{where}; ours are kept in {own_folder()}",
        ok=not missing_folder,
        advice="Correct the path or unset it." if missing_folder else "",
    )
    for model in PUBLISHED:
        yield weights_finding(model)


def weights_finding(model: str, folder: Path | None = None, *, needed: bool = False) -> Finding:
    """Check whether the weights of `model` exist, where, and under which licence; `needed`: missing is a problem."""
    published = PUBLISHED[model]
    title, licence = published.title, published.licence.sentence
    try:
        files = find(model, folder)
    except WeightsMissing:
        into = f" --weights {folder}" if folder else ""
        return Finding(
            what=model,
            found=f"{title} is not installed; {_size(published.about_bytes)}, {licence}",
            ok=not needed,
            missing=not needed,
            advice=f"`python -m pipelines weights {model} --fetch{into}` downloads it from {published.origin}",
        )
    except WeightsBroken as error:
        return Finding(what=model, found=error.message, ok=False, advice=error.hint)
    accepted = "accepted" if is_accepted(model) else "not accepted yet"
    location = next(iter(files.values())).parent
    count = f"{len(files)} files" if len(files) > 1 else "1 file"
    return Finding(what=model, found=f"{title}, {count} ({licence}: {accepted}) in {location}", ok=True)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def _disk(jobs_dir: Path) -> Finding:
    disk = probe_disk(jobs_dir)
    low = disk.free_bytes < _LOW_DISK_BYTES
    return Finding(
        what="disk",
        found=f"{disk.free_bytes / GIB:.1f} GiB free for {jobs_dir}",
        ok=not low,
        advice="Free some space or choose another --jobs-dir." if low else "",
    )
