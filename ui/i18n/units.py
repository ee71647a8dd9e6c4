"""Sizes and times for people, the same everywhere on the page."""

import math

from memory.units import GIB, KIB, MIB


def size(size_bytes: float) -> str:
    """Bytes for people: `12.3 GB`, `1.50 GB`, `640 MB`, `12 KB`.

    The units are those of 1024 by the names that Gradio and most file managers give them.
    """
    gb = abs(size_bytes) / GIB
    if gb >= 0.995:
        return f"{size_bytes / GIB:.1f} GB" if gb >= 10 else f"{size_bytes / GIB:.2f} GB"
    if 0 < abs(size_bytes) < 0.995 * MIB:
        return f"{math.ceil(size_bytes / KIB)} KB"
    return f"{size_bytes / MIB:.0f} MB"


def clock(seconds: float) -> str:
    """Seconds for people: `0:07`, `12:30`, `1:02:03`; below ten seconds with tenths: `3.2 s`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
