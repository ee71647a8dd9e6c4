"""How the samples of a frame are laid out: depth, chroma subsampling, transparency; and ffmpeg's names for it."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

Subsampling = Literal["420", "422", "444", "rgb", "gray"]

_DEPTHS = (8, 9, 10, 12, 14, 16)
_ALPHA_DEPTHS: dict[Subsampling, tuple[int, ...]] = {
    "420": (8, 9, 10, 16),
    "422": (8, 9, 10, 12, 16),
    "444": (8, 9, 10, 12, 16),
    "rgb": (8, 10, 12, 14, 16),
}
"""Depths for which ffmpeg has a planar format with an alpha channel; none beside gray."""
_NAMES: dict[Subsampling, str] = {
    "420": "yuv420p",
    "422": "yuv422p",
    "444": "yuv444p",
    "rgb": "gbrp",
    "gray": "gray",
}
_ALPHA_NAMES: dict[Subsampling, str] = {
    "420": "yuva420p",
    "422": "yuva422p",
    "444": "yuva444p",
    "rgb": "gbrap",
}
_SHARES: dict[tuple[int, int], Subsampling] = {(8, 8): "444", (4, 8): "422", (4, 4): "420"}
"""Subsampling by width and height of the chroma of 8x8 pixels."""


@dataclass(frozen=True)
class SampleLayout:
    """Arrangement of planar samples: `bits` in the low bits of uint8 or uint16, subsampled chroma, perhaps alpha."""

    bits: int
    subsampling: Subsampling
    alpha: bool = False

    @property
    def pixel_format(self) -> str:
        """Return ffmpeg's name of the format, little endian."""
        name = (_ALPHA_NAMES if self.alpha else _NAMES)[self.subsampling]
        return name if self.bits == 8 else f"{name}{self.bits}le"

    @property
    def bytes_per_pixel(self) -> float:
        """Return the bytes that one pixel takes in all planes; uint16 samples count two."""
        chroma = {"420": 0.5, "422": 1.0, "444": 2.0, "rgb": 2.0, "gray": 0.0}[self.subsampling]
        return (1 + chroma + self.alpha) * (1 if self.bits == 8 else 2)

    def turned(self) -> "SampleLayout":
        """Return the layout after a quarter turn: 4:2:2 becomes 4:4:4, its chroma repeated."""
        return SampleLayout(self.bits, "444", self.alpha) if self.subsampling == "422" else self

    def chroma_size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of a chroma plane of a picture of `width` x `height`."""
        across = 2 if self.subsampling in ("420", "422") else 1
        down = 2 if self.subsampling == "420" else 1
        return -(-width // across), -(-height // down)


def alpha_bits(bits: int) -> int:
    """Return the least depth from `bits` on that 4:4:4 with transparency can have."""
    return next(depth for depth in _ALPHA_DEPTHS["444"] if depth >= bits)


@cache
def layout_of(pixel_format: str) -> SampleLayout:
    """Return the planar layout that holds every sample of `pixel_format` (an ffmpeg name) unchanged.

    Exceptions: 4:1:1, 4:1:0 and 4:4:0 have their chroma brought to 4:4:4, palettes and floats become RGB.
    """
    from av.video.format import VideoFormat  # loads a decoder

    kind = VideoFormat(pixel_format, 8, 8)
    alpha = kind.has_palette or any(part.is_alpha for part in kind.components)
    subsampling: Subsampling
    if kind.is_rgb or kind.has_palette:
        subsampling = "rgb"
    elif len(kind.components) < 3:
        subsampling = "444" if alpha else "gray"
    else:
        chroma = kind.components[1]
        subsampling = _SHARES.get((chroma.width, chroma.height), "444")
    offered = _ALPHA_DEPTHS[subsampling] if alpha else _DEPTHS
    most = max(part.bits for part in kind.components)
    return SampleLayout(next((bits for bits in offered if bits >= most), 16), subsampling, alpha)


@cache
def is_planar(pixel_format: str) -> bool:
    """Whether a format already holds its samples as `layout_of` says: each in a plane of its own, in the low bits."""
    return pixel_format.replace("yuvj", "yuv") == layout_of(pixel_format).pixel_format
