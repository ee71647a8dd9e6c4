"""Count the frames that a file really holds, and find when each is shown.

Container headers are often wrong, and a truncated file opens without an error. So all packets are read, and frames are
decoded where packets do not settle it. Every function here holds 8 bytes per frame.
"""

import re
from array import array
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from pipelines.errors import DamagedVideo
from pipelines.video import ffmpeg
from pipelines.video.decoding import iter_decoded
from pipelines.video.demuxing import open_input, video_stream
from pipelines.video.info import VideoInfo

_ONE_FRAME_A_PACKET = frozenset(
    {"h264", "hevc", "vp9", "av1", "prores", "ffv1", "mjpeg", "dnxhd", "mpeg4", "png", "huffyuv", "utvideo"}
)
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_MOST_COMPLAINTS = 3
"""Lines of ffmpeg that go into an error message."""
_IGNORED = ("[null @", "    Last message repeated")
"""Complaints of the null muxer about decoding times, which Matroska does not store and ffmpeg guesses badly."""
_PATIENCE_SECONDS = 60.0
_SLOWEST_BYTES_PER_SECOND = 4_000_000
"""Time limit of ffmpeg's pass over a file: a minute, plus what a slow network drive needs to read it."""


@dataclass(frozen=True)
class Count:
    """Frame count and sorted time stamps on the file's clock; `stamps` is None where the file has none."""

    frames: int
    stamps: "array[int] | None"
    time_base: Fraction
    last_stamps: int = 0
    hidden: int = 0
    damage: str | None = None


def complaints(info: VideoInfo) -> str | None:
    """Copy all packets to ffmpeg's null muxer and return its complaints, which mean damage; None for an intact file."""
    copy = [*ffmpeg.source(info.path), "-map", f"0:{info.stream_index}", "-c", "copy", "-f", "null", "-"]
    messages = ffmpeg.run(copy, timeout_seconds=_time_limit(info)).stderr
    lines = [
        _ADDRESS.sub("", line).strip() for line in messages.splitlines() if not line.startswith(_IGNORED)
    ]
    return "; ".join(lines[:_MOST_COMPLAINTS]) or None


def by_packets(info: VideoInfo) -> Count:
    """Count the packets that are shown. `stamps` is None unless each has a time of its own."""
    stamps, hidden, last, unknown = array("q"), 0, 0, 0
    with open_input(info.path) as container:
        stream = video_stream(container, info.stream_index)
        for packet in container.demux(stream):
            if packet.is_discard:
                hidden += 1
            elif packet.pts is not None:
                stamps.append(packet.pts)
                last = packet.duration or 0
            elif packet.size:
                unknown += 1
        time_base = stream.time_base or Fraction(1, 1_000_000)
    stamps = array("q", sorted(stamps))
    distinct = not unknown and _rise(stamps)
    return Count(len(stamps) + unknown, stamps if distinct else None, time_base, last, hidden)


def packets_tell(info: VideoInfo, count: Count) -> bool:
    """Whether packets settle the count: each shown packet is one frame with a time."""
    ordered = info.plain_container or (info.container == "mpegts" and info.codec in ("h264", "hevc"))
    return ordered and info.codec in _ONE_FRAME_A_PACKET and count.stamps is not None


def by_decoding(info: VideoInfo) -> Count:
    """Count frames by decoding them all; `damage` says where that failed. Raises UnsupportedVideo."""
    stamps, frames, last, time_base, damage = array("q"), 0, 0, Fraction(1, 1_000_000), None
    try:
        for _, frame in iter_decoded(replace(info, stamped=False)):
            frames += 1
            last, time_base = frame.duration or 0, frame.time_base or time_base
            if frame.pts is not None:
                stamps.append(frame.pts)
    except DamagedVideo as error:
        damage = error.message.removeprefix(f"{info.path} is damaged: ").rstrip(".")
    distinct = len(stamps) == frames and _rise(stamps)
    return Count(frames, stamps if distinct else None, time_base, last, damage=damage)


def by_salvaging(info: VideoInfo) -> Count:
    """Count the frames that ffmpeg recovers from a damaged file, decoding exactly as the salvaging reader does."""
    listing = ffmpeg.run(
        [
            *ffmpeg.decode(info.path, info.stream_index, salvage=True),
            "-c:v",
            "wrapped_avframe",
            "-f",
            "framecrc",
            "-",
        ],
        timeout_seconds=_time_limit(info),
    ).stdout
    stamps, time_base, last = array("q"), Fraction(1), 0
    for line in listing.splitlines():
        if line.startswith("#tb 0:"):
            time_base = Fraction(line.removeprefix("#tb 0:").strip())
        elif line and not line.startswith("#"):
            _, _, stamp, duration, *_ = line.split(",")
            stamps.append(int(stamp))
            last = int(duration)
    return Count(len(stamps), stamps if _rise(stamps) else None, time_base, last)


def _rise(stamps: "array[int]") -> bool:
    return len(stamps) > 0 and all(before < after for before, after in pairwise(stamps))


def _time_limit(info: VideoInfo) -> float:
    return _PATIENCE_SECONDS + info.path.stat().st_size / _SLOWEST_BYTES_PER_SECOND
