"""Sizes and times for people, the same everywhere on the page."""

from memory.units import GIB, KIB, MIB


def size(size_bytes: float) -> str:
    """Bytes for people: `1.5 GB`, `640 MB`, `12 KB`, with units of 1024 as Gradio and file managers have them."""
    for unit, name in ((GIB, "GB"), (MIB, "MB"), (KIB, "KB")):
        if abs(size_bytes) >= 0.9995 * unit:
            number = size_bytes / unit
            return f"{number:.1f} {name}" if unit == GIB else f"{number:.0f} {name}"
    return f"{size_bytes:.0f} B"


def clock(seconds: float) -> str:
    """Seconds for people: `0:07`, `12:30`, `1:02:03`; below ten seconds with tenths: `3.2 s`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
