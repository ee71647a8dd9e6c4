"""The device that networks compute on, as settings and hardware have it. One rule for engines, trackers and poses."""

from memory.compute import CPU, compute_device, is_on_host
from memory.devices import Device
from memory.probe import Hardware
from memory.units import GIB
from pipelines.errors import BadInput
from pipelines.settings.base import Machine

_AUTO = "auto"


def device_for(settings: Machine, hardware: Hardware) -> Device | None:
    """Return the device that a network computes on, with the memory that limit and preset allow; None is the CPU.

    Raises BadInput for a device that was asked for by name and is missing.
    """
    if asks_for_host(settings):
        return None
    device = hardware.limited(None, _limit_gb(settings)).device(asked_index(settings) or 0)
    if settings.device == _AUTO:
        return device
    kind = compute_device(settings.device).kind
    if device is None or device.kind != kind:
        names = ", ".join(f"{each.kind}:{each.index}" for each in hardware.devices)
        there = f"There are: {names}." if names else hardware.no_device_reason
        raise BadInput(
            f"There is no device {settings.device}. {there}".strip(),
            "Use `--device auto` to choose from what is available.",
            "device.missing",
            device=settings.device,
        )
    return device


def asks_for_host(settings: Machine) -> bool:
    """Tell whether the settings let networks compute on the processor, whatever the machine has."""
    return settings.preset == "none" or (settings.device != _AUTO and is_on_host(settings.device))


def asked_index(settings: Machine) -> int | None:
    """Return the index of the visible device that `--device` names, the first by default; None for the processor."""
    if settings.device == _AUTO:
        return 0
    asked = compute_device(settings.device)
    return None if asked.is_host else asked.index or 0


def device_limit_bytes(settings: Machine) -> int | None:
    """Return how much of a GPU's memory a run may use, by `--vram-limit-gb` and `--preset`; None for all of it."""
    limit = _limit_gb(settings)
    return None if limit is None else int(limit * GIB)


def torch_name(device: Device | None) -> str:
    """Return torch's name of `device`: `cuda:1`, `mps:0`, `cpu`."""
    return f"{device.kind}:{device.index}" if device else CPU


def _limit_gb(settings: Machine) -> float | None:
    """The smaller of the two limits, in GiB."""
    preset = settings.preset.removesuffix("gb") if settings.preset not in ("auto", "none") else None
    limits = [settings.vram_limit_gb, float(preset) if preset else None]
    return min((limit for limit in limits if limit is not None), default=None)
