"""Hardware, video, task and quality -> settings, and the reason in one sentence.

What changes a result depends on the quality that was asked for, never on the machine; what only changes how
a result is reached depends on the machine.
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
    "precision": "{} numbers",
    "span_frames": "spans of {} frames",
    "read_ahead_frames": "read {} frames ahead",
}


@dataclass(frozen=True)
class VideoFacts:
    """What a choice needs to know of a video: size in pixels as shown, frames, seconds."""

    width: int
    height: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class Choice:
    """A preset's name, the settings that it stands for, and one sentence that says why.

    `vram_limit_gb` is the card (GiB) to behave as on, where the user named one.
    """

    preset: str
    values: Mapping[str, Value]
    reason: str
    vram_limit_gb: float | None = None

    def number(self, name: str) -> int:
        """The whole number called `name`. Raises ValueError where the value is none, KeyError where it is missing."""
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
    """Choose a task's `presets` for a video on this hardware, or as on a GPU with the memory that `preset` names.

    `device_index` None computes on the CPU; without a `network` what the GPU decides is left out. `tiers` has the
    boundaries (by default the program's own). Raises ValueError, with the choices, for an unknown quality or preset.
    """
    table = tiers or own_tiers()
    _check(quality, get_args(Quality), "quality")
    _check(preset, ("auto", *get_args(VramTier)), "preset")
    device = None if device_index is None else hardware.device(device_index)
    asked = preset != "auto"
    vram = preset if asked else tier(table.vram, device.total_bytes if device else 0)
    host = tier(table.host, hardware.host.total_bytes)
    length = length_of(video.seconds)

    values: dict[str, Value] = {**presets.quality[quality].values(), **presets.length[length].values()}
    if network and presets.vram:
        values |= presets.vram[vram].values()
    values["read_ahead_frames"] = _read_ahead(presets.host[host].read_ahead_frames, video)

    facts = [
        _card(device, vram, asked),
        _host(hardware.host.total_bytes / GIB),
        resolution_of(video),
        f"{video.seconds:.0f} s ({length})",
        f"quality {quality}",
    ]
    phrases = [_PHRASES[key].format(value) for key, value in values.items()]
    reason = f"{', '.join(facts)}: {', '.join(phrases)}."
    limit = float(vram.removesuffix("gb")) if asked and vram != "none" else None
    return Choice(vram, values, reason[0].upper() + reason[1:], limit)


def tier(boundaries: Mapping[str, float], total_bytes: int) -> str:
    """The largest tier whose boundary (GiB) a machine with this much memory reaches."""
    reached = [name for name, gib in boundaries.items() if total_bytes >= gib * GIB]
    return max(reached, key=lambda name: boundaries[name])


def length_of(seconds: float) -> Length:
    """Short is below 30 s, long above 120 s."""
    if seconds < 30:
        return "short"
    return "medium" if seconds <= 120 else "long"


def resolution_of(video: VideoFacts) -> str:
    """A frame's size in the words of the field, upright or lying: `1080p`; `1000x700` has no name."""
    short, long = sorted((video.width, video.height))
    names = {480: "480p", 720: "720p", 1080: "1080p", 1440: "1440p", 2160: "4K"}
    usual = long * 9 in range(short * 15, short * 18)
    return names[short] if usual and short in names else f"{video.width}x{video.height}"


def _read_ahead(frames: int, video: VideoFacts) -> int:
    """As many frames as hold the bytes of `frames` in 1080p, not more than that number."""
    fitting = frames * _PIXELS_1080P // max(1, video.width * video.height)
    return max(_LEAST_READ_AHEAD_FRAMES, min(frames, fitting))


def _host(gib: float) -> str:
    return f"{gib:.0f} GiB host" if gib >= 10 else f"{gib:.1f} GiB host"


def _card(device: Device | None, vram: str, asked: bool) -> str:
    if asked:
        return (
            "without a GPU, as asked" if vram == "none" else f"as on a card of {vram.removesuffix('gb')} GB"
        )
    if device is None:
        return "no GPU"
    return f"{device.name} with {device.total_bytes / GIB:.1f} GiB (tier {vram})"


def _check(value: str, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
