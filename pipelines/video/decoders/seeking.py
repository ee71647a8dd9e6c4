"""Find where decoding can start and still give exactly the frames of decoding from the beginning.

Not every key frame of a container is such a position: with open groups of pictures and intra refresh, later frames
refer to earlier ones. So the packet itself is inspected.
"""

from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipelines.video.info import VideoInfo

Packets: TypeAlias = "Iterator[Packet[VideoStream]]"

_KEY_MEANS_CLEAN = frozenset(
    {"vp8", "vp9", "av1", "ffv1", "prores", "mjpeg", "dnxhd", "png", "huffyuv", "utvideo", "rawvideo"}
)
_H264_IDR = frozenset({5})
_HEVC_RANDOM_ACCESS = frozenset(range(16, 22))
_MOST_TRIES = 64
"""Key frames tried backwards from the target before decoding from the start instead."""


def enter(
    container: InputContainer, stream: VideoStream, info: VideoInfo, start: int
) -> tuple[int, Packets] | None:
    """Seek to a clean key frame at or before frame `start`.

    Returns its time stamp and the packets from there on; later frames with an earlier stamp must be dropped. None where
    there is none: then the container must be opened again and read from its beginning.
    """
    if not (info.stamped and info.plain_container) or info.hidden_frames:
        return None
    target, previous = info.timeline.stamp(start), None
    for _ in range(_MOST_TRIES):
        try:
            container.seek(target, stream=stream)
            packets = container.demux(stream)
            first = next(packets)
        except (av.error.FFmpegError, StopIteration):
            return None
        if first.pts is None or first.pts == previous:
            return None
        index = info.timeline.index(first.pts)
        if index is not None and index <= start and is_clean(first, info.codec, stream):
            return first.pts, chain([first], packets)
        target, previous = min(first.pts, target) - 1, first.pts
    return None


def is_clean(packet: "Packet[VideoStream]", codec: str, stream: VideoStream) -> bool:
    """Whether no frame shown at this packet's time or later refers to anything before it.

    H.264: an IDR picture, since a recovery point guarantees less. HEVC: any random access point, of which only the
    leading pictures, shown before it, refer back.
    """
    if not packet.is_keyframe:
        return False
    if codec in _KEY_MEANS_CLEAN:
        return True
    extradata = stream.codec_context.extradata or b""
    if codec == "h264":
        length_bytes = (extradata[4] & 3) + 1 if len(extradata) > 4 and extradata[0] == 1 else 0
        return any(unit & 0x1F in _H264_IDR for unit in _unit_headers(bytes(packet), length_bytes))
    if codec == "hevc":
        length_bytes = (extradata[21] & 3) + 1 if len(extradata) > 21 and extradata[0] == 1 else 0
        kinds = (unit >> 1 & 0x3F for unit in _unit_headers(bytes(packet), length_bytes))
        return any(kind in _HEVC_RANDOM_ACCESS for kind in kinds)
    return False


def _unit_headers(data: bytes, length_bytes: int) -> Iterator[int]:
    """Yield the first byte of each length-prefixed NAL unit of a packet; nothing for other packets."""
    at = 0
    while length_bytes and at + length_bytes < len(data):
        size = int.from_bytes(data[at : at + length_bytes], "big")
        yield data[at + length_bytes]
        at += length_bytes + size
