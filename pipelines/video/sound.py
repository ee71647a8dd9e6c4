"""Copy or re-encode the sound of a source for a joined file."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from pipelines.video import ffmpeg

SoundCodec = Literal["aac", "opus"]

_SELDOM_PLAYED = ("pcm_", "vorbis")
_ENCODE_SECONDS = 3600.0
"""Time limit for re-encoding; sound is encoded many times faster than it plays."""
_ENCODERS: dict[SoundCodec, tuple[str, ...]] = {
    "aac": ("aac", "-b:a", "192k"),
    "opus": ("libopus", "-b:a", "160k"),
}


class SoundRefused(Exception):
    """Raised where the container does not take the sound as it is; the message completes a sentence."""


@dataclass
class Track:
    """A sound track of the source, its copy, and the packets and bytes copied so far."""

    source: AudioStream
    target: AudioStream
    packets: int = 0
    size_bytes: int = 0

    @property
    def codec(self) -> str:
        """The codec's canonical name."""
        return self.source.codec.canonical_name


@dataclass(frozen=True)
class Cut:
    """Part of the sound to keep, in seconds on the source's clock, and how much earlier it is to play."""

    start: Fraction | None
    stop: Fraction | None
    shift: Fraction

    def keeps(self, begin: Fraction, end: Fraction) -> bool:
        """Whether a packet from `begin` to `end` overlaps the part to keep."""
        return (self.start is None or end > self.start) and (self.stop is None or begin < self.stop)


def add_tracks(source: InputContainer, target: OutputContainer) -> list[Track]:
    """Add a copy of each sound track of `source`. Raises SoundRefused."""
    try:
        return [
            Track(stream, target.add_stream_from_template(stream, opaque=True))
            for stream in source.streams.audio
        ]
    except ValueError as error:
        raise SoundRefused(str(error)) from error


def iter_packets(
    source: InputContainer, tracks: list[Track], cut: Cut
) -> Iterator[tuple[float, "Packet[Stream]"]]:
    """Yield (seconds in the joined file, packet) of all tracks in stored order.

    Raises SoundRefused where a packet has no time or cannot be read.
    """
    by_stream = {track.source.index: track for track in tracks}
    try:
        for packet in source.demux(*(track.source for track in tracks)):
            if not packet.size:
                continue
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None:
                raise SoundRefused("its packets have no times")
            begin = stamp * packet.time_base
            if not cut.keeps(begin, begin + (packet.duration or 0) * packet.time_base):
                continue
            _move(packet, round(cut.shift / packet.time_base), stamp)
            track = by_stream[packet.stream_index]
            track.packets += 1
            track.size_bytes += packet.size
            packet.stream = track.target
            yield float(begin - cut.shift), packet
    except av.error.FFmpegError as error:
        raise SoundRefused(f"it is damaged ({error.strerror})") from error


def _move(packet: "Packet[Stream]", ticks: int, stamp: int) -> None:
    packet.pts = (stamp if packet.pts is None else packet.pts) - ticks
    packet.dts = stamp - ticks


def encode(source: Path, out: Path, codec: SoundCodec) -> None:
    """Encode all sound tracks of `source` into `out` (MP4), keeping their times. Raises SoundRefused."""
    how = _ENCODERS[codec]
    done = ffmpeg.run(
        [
            *("-copyts", *ffmpeg.source(source), "-map", "0:a", "-c:a", *how),
            *("-f", "mp4", "-y", ffmpeg.address(out)),
        ],
        timeout_seconds=_ENCODE_SECONDS,
    )
    if done.returncode:
        raise SoundRefused(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no decoder for it"
        )


def seldom_played(tracks: list[Track]) -> list[str]:
    """Codecs that MP4 allows but many players do not support."""
    return sorted({track.codec for track in tracks if track.codec.startswith(_SELDOM_PLAYED)})
