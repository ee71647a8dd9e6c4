"""Where decoding can begin and still give the very frames of a decoder that began at the start.

A container's key frame is not always such a place: with open groups and intra refresh, frames after it refer to
frames before it. So the packet itself is looked at.
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


def enter(
    container: InputContainer, stream: VideoStream, info: VideoInfo, start: int
) -> tuple[int, Packets] | None:
    """Go to a clean key frame at or before frame `start`.

    Returns its stamp and the packets from there; frames with an earlier stamp that come after it are to be
    dropped. None where there is no safe place: then the container must be opened again and read from its start.
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

    H.264: an IDR picture (a recovery point promises less). HEVC: any random access point, of which only the
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
    """First byte of each NAL unit of a packet whose units carry their length; nothing where they do not."""
    at = 0
    while length_bytes and at + length_bytes < len(data):
        size = int.from_bytes(data[at : at + length_bytes], "big")
        yield data[at + length_bytes]
        at += length_bytes + size
