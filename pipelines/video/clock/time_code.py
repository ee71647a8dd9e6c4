"""Format times in a video for people."""


def time_code(seconds: float) -> str:
    """Format a time to the millisecond: `0:01.042`, or `1:02:03.500` from an hour on."""
    sign = "-" if seconds < 0 else ""
    total_ms = round(1000 * abs(seconds))
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{clock}:{rest_ms // 1000:02d}.{rest_ms % 1000:03d}"


def time_range(start_seconds: float, stop_seconds: float) -> str:
    """Format a stretch of a video: `0:01.042 – 0:02.000`."""
    return f"{time_code(start_seconds)} – {time_code(stop_seconds)}"
