"""Chooses a preset: from hardware, video, task and quality to settings, with the reason in one sentence.

Settings that change the result depend on the quality alone, never on the machine; settings that only change how the
result is computed depend on the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from memory.probe import Device, Hardware
from memory.units import GIB
from presets.tiers import Length, Quality, TaskPresets, Tiers, Value, VramTier, own_tiers

_PIXELS_1080P = 1920 * 1080
_LEAST_READ_AHEAD_FRAMES = 2

_PHRASES = {
    "analysis_width": "analyse at {} px width",
    "crf": "encode at CRF {}",
    "max_side_px": "compute at up to {} px",
    "most_pixels": "networks at up to {} pixels",
    "window_frames": "windows of {} frames",
    "batch_frames": "batches of {}",
    "precision": "{} precision",
    "span_frames": "spans of {} frames",
    "read_ahead_frames": "read {} frames ahead",
}


@dataclass(frozen=True)
class VideoFacts:
    """The facts about a video that a choice depends on: display size in pixels, frames, seconds."""

    width: int
    height: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class Choice:
    """The name of a preset, its settings, and the reason in one sentence.

    `vram_limit_gb` is the memory (GiB) of the GPU to emulate, if the user named one.
    """

    preset: str
    values: Mapping[str, Value]
    reason: str
    vram_limit_gb: float | None = None

    def number(self, name: str) -> int:
        """Return the integer setting `name`. Raises ValueError if it is not a number, KeyError if it is missing."""
        return int(self.values[name])


def choose(
    hardware: Hardware,
    video: VideoFacts,
    presets: TaskPresets,
    quality: str,
    preset: str = "auto",
    *,
    device_index: int | None = 0,
    network: bool = True,
    tiers: Tiers | None = None,
) -> Choice:
    """Choose among a task's `presets` for a video on this hardware, or on a GPU with the memory that `preset` names.

    `device_index` None means the CPU; without a `network` the settings for GPUs are left out. `tiers` has the tier
    boundaries (default: the program's own). Raises ValueError, listing the choices, for an unknown quality or preset.
    """
    table = tiers or own_tiers()
    _check(quality, get_args(Quality), "quality")
    _check(preset, ("auto", *get_args(VramTier)), "preset")
    device = None if device_index is None else hardware.device(device_index)
    named = preset != "auto"
    vram = preset if named else tier(table.vram, device.total_bytes if device else 0)
    host = tier(table.host, hardware.host.total_bytes)
    length = length_of(video.seconds)

    values: dict[str, Value] = {**presets.quality[quality].values(), **presets.length[length].values()}
    if network and presets.vram:
        values |= presets.vram[vram].values()
    values["read_ahead_frames"] = _read_ahead(presets.host[host].read_ahead_frames, video)

    facts = [
        _gpu(device, vram, named),
        _host(hardware.host.total_bytes / GIB),
        resolution_of(video),
        f"{video.seconds:.0f} s ({length})",
        f"quality {quality}",
    ]
    phrases = [_PHRASES[key].format(value) for key, value in values.items()]
    reason = f"{', '.join(facts)}: {', '.join(phrases)}."
    limit = float(vram.removesuffix("gb")) if named and vram != "none" else None
    return Choice(vram, values, reason[0].upper() + reason[1:], limit)


def tier(boundaries: Mapping[str, float], total_bytes: int) -> str:
    """Return the largest tier whose boundary (GiB) this amount of memory reaches."""
    reached = [name for name, gib in boundaries.items() if total_bytes >= gib * GIB]
    return max(reached, key=lambda name: boundaries[name])


def length_of(seconds: float) -> Length:
    """Return the length tier: short is below 30 s, long above 120 s."""
    if seconds < 30:
        return "short"
    return "medium" if seconds <= 120 else "long"


def resolution_of(video: VideoFacts) -> str:
    """Return the usual name of a frame size, such as `1080p`, also for portrait videos; or `1000x700`."""
    short, long = sorted((video.width, video.height))
    names = {480: "480p", 720: "720p", 1080: "1080p", 1440: "1440p", 2160: "4K"}
    is_wide = long * 9 in range(short * 15, short * 18)  # aspect ratios from 5:3 to just below 2:1
    return names[short] if is_wide and short in names else f"{video.width}x{video.height}"


def _read_ahead(frames: int, video: VideoFacts) -> int:
    """Return how many frames take the memory of `frames` in 1080p; not more than `frames`."""
    fitting = frames * _PIXELS_1080P // max(1, video.width * video.height)
    return max(_LEAST_READ_AHEAD_FRAMES, min(frames, fitting))


def _host(gib: float) -> str:
    return f"{gib:.0f} GiB host" if gib >= 10 else f"{gib:.1f} GiB host"


def _gpu(device: Device | None, vram: str, named: bool) -> str:
    if named:
        return (
            "without a GPU, as requested"
            if vram == "none"
            else f"as on a GPU with {vram.removesuffix('gb')} GB"
        )
    if device is None:
        return "no GPU"
    return f"{device.name} with {device.total_bytes / GIB:.1f} GiB (tier {vram})"


def _check(value: str, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
