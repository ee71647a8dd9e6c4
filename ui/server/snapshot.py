"""Snapshots of the machine and our processes, and their conversion into API models."""

import math
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from memory.devices import Device
from memory.meter import tree_bytes
from memory.probe import Disk, Hardware, probe_disk, probe_hardware, schedulable_cores
from presets.choose import tier
from presets.tiers import own_tiers
from ui.server import system_info


@dataclass(frozen=True)
class Snapshot:
    """The machine and our processes at one moment."""

    hardware: Hardware
    disk: Disk
    processes: tuple[system_info.ProcessNow, ...]

    def held(self, role: system_info.Role) -> int:
        """Host memory of our processes of one role, in bytes."""
        return sum(process.host_bytes for process in self.processes if process.role == role)

    @property
    def device_bytes(self) -> int:
        """Memory that our processes hold on all devices together."""
        return sum(ours_on(device) for device in self.hardware.devices)


def take_snapshot(jobs_dir: Path, workers: Collection[int]) -> Snapshot:
    """Probe the machine, this process and its children; about 4 ms, and 3 ms for each of our processes.

    Raises OSError where the disk cannot be probed.
    """
    page = os.getpid()
    memory = tree_bytes(page)
    worker_pids = set[int]().union(*(_tree(pid) for pid in workers if pid in memory))
    processes = tuple(
        system_info.ProcessNow(
            pid=pid,
            name=_name(pid),
            role="page" if pid == page else "worker" if pid in worker_pids else "other",
            host_bytes=size,
        )
        for pid, size in memory.items()
    )
    return Snapshot(probe_hardware(own_pids=memory.keys()), probe_disk(jobs_dir), processes)


def hardware_now(hardware: Hardware) -> system_info.HardwareNow:
    """The API model of the probed hardware."""
    return system_info.HardwareNow(
        host=system_info.HostNow.of(hardware.host),
        devices=tuple(
            system_info.DeviceNow(
                kind=device.kind,
                index=device.index,
                name=device.name,
                total_bytes=device.total_bytes,
                free_bytes=device.free_bytes,
                ours_bytes=ours_on(device),
                others_bytes=device.others_bytes,
                utilisation_percent=device.utilisation_percent,
            )
            for device in hardware.devices
        ),
        no_device_reason=str(hardware.no_device_reason),
        no_device_code=hardware.no_device_reason.code,
        no_device_detail=hardware.no_device_reason.detail,
        cores=usable_cores(),
    )


def ours_on(device: Device) -> int:
    """Memory that our processes hold on a device, in bytes."""
    return max(0, device.total_bytes - device.free_bytes - device.others_bytes)


def preset_now(hardware: Hardware) -> system_info.PresetNow:
    """The preset tiers of a machine."""
    table, device = own_tiers(), hardware.device()
    vram = tier(table.vram, device.total_bytes if device else 0)
    host = tier(table.host, hardware.host.total_bytes)
    card = f"The first GPU belongs to the tier {vram}" if device else "Without a GPU the tier is none"
    reason = f"{card}, the host to {host}; a video's size and length and the quality decide the rest."
    return system_info.PresetNow(vram=vram, host=host, reason=reason)


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: affinity and the container's quota (control groups, version 1 and 2)."""
    cores = schedulable_cores()
    group = root / "sys/fs/cgroup"
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        # No such file, or "max": no quota.
        with suppress(OSError, ValueError):
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            if quota > 0:
                cores = min(cores, math.ceil(quota / period))
    return cores


def _tree(pid: int) -> set[int]:
    try:
        root = psutil.Process(pid)
        return {root.pid, *(child.pid for child in root.children(recursive=True))}
    except psutil.Error:
        return set()


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""
