"""What a run may hold: what is free, less the reserve, within the user's limits."""

from dataclasses import dataclass
from typing import Self

from memory.probe import Disk, Hardware
from memory.units import GIB


@dataclass(frozen=True)
class Budget:
    """What a run may hold, after the reserve. Limits are the user's, if any; reasons quote them.

    `unified`: the device's memory is the host's, so both loads share the host's bytes.
    """

    host_bytes: int
    device_bytes: int = 0
    disk_bytes: int | None = None
    unified: bool = False
    ram_limit_bytes: int | None = None
    vram_limit_bytes: int | None = None

    @classmethod
    def of(
        cls,
        hardware: Hardware,
        disk: Disk | None = None,
        *,
        device_index: int | None = 0,
        ram_limit_gb: float | None = None,
        vram_limit_gb: float | None = None,
        held_bytes: int = 0,
    ) -> Self:
        """The budget on this hardware, or on one with as much memory as the limits (GiB) say.

        `held_bytes` is what our processes hold on the host already: it is part of what a run costs, and not
        free any more. `device_index` None computes on the CPU. A limit is for our processes alone, so a
        tenth of it is reserve enough; on the machine itself others need room too.
        """
        host = hardware.host
        host_bytes = max(0, host.available_bytes + held_bytes - host_reserve_bytes(host.total_bytes))
        ram_limit = None if ram_limit_gb is None else int(ram_limit_gb * GIB)
        if ram_limit is not None:
            host_bytes = min(host_bytes, within_limit(ram_limit))
        device = None if device_index is None else hardware.device(device_index)
        device_bytes, vram_limit = 0, None if vram_limit_gb is None else int(vram_limit_gb * GIB)
        if device is not None:
            device_bytes = max(0, device.available_bytes - device.total_bytes // 10)
            if vram_limit is not None:
                device_bytes = min(device_bytes, within_limit(vram_limit))
        return cls(
            host_bytes,
            device_bytes,
            None if disk is None else max(0, disk.free_bytes - min(GIB, disk.free_bytes // 10)),
            device is not None and device.shares_host,
            ram_limit,
            vram_limit,
        )


def host_reserve_bytes(total_bytes: int) -> int:
    """What is left to everyone else: a tenth or 2 GiB, the larger, but no more than a quarter."""
    return min(max(total_bytes // 10, 2 * GIB), total_bytes // 4)


def within_limit(limit_bytes: int) -> int:
    """What is planned to within a user's limit: up to where the watch over it begins to act."""
    return limit_bytes - limit_bytes // 10
