"""Raw frames as a Matroska stream, for a pipe into ffmpeg.

A rawvideo pipe carries no HDR metadata, and no option of ffmpeg adds any. Matroska's header does: ffmpeg hands it to
every frame and from there to the encoder and to the container of the result, whichever they are.
"""

import struct
from collections.abc import Mapping
from types import MappingProxyType

from pipelines.video.info import ContentLight, MasteringDisplay
from pipelines.video.samples.layout import SampleLayout, Subsampling

_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
"""Size of an element that lasts until the stream ends."""
_FOURCC: Mapping[Subsampling, bytes] = MappingProxyType(
    {"420": b"Y3\x0b", "422": b"Y3\x0a", "444": b"Y3\x00", "rgb": b"G3\x00"}
)
_ALPHA_FOURCC: Mapping[Subsampling, bytes] = MappingProxyType(
    {"420": b"Y4\x0b", "422": b"Y4\x0a", "444": b"Y4\x00", "rgb": b"G4\x00"}
)
"""First three characters of the code of a planar format; the fourth is the depth (`libavcodec/raw.c` of FFmpeg)."""
_CODES = {
    SampleLayout(8, "420"): b"I420",
    SampleLayout(8, "422"): b"Y42B",
    SampleLayout(8, "444"): b"444P",
    SampleLayout(8, "rgb"): b"G3\x00\x08",
    SampleLayout(8, "gray"): b"Y800",
    SampleLayout(16, "gray"): b"Y1\x00\x10",
}
"""Codes of 8 bits, which follow no rule, and of gray."""
_MASTERING_UNIT, _LUMINANCE_UNIT = 50_000, 10_000


def code_of(layout: SampleLayout) -> bytes:
    """Return the four characters that name `layout` in a stream of raw frames."""
    if code := _CODES.get(layout):
        return code
    if layout.subsampling == "gray":
        return b"Y1\x00" + bytes([layout.bits])
    return (_ALPHA_FOURCC if layout.alpha else _FOURCC)[layout.subsampling] + bytes([layout.bits])


def stream_header(
    width: int,
    height: int,
    layout: SampleLayout,
    mastering: MasteringDisplay | None,
    light: ContentLight | None,
) -> bytes:
    """Return what comes before the first frame: one video track, with its static HDR metadata."""
    told = light is not None and not light.half_known  # ffmpeg reads both or none.
    colour = _whole("55BC", light.max_cll) + _whole("55BD", light.max_fall) if light and told else b""
    if mastering:
        colour += _element("55D0", _mastering(mastering))
    video = (
        _whole("B0", width)
        + _whole("BA", height)
        + _element("2EB524", code_of(layout))
        + _element("55B0", colour)
    )
    track = _whole("D7", 1) + _whole("73C5", 1) + _whole("83", 1) + _element("86", b"V_UNCOMPRESSED")
    ebml = [_whole("4286", 1), _whole("42F7", 1), _whole("42F2", 4), _whole("42F3", 8)]
    ebml += [_element("4282", b"matroska"), _whole("4287", 4), _whole("4285", 2)]
    return b"".join(
        [
            _element("1A45DFA3", b"".join(ebml)),
            bytes.fromhex("18538067") + _UNKNOWN_SIZE,
            _element("1549A966", _whole("2AD7B1", 1_000_000)),
            _element("1654AE6B", _element("AE", track + _element("E0", video))),
        ]
    )


def frame_header(index: int, size_bytes: int) -> bytes:
    """Return what comes before the samples of frame `index`. Its time is its index: the rate is an option of ffmpeg."""
    block = bytes.fromhex("A3") + _size(size_bytes + 4) + b"\x81\0\0\x80"
    cluster = _whole("E7", index)
    return bytes.fromhex("1F43B675") + _size(len(cluster) + len(block) + size_bytes) + cluster + block


def _mastering(display: MasteringDisplay) -> bytes:
    points = (*(display.primaries or ()), *((display.white,) if display.white else ()))
    shares = [value / _MASTERING_UNIT for point in points for value in point]
    first = 0x55D1 if display.primaries else 0x55D7
    found = b"".join(_real(f"{first + at:X}", share) for at, share in enumerate(shares))
    if display.luminance:
        lowest, highest = (value / _LUMINANCE_UNIT for value in display.luminance)
        found += _real("55D9", highest) + _real("55DA", lowest)
    return found


def _element(identifier: str, data: bytes) -> bytes:
    return bytes.fromhex(identifier) + _size(len(data)) + data


def _size(length: int) -> bytes:
    """Write a length in the form that takes eight bytes."""
    return (length | 1 << 56).to_bytes(8, "big")


def _whole(identifier: str, number: int) -> bytes:
    return _element(identifier, number.to_bytes(8, "big"))


def _real(identifier: str, number: float) -> bytes:
    return _element(identifier, struct.pack(">d", number))
