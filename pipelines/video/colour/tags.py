"""What colour tags say about transfer and matrix."""

from typing import Literal

from pipelines.video.info import ColourTags

Hdr = Literal["pq", "hlg"]

_HDR: dict[str | None, Hdr] = {"smpte2084": "pq", "arib-std-b67": "hlg"}
_RED_BLUE_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "bt2020nc": (0.2627, 0.0593),
    "bt2020c": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
}
"""Weights of red and blue in luma, by ffmpeg's names. Constant luminance is treated as the usual BT.2020."""
_BT601 = (0.299, 0.114)
"""Those of any other matrix, and of streams without a tag, as decoders assume."""


def hdr_kind(tags: ColourTags) -> Hdr | None:
    """Tell which HDR transfer is tagged; None for SDR."""
    return _HDR.get(tags.transfer)


def primaries_of(tags: ColourTags) -> str | None:
    """Return the tagged primaries; HDR without any has those of BT.2020."""
    return tags.primaries or ("bt2020" if hdr_kind(tags) else None)


def luma_weights(tags: ColourTags) -> tuple[float, float, float]:
    """Return the weights of red, green and blue in luma; HDR without a matrix has that of BT.2020."""
    default = _RED_BLUE_WEIGHTS["bt2020nc"] if hdr_kind(tags) and tags.matrix is None else _BT601
    red, blue = _RED_BLUE_WEIGHTS.get(tags.matrix or "", default)
    return red, 1 - red - blue, blue
