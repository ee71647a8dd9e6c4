"""Check everything a run depends on, with advice where something is missing."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import imageio_ffmpeg
from pydantic import BaseModel, ConfigDict

from memory.probe import Hardware, probe_disk, probe_hardware
from memory.units import GIB
from pipelines.errors import Sentence, Value, WeightsBroken, WeightsMissing
from pipelines.weights.catalog import PUBLISHED
from pipelines.weights.licences import is_accepted
from pipelines.weights.locate import find, own_folder

_LOW_DISK_BYTES = 5 * GIB
"""Warn below this: the segments and the result of a long video can take more."""
_LOW_HOST_BYTES = 2 * GIB
"""Warn below this: plans leave as much to other programs (`memory.budget.host_reserve_bytes`)."""


class Finding(BaseModel):
    """One check: what was found, whether it is fine, and what to do where it is not.

    `missing`: something optional is not there; runs without it are fine. `key` and `advice_key` with `values` are what
    others say the same by in their words; they are empty where what was found is a name.
    """

    model_config = ConfigDict(frozen=True)
    what: str
    found: str
    ok: bool
    advice: str = ""
    missing: bool = False
    key: str = ""
    advice_key: str = ""
    values: Mapping[str, Value] = {}

    @classmethod
    def of(cls, what: str, found: Sentence, advice: Sentence | None = None, **more: bool) -> Self:
        """Make the finding with the keys and values of its sentences; `more` are `ok`, by default so, and `missing`."""
        return cls(
            what=what,
            found=str(found),
            advice=str(advice or ""),
            key=found.key,
            advice_key=advice.key if advice else "",
            values={**found.values, **(advice.values if advice else {})},
            **{"ok": True, **more},
        )


def examine(jobs_dir: Path, hardware: Hardware | None = None) -> list[Finding]:
    """Check Python, hardware, libraries, encoder, decoders, weights and disk, in this order. Takes about a second."""
    return list(_findings(jobs_dir, hardware or probe_hardware()))


def _findings(jobs_dir: Path, hardware: Hardware) -> Iterator[Finding]:
    yield _python()
    yield _host(hardware)
    yield from _devices(hardware)
    yield _torch()
    yield _ffmpeg()
    yield _decoders()
    yield from _weights()
    yield _disk(jobs_dir)


def _python() -> Finding:
    python = platform.python_version_tuple()[:2]
    supported = ("3", "11") <= python <= ("3", "13")
    version, cores = platform.python_version(), os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}"
    found = Sentence(
        f"{version} on {system}, {cores} cores", "python", version=version, system=system, cores=cores
    )
    advice = Sentence("Use Python 3.11, 3.12 or 3.13.", "python.advice")
    return Finding.of("python", found, None if supported else advice, ok=supported)


def _host(hardware: Hardware) -> Finding:
    host = hardware.host
    text = f"{host.available_bytes / GIB:.1f} GiB free of {host.total_bytes / GIB:.1f} GiB"
    sizes = {"free_bytes": host.available_bytes, "total_bytes": host.total_bytes}
    found = Sentence(text, "host", **sizes)
    if host.in_container:
        found = Sentence(
            f"{text}, a container's limit on a machine of {host.machine_bytes / GIB:.0f} GiB",
            "host.container",
            machine_bytes=host.machine_bytes,
            **sizes,
        )
    if host.available_bytes >= _LOW_HOST_BYTES:
        return Finding.of("host", found)
    advice = Sentence("Close other programs; until then, runs are planned small.", "host.advice")
    return Finding.of("host", found, advice, ok=False)


def _devices(hardware: Hardware) -> Iterator[Finding]:
    for device in hardware.devices:
        text = f"{device.name}: {device.free_bytes / GIB:.1f} GiB free of {device.total_bytes / GIB:.1f} GiB"
        sizes = {"free_bytes": device.free_bytes, "total_bytes": device.total_bytes}
        found = Sentence(text, "gpu", name=device.name, **sizes)
        if others := device.others_bytes:
            text = f"{text}, {others / GIB:.1f} GiB held by others"
            found = Sentence(text, "gpu.others", name=device.name, others_bytes=others, **sizes)
        yield Finding.of(f"gpu {device.index}", found)
    if not hardware.devices:
        reason = hardware.no_device_reason
        key = f"gpu.none.{reason.code or 'other'}"
        found = Sentence(reason, key, detail=reason.detail)
        advice = Sentence("The built-in engines do not need one.", "gpu.advice")
        yield Finding.of("gpu", found, advice, missing=True)


def _torch() -> Finding:
    # From its metadata, because importing torch takes seconds and 200 MiB.
    if find_spec("torch") is None:
        advice = Sentence("Network engines need it: pip install -r requirements.txt.", "torch.advice")
        return Finding.of("torch", Sentence("not installed", "torch.missing"), advice, ok=False)
    return Finding.of("torch", Sentence(importlib.metadata.version("torch")))


def _ffmpeg() -> Finding:
    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
        shown = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        reason = str(error)
        found = Sentence(f"does not run ({reason})", "ffmpeg.broken", reason=reason)
        advice = Sentence("Reinstall it: pip install --force-reinstall imageio-ffmpeg.", "ffmpeg.advice")
        return Finding.of("ffmpeg", found, advice, ok=False)
    return Finding.of("ffmpeg", Sentence(f"{shown.stdout.split(' Copyright')[0]} ({path})"))


def _decoders() -> Finding:
    names = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("av", "decord") if find_spec(name)
    )
    found = Sentence(f"{names}, ffmpeg pipe", "decoders", names=names)
    if find_spec("decord"):
        return Finding.of("decoders", found)
    advice = Sentence("decord has no wheel for this machine; PyAV reads every clip.", "decoders.advice")
    return Finding.of("decoders", found, advice)


def _weights() -> Iterator[Finding]:
    named, folder = os.environ.get("LONGTAKE_WEIGHTS"), str(own_folder())
    if named is None:
        found = Sentence(
            f"LONGTAKE_WEIGHTS is not set; ours are kept in {folder}", "weights.unset", folder=folder
        )
        yield Finding.of("weights", found)
    elif Path(named).expanduser().is_dir():
        words = f"LONGTAKE_WEIGHTS is {named}; ours are kept in {folder}"
        yield Finding.of("weights", Sentence(words, "weights.set", named=named, folder=folder))
    else:
        words = f"LONGTAKE_WEIGHTS is {named}, which is not a folder"
        advice = Sentence("Correct the path or unset it.", "weights.advice")
        yield Finding.of("weights", Sentence(words, "weights.not_a_folder", named=named), advice, ok=False)
    for model in PUBLISHED:
        yield weights_finding(model)


def weights_finding(model: str, folder: Path | None = None, *, needed: bool = False) -> Finding:
    """Check whether the weights of `model` exist, where, and under which licence; `needed`: missing is a problem."""
    published = PUBLISHED[model]
    title, licence = published.title, published.licence
    fetch = f"python -m pipelines weights {model} --fetch{f' --weights {folder}' if folder else ''}"
    use = "licence.commercial" if licence.commercial else "licence.non_commercial"
    values: dict[str, Value] = {"title": title, "licence": licence.name, "use_key": use}
    try:
        files = find(model, folder)
    except WeightsMissing:
        size = _size(published.about_bytes)
        words = f"{title} is not installed; {size}, {licence.sentence}"
        found = Sentence(words, "model.missing", size=size, **values)
        advice = Sentence(
            f"`{fetch}` downloads it from {published.origin}",
            "model.fetch",
            command=fetch,
            origin=published.origin,
        )
        return Finding.of(model, found, advice, ok=not needed, missing=not needed)
    except WeightsBroken as error:
        found = Sentence(error.message, "model.broken", title=title)
        return Finding.of(model, found, Sentence(error.hint, "model.again", command=fetch), ok=False)
    accepted, location = is_accepted(model), str(next(iter(files.values())).parent)
    count = f"{len(files)} files" if len(files) > 1 else "1 file"
    state = "accepted" if accepted else "not accepted yet"
    found = Sentence(
        f"{title}, {count} ({licence.sentence}: {state}) in {location}",
        "model.found",
        files=len(files),
        state_key="licence.accepted" if accepted else "licence.not_accepted",
        folder=location,
        **values,
    )
    return Finding.of(model, found)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def _disk(jobs_dir: Path) -> Finding:
    free_bytes, folder = probe_disk(jobs_dir).free_bytes, str(jobs_dir)
    words = f"{free_bytes / GIB:.1f} GiB free for {folder}"
    found = Sentence(words, "disk", free_bytes=free_bytes, folder=folder)
    if free_bytes >= _LOW_DISK_BYTES:
        return Finding.of("disk", found)
    advice = Sentence("Free some space or choose another --jobs-dir.", "disk.advice")
    return Finding.of("disk", found, advice, ok=False)
