"""Recognise videos whose frames are encrypted, which decoders call damaged."""

from contextlib import suppress
from pathlib import Path
from typing import Literal

import av.error
from av.packet import Packet
from av.video.stream import VideoStream

from memory.units import MIB
from pipelines.errors import UnsupportedVideo
from pipelines.video.files.demuxing import open_input, video_streams

_ENCRYPTED: Literal["encryption_info"] = "encryption_info"
"""Side data of packets that are encrypted by Common Encryption (ISO/IEC 23001-7)."""
_MARKS = {
    b"ftyp": (b"encv", b"drmi"),
    b"\x1a\x45\xdf\xa3": (b"\x50\x33\x81\x01",),
    b"\x30\x26\xb2\x75": (
        bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
        bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
    ),
}
"""By a file's first bytes, what its headers hold only if it is encrypted.

MP4: sample descriptions of Common Encryption and of Apple's FairPlay. Matroska: a ContentEncodingType of encryption
(RFC 9559, 5.1.4.1.31.3). ASF: the content encryption objects (specification 3.14 and 3.16).
"""
_HEADER_BYTES = 4 * MIB
"""Enough of each end of a file for the headers of several hours."""
_SYNC = 0x47
_TS_PACKET_BYTES = 188


def packet_is_encrypted(packet: "Packet[VideoStream]") -> bool:
    """Return whether a packet is marked as encrypted by Common Encryption."""
    return packet.has_sidedata(_ENCRYPTED)


def has_encrypted_packets(path: Path) -> bool:
    """Return whether any video packet is encrypted; the first seconds of rented videos often are not."""
    with open_input(path) as container, suppress(av.error.FFmpegError):
        return any(map(packet_is_encrypted, container.demux(video_streams(container)[0])))
    return False


def has_encrypted_headers(path: Path) -> bool:
    """Return whether the headers name an encrypted track, or the packets of a transport stream are scrambled."""
    with path.open("rb") as file:
        ends = file.read(_HEADER_BYTES)
        file.seek(max(0, path.stat().st_size - _HEADER_BYTES))
        ends += file.read(_HEADER_BYTES)
    marks = (mark for kind, found in _MARKS.items() if kind in ends[:8] for mark in found)
    return any(mark in ends for mark in marks) or _is_scrambled(ends[:_HEADER_BYTES])


def _is_scrambled(data: bytes) -> bool:
    """Return whether most packets of a transport stream have scrambling bits (ISO/IEC 13818-1, 2.4.3.3)."""
    packets = [data[at : at + 4] for at in range(0, len(data) - 3, _TS_PACKET_BYTES)]
    if not packets or any(packet[0] != _SYNC for packet in packets):
        return False
    scrambled = sum(packet[3] >> 6 != 0 for packet in packets)
    return scrambled * 2 > len(packets)


def encrypted(path: Path) -> UnsupportedVideo:
    """Return the error that refuses the video at `path`."""
    return UnsupportedVideo(
        f"{path} is encrypted (DRM): its frames cannot be decoded without the key.",
        "Give a copy without copy protection.",
        "video.encrypted",
        name=path.name,
    )
