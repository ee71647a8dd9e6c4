"""Colour tags, by ffmpeg's names, and what they say about transfer and matrix."""

from typing import Literal, Protocol

Hdr = Literal["pq", "hlg"]

_HDR: dict[str, Hdr] = {"smpte2084": "pq", "arib-std-b67": "hlg"}


class Tags(Protocol):
    """Colour tags of a stream; None where it has none."""

    @property
    def range(self) -> str | None: ...  # noqa: D102
    @property
    def matrix(self) -> str | None: ...  # noqa: D102
    @property
    def primaries(self) -> str | None: ...  # noqa: D102
    @property
    def transfer(self) -> str | None: ...  # noqa: D102


def hdr_kind(tags: Tags) -> Hdr | None:
    """Tell which HDR transfer is tagged; None for SDR."""
    return _HDR.get(tags.transfer or "")
