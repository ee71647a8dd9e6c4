"""Count the frames that a file really holds, and find when each is shown.

Container headers are often wrong, and a truncated file opens without an error. So all packets are read, and frames are
decoded where packets do not settle it. Every function here holds 8 bytes per frame.
"""

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from math import ceil

from pipelines.errors import DamagedVideo, Value
from pipelines.video.clock.clock_repair import JUMP_SECONDS, Repair, repair
from pipelines.video.decoders.decoding import complaint, iter_decoded
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import open_input, video_stream
from pipelines.video.info import Damage, VideoInfo
from pipelines.video.tracks import sound

_ONE_FRAME_A_PACKET = frozenset(
    {"h264", "hevc", "vp9", "av1", "prores", "ffv1", "mjpeg", "dnxhd", "mpeg4", "png", "huffyuv", "utvideo"}
)
BROADCAST = ("mpegts", "mpeg")
"""Containers whose clock starts anywhere and may jump."""
_WITHOUT_TIMES = ("avi",)
"""Containers that only number their frames: a decoder's stamps for some of them are guesses."""
_MOST_REORDERED = 16
"""Frames that H.264 and HEVC may show before one that is stored earlier."""
_OVERLAP_SECONDS = Fraction(1, 10)
"""Sound that outlasts its picture by less is the usual last packet, which is written without a gap instead."""
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_PRINTED_STAMP = re.compile(r"^frame:\d+ +pts:(-?\d+|NOPTS)", re.MULTILINE)
_MOST_COMPLAINTS = 3
"""Lines of ffmpeg that go into an error message."""
_IGNORED = ("[null @", "    Last message repeated")
"""Complaints of the null muxer about decoding times, which Matroska does not store and ffmpeg guesses badly."""
_PATIENCE_SECONDS = 60.0
_SLOWEST_BYTES_PER_SECOND = 4_000_000
"""Time limit of ffmpeg's pass over a file: a minute, plus what a slow network drive needs to read it."""


@dataclass(frozen=True)
class Count:
    """Frame count and rising time stamps on the file's clock; `stamps` is None where the file has none.

    `repair` says what was changed to make them rise; then frames cannot be identified by their stamps.
    """

    frames: int
    stamps: "array[int] | None"
    time_base: Fraction
    last_stamps: int = 0
    hidden: int = 0
    damage: Damage | None = None
    repair: Repair | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was repaired."""
        return self.repair.sentences(self.time_base) if self.repair else ()

    @property
    def clock_shifts(self) -> tuple[Fraction, ...]:
        """Seconds to add to the file's clock after each of its restarts."""
        return tuple(item.shift * self.time_base for item in self.repair.restarts) if self.repair else ()


def complaints(info: VideoInfo) -> Damage | None:
    """Copy all packets to ffmpeg's null muxer and return its complaints, which mean damage; None for an intact file."""
    copy = [*ffmpeg.source(info.path), "-map", f"0:{info.stream_index}", "-c", "copy", "-f", "null", "-"]
    messages = ffmpeg.run(copy, timeout_seconds=_time_limit(info)).stderr
    lines = [
        _ADDRESS.sub("", line).strip() for line in messages.splitlines() if not line.startswith(_IGNORED)
    ]
    return complaint("; ".join(lines[:_MOST_COMPLAINTS])) if lines else None


def by_packets(info: VideoInfo) -> Count:
    """Count the packets that are shown. `stamps` is None unless each has a time of its own."""
    stamps, hidden, last, unknown, order = array("q"), 0, 0, 0, _Order()
    with open_input(info.path) as container:
        stream = video_stream(container, info.stream_index)
        for packet in container.demux(stream):
            if packet.is_discard:
                hidden += 1
            elif packet.pts is not None:
                stamps.append(packet.pts)
                order.see(packet.pts)
                last = packet.duration or 0
            elif packet.size:
                unknown += 1
        time_base = stream.time_base or Fraction(1, 1_000_000)
    stamps = array("q", sorted(stamps))
    if info.container in BROADCAST and _jumps(stamps, time_base):
        order.broken = True
    distinct = not unknown and not order.broken and _rise(stamps)
    return Count(len(stamps) + unknown, stamps if distinct else None, time_base, last, hidden)


def packets_tell(info: VideoInfo, count: Count) -> bool:
    """Whether packets settle the count: each shown packet is one frame with a time."""
    ordered = info.plain_container or (info.container == "mpegts" and info.codec in ("h264", "hevc"))
    return ordered and info.codec in _ONE_FRAME_A_PACKET and count.stamps is not None


