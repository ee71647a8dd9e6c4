"""Limits that a server sets on what its visitors give."""

from pipelines.errors import OverLimit


def check_pixels(width: int, height: int, most_pixels: int | None) -> None:
    """Raise OverLimit for a frame or picture of more than `most_pixels`; None is no limit."""
    if most_pixels is not None and width * height > most_pixels:
        size, most = width * height / 1e6, most_pixels / 1e6
        raise OverLimit(
            f"{width} × {height} ({size:.1f} megapixels) is more than {most:g} megapixels.",
            "Scale it down first.",
            "limit.pixels",
            width=width,
            height=height,
            most=round(most, 1),
        )
