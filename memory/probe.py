"""Probe the memory, devices and disk of the machine: total and free, now.

A container's limit counts as the machine's memory. Nothing here imports torch; where it is loaded, its readings
are used.
"""

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from memory.container import find_limits
from memory.devices import Device, NoDevice, find_devices
from memory.slices import slice_device
from memory.units import GIB, KIB

__all__ = [
    "Device",
    "Disk",
    "Hardware",
    "Host",
    "NoDevice",
    "probe_disk",
    "probe_hardware",
    "probe_host",
    "schedulable_cores",
]


@dataclass(frozen=True)
class Host:
    """Host memory: `total_bytes` is the machine's or the container's, whichever is smaller."""

    total_bytes: int
    available_bytes: int
    machine_bytes: int
    in_container: bool = False


@dataclass(frozen=True)
class Disk:
    """The file system that holds a path."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Hardware:
    """The probed hardware. `no_device_reason` is a sentence where `devices` is empty."""

    host: Host
    devices: tuple[Device, ...] = ()
    no_device_reason: NoDevice = field(default_factory=NoDevice)

    def device(self, index: int = 0) -> Device | None:
        """The visible device with this index, or None."""
        return next((device for device in self.devices if device.index == index), None)

    def limited(self, ram_limit_gb: float | None = None, vram_limit_gb: float | None = None) -> "Hardware":
        """The same hardware as if it had at most this much memory (GiB): a user's limits, as presets see them."""
        host, devices = self.host, self.devices
        if ram_limit_gb is not None:
            most = int(ram_limit_gb * GIB)
            host = replace(
                host,
                total_bytes=min(host.total_bytes, most),
                available_bytes=min(host.available_bytes, most),
            )
        if vram_limit_gb is not None:
            devices = tuple(device.limited(int(vram_limit_gb * GIB)) for device in devices)
        return replace(self, host=host, devices=devices)


def probe_host(root: Path = Path("/")) -> Host:
    """Probe host memory within every limit that the container and the groups above it set.

    Free memory is the least that any of them leaves: min(machine, limit) - used. `root` stands for `/`, so that tests
    can simulate machines in a folder.
    """
    machine, available = _machine(root)
    limits = find_limits(root)
    smallest = min((limit.limit_bytes for limit in limits), default=machine)
    free = min([available, *(limit.available_bytes for limit in limits)])
    return Host(min(machine, smallest), free, machine, in_container=smallest < machine)


def schedulable_cores() -> int:
    """Cores that this process may be scheduled on; a container's quota of CPU time is not taken into account."""
    # Only Linux has a call for the affinity.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def probe_disk(path: Path) -> Disk:
    """Probe the disk that contains `path`, which need not exist yet. Raises OSError."""
    path = path.absolute()
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(existing)
    return Disk(usage.total, usage.free)


def probe_hardware(
    root: Path = Path("/"),
    *,
    nvml: Any = None,
    environ: Mapping[str, str] = os.environ,
    own_pids: Collection[int] = (),
) -> Hardware:
    """Probe host and devices. Never raises because of a driver; takes some milliseconds.

    `nvml` stands for the module `pynvml` and `environ` for the process's environment. The device memory of `own_pids`,
    our processes besides this one, does not count as used by others. Where a GPU is lent call by call, it is the
    only device.
    """
    host = probe_host(root)
    if lent := slice_device(environ):
        return Hardware(host, (lent,))
    devices, reason = find_devices(
        host.total_bytes, host.available_bytes, nvml=nvml, environ=environ, own_pids=own_pids
    )
    return Hardware(host, devices, reason)


def _machine(root: Path) -> tuple[int, int]:
    """Total and available bytes of the whole machine."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:  # no Linux
        memory = psutil.virtual_memory()
        return memory.total, memory.available
    kib = {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in lines)}
    total = kib["MemTotal"]
    # Linux before 3.14 does not report MemAvailable.
    return total * KIB, kib.get("MemAvailable", kib["MemFree"]) * KIB