def by_decoding(info: VideoInfo) -> Count:
    """Count frames by decoding them all; `damage` says where that failed. Raises UnsupportedVideo."""
    stamps: list[int | None] = []
    last, time_base = 0, Fraction(1, 1_000_000)
    damage: Damage | None = None
    try:
        for _, frame in iter_decoded(replace(info, stamped=False)):
            last, time_base = frame.duration or 0, frame.time_base or time_base
            stamps.append(frame.pts)
    except DamagedVideo as error:
        words = error.message.removeprefix(f"{info.path} is damaged: ").rstrip(".")
        key, values = str(error.values["damage_key"]), _of_damage(error.values)
        damage = Damage(words, key, **values)
    return _counted(info, stamps, time_base, last, damage)


def _of_damage(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values of an error that are those of its damage."""
    return {name: value for name, value in values.items() if name not in ("name", "damage_key")}


def by_salvaging(info: VideoInfo) -> Count:
    """Count the frames that ffmpeg recovers from a damaged file, decoding exactly as the salvaging reader does."""
    # Printed by a filter: ffmpeg's muxers would clamp times that go back.
    printing = "metadata=mode=add:key=a:value=b,metadata=mode=print:file=-"
    decode = ffmpeg.decode(info.path, info.stream_index, salvage=True)
    listing = ffmpeg.run(
        [*decode, "-vf", printing, "-f", "null", "-"], timeout_seconds=_time_limit(info)
    ).stdout
    stamps = [int(stamp) if stamp != "NOPTS" else None for stamp in _PRINTED_STAMP.findall(listing)]
    with open_input(info.path) as container:
        time_base = video_stream(container, info.stream_index).time_base or Fraction(1, 1_000_000)
    return _counted(info, stamps, time_base, 0)


def _counted(
    info: VideoInfo,
    found: list[int | None],
    time_base: Fraction,
    last: int,
    damage: Damage | None = None,
) -> Count:
    """A count of frames with these stamps, which are repaired where they do not rise."""
    if None in found and info.container in _WITHOUT_TIMES:
        return Count(len(found), None, time_base, last, damage=damage)
    jumps = partial(_clock_jumps, info, time_base) if info.container in BROADCAST else None
    repaired = repair(found, time_base, jumps=jumps)
    if repaired is None:
        return Count(len(found), None, time_base, last, damage=damage)
    changed = repaired if repaired.sentences(time_base) else None
    count = Count(len(found), repaired.stamps, time_base, last, damage=damage, repair=changed)
    return _with_room_for_sound(info, count, repaired) if repaired.restarts else count


def _with_room_for_sound(info: VideoInfo, count: Count, repaired: Repair) -> Count:
    """Let the picture wait at restarts where the sound of the part before lasts clearly longer than its picture."""
    found = sound.overlaps(replace(info, clock_shifts=count.clock_shifts))
    if not any(overlap > _OVERLAP_SECONDS for overlap in found):
        return count
    waits = [ceil(overlap / count.time_base) if overlap > _OVERLAP_SECONDS else 0 for overlap in found]
    delayed = repaired.delayed(waits)
    return replace(count, stamps=delayed.stamps, repair=delayed)


class _Order:
    """Watches stamps in stored order for a clock that restarts, which sorting would hide."""

    def __init__(self) -> None:
        self.broken = False
        self._latest: int | None = None
        self._behind = 0

    def see(self, stamp: int) -> None:
        if self._latest is None or stamp > self._latest:
            self._latest, self._behind = stamp, 0
            return
        self._behind += 1
        self.broken = self.broken or self._behind > _MOST_REORDERED


def _clock_jumps(info: VideoInfo, time_base: Fraction, before: int, after: int) -> bool:
    """Whether the clock, not just the picture, jumps from `before` to `after`: no sound lies between them."""
    begin, end = before * time_base + 1, after * time_base - 1
    with open_input(info.path) as container:
        for packet in container.demux(*container.streams.audio) if container.streams.audio else ():
            if packet.pts is not None and begin < packet.pts * packet.time_base < end:
                return False
    return True


def _jumps(stamps: "array[int]", time_base: Fraction) -> bool:
    far = round(JUMP_SECONDS / time_base)
    return any(after - before > far for before, after in pairwise(stamps))


def _rise(stamps: "array[int]") -> bool:
    return len(stamps) > 0 and all(before < after for before, after in pairwise(stamps))


def _time_limit(info: VideoInfo) -> float:
    return _PATIENCE_SECONDS + info.path.stat().st_size / _SLOWEST_BYTES_PER_SECOND
