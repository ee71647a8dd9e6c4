"""The device that a network computes on."""

from memory.devices import Device
from memory.probe import Hardware
from pipelines.errors import BadInput
from pipelines.settings import Machine


def device_for(settings: Machine, hardware: Hardware) -> Device | None:
    """What a network computes on, with no more memory than limit and preset allow; None is the CPU.

    Raises BadInput for a device that is asked for by name and is not there.
    """
    if settings.device == "cpu" or settings.preset == "none":
        return None
    preset = float(settings.preset.removesuffix("gb")) if settings.preset != "auto" else None
    limits = [gb for gb in (settings.vram_limit_gb, preset) if gb is not None]
    kind, _, index = settings.device.partition(":")
    device = hardware.limited(None, min(limits, default=None)).device(int(index or 0))
    if kind == "auto":
        return device
    if device is None or device.kind != kind:
        names = ", ".join(f"{each.kind}:{each.index}" for each in hardware.devices)
        there = f"There are: {names}." if names else hardware.no_device_reason
        raise BadInput(
            f"There is no device {settings.device}. {there}", "`--device auto` takes what is there."
        )
    return device
