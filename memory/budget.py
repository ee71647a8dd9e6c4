"""The memory that a run may use: what is free, less a reserve, within the user's limits."""

from dataclasses import dataclass, replace
from typing import Self

from memory.probe import Disk, Hardware
from memory.units import GIB


@dataclass(frozen=True)
class Budget:
    """The memory and disk that a run may use, without the reserve. Limits are the user's, for messages.

    `unified`: the device uses the host's memory, so both loads share the host's bytes.
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
        held_device_bytes: int = 0,
    ) -> Self:
        """Compute the budget on this hardware within the user's limits (GiB).

        `held_bytes` is what our processes already use on the host: it counts towards a run's cost but is no longer
        free; `held_device_bytes` is what processes of our other jobs use on the device. `device_index` None computes on
        the CPU. A tenth of a user's limit is kept in reserve; on the machine itself, where other programs need memory
        too, `host_reserve_bytes`.
        """
        host = hardware.host
        host_bytes = max(0, host.available_bytes + held_bytes - host_reserve_bytes(host.total_bytes))
        ram_limit = None if ram_limit_gb is None else int(ram_limit_gb * GIB)
        if ram_limit is not None:
            host_bytes = min(host_bytes, within_limit(ram_limit))
        device = None if device_index is None else hardware.device(device_index)
        device_bytes, vram_limit = 0, None if vram_limit_gb is None else int(vram_limit_gb * GIB)
        if device is not None:
            ours_bytes = min(device.total_bytes, device.available_bytes + held_device_bytes)
            device_bytes = max(0, ours_bytes - device.total_bytes // 10)
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

    def less(
        self, host_bytes: int, device_bytes: int, disk_bytes: int, ram_limit_gb: float | None = None
    ) -> Self:
        """Return what is left where others have taken so much of it; a limit of theirs holds for all together."""
        host = self.host_bytes
        if ram_limit_gb is not None:
            host = min(host, within_limit(int(ram_limit_gb * GIB)))
        return replace(
            self,
            host_bytes=max(0, host - host_bytes - (device_bytes if self.unified else 0)),
            device_bytes=max(0, self.device_bytes - device_bytes),
            disk_bytes=None if self.disk_bytes is None else max(0, self.disk_bytes - disk_bytes),
        )


def host_reserve_bytes(total_bytes: int) -> int:
    """Host memory left to other programs: a tenth but at least 2 GiB, and at most a quarter."""
    return min(max(total_bytes // 10, 2 * GIB), total_bytes // 4)


def within_limit(limit_bytes: int) -> int:
    """Memory to plan with under a user's limit: 90 %, where the watch over the limit starts to act."""
    return limit_bytes - limit_bytes // 10
