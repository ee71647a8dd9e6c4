"""Copy or re-encode the sound of a source for a joined file, each track for itself."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Literal, cast

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from pipelines.errors import Sentence
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import has_decoder, open_input, refusal
from pipelines.video.info import VideoInfo

SoundCodec = Literal["aac", "opus"]
Way = Literal["copy", "encode", "drop"]

CODEC_NAMES: dict[SoundCodec, str] = {"aac": "AAC", "opus": "Opus"}
_SELDOM_PLAYED = ("pcm_", "vorbis")
_ENCODE_SECONDS = 3600.0
"""Time limit for re-encoding; sound is encoded many times faster than it plays."""
_ENCODERS: dict[SoundCodec, tuple[str, ...]] = {
    "aac": ("aac", "-b:a", "192k"),
    "opus": ("libopus", "-b:a", "160k"),
}
_TRIAL_PACKETS = 4000
"""Packets read for the trial: enough to meet the first one of each track, which lie close together."""
_LARGEST_GAP = Fraction(1)
"""Seconds without sound that may just be silence; beyond it, a clock that restarted may explain the gap better."""
_LARGEST_OVERLAP = Fraction(1, 4)
"""Seconds by which a packet may begin before the last one ended; more is a clock that restarted."""


class SoundRefused(Exception):
    """Raised where a track cannot be written as it is; the message completes a sentence.

    `index` is the track's stream index in the source, None where all tracks are affected.
    """

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.index = index


@dataclass
class _Choice:
    way: Way
    number: int
    reason: str = ""


class SoundPlan:
    """How each sound track of a source reaches the result: copied, encoded, or left out."""

    def __init__(self, codec: SoundCodec, refused: dict[int, tuple[Way, str]], tracks: Sequence[int]) -> None:
        self.codec = codec
        self._choices: dict[int, _Choice] = {}
        for number, index in enumerate(tracks, 1):
            way, reason = refused.get(index, ("copy", ""))
            self._choices[index] = _Choice(way, number, reason)

    def indices(self, way: Way) -> list[int]:
        """Stream indices of the tracks that take this way."""
        return [index for index, choice in self._choices.items() if choice.way == way]

    def give_way(self, refused: SoundRefused) -> None:
        """Encode what could not be copied; leave out what cannot be encoded either."""
        for index, choice in self._choices.items():
            if choice.way != "drop" and refused.index in (None, index):
                choice.way = "encode" if choice.way == "copy" else "drop"
                choice.reason = str(refused)

    def warnings(self) -> list[str]:
        """One sentence for each track that is not copied."""
        said = list[str]()
        for choice in self._choices.values():
            name = self.name(choice.number)
            if choice.way == "encode":
                codec = CODEC_NAMES[self.codec]
                said.append(
                    Sentence(
                        f"{name} is re-encoded to {codec}, because it cannot be copied ({choice.reason}).",
                        "sound_encoded",
                        codec=codec,
                    )
                )
            elif choice.way == "drop":
                said.append(
                    Sentence(
                        f"{name} is left out, because it can be neither copied nor re-encoded ({choice.reason}).",
                        "sound_dropped",
                    )
                )
        return said

    def name(self, number: int) -> str:
        """The subject of a sentence about track `number`, counted from 1."""
        return "The sound" if len(self._choices) == 1 else f"Sound track {number}"


def make_plan(path: Path, kind: str) -> SoundPlan:
    """Try which sound tracks of `path` the container `kind` takes, by writing their first packets to memory.

    A header alone settles little: some codecs are refused at their first packet.
    """
    refused: dict[int, tuple[Way, str]] = {}
    with open_input(path) as source:
        streams = list(source.streams.audio)
        trials = {stream.index: stream for stream in streams}
        for stream in streams:
            if not has_decoder(stream):
                refused[stream.index] = ("drop", "its codec is unknown")
                del trials[stream.index]
        refused.update(_tried(source, trials, kind))
        return SoundPlan("opus" if kind == "webm" else "aac", refused, [stream.index for stream in streams])


def _tried(source: InputContainer, trials: dict[int, AudioStream], kind: str) -> dict[int, tuple[Way, str]]:
    refused: dict[int, tuple[Way, str]] = {}
    targets: dict[int, tuple[OutputContainer, Stream]] = {}

    def attempt(index: int, packet: "Packet[Stream] | None") -> None:
        try:
            if packet is None:
                target = av.open(io.BytesIO(), "w", format=kind)
                copy = target.add_stream_from_template(trials[index], opaque=True)
                target.start_encoding()
                targets[index] = target, copy
            else:
                target, packet.stream = targets.pop(index)
                target.mux_one(packet)
        except (ValueError, av.error.FFmpegError) as error:
            refused[index] = "encode", getattr(error, "strerror", None) or str(error)

    for index in trials:
        attempt(index, None)
    try:
        for number, packet in enumerate(
            source.demux(*(trials[index] for index in targets)) if targets else ()
        ):
            if packet.size and packet.stream_index in targets:
                attempt(packet.stream_index, packet)
            if not targets or number > _TRIAL_PACKETS:
                break
    except av.error.FFmpegError:
        pass  # The join meets it, too, and says so.
    return refused


class SoundClock:
    """Places the packets of one track on a clock that goes on where the source's restarts.

    `shifts` are the seconds to add after each restart of the picture's clock. Sound restarts at about the same place,
    at the packet where another shift continues it better; `overlaps` says by how much it began too early there. Sound
    whose clock restarts alone goes on where it ended.
    """

    def __init__(self, shifts: Sequence[Fraction] = ()) -> None:
        self._shifts = (Fraction(0), *shifts)
        self._own = Fraction(0)
        self._restarts = 0
        self.overlaps: dict[int, Fraction] = {}
        self._end: Fraction | None = None
        self._last_ticks: int | None = None
        self.moved = 0
        self.furthest = Fraction(0)

    def place(self, packet: "Packet[Stream]", stamp: int, sample_rate: int) -> int:
        """The time of `packet` in ticks of its time base, later than that of the packet before."""
        tick = packet.time_base
        begin = stamp * tick
        shift = self._shift(begin)
        wanted = stamp + round(shift / tick)
        least = ceil(Fraction(1, sample_rate) / tick)
        ticks = wanted
        if self._last_ticks is not None and wanted <= self._last_ticks:
            ticks = self._last_ticks + least
            self.moved += 1
            self.furthest = max(self.furthest, (ticks - wanted) * tick)
        self._last_ticks = ticks
        self._end = ticks * tick + (packet.duration or 0) * tick
        return ticks

    def _shift(self, begin: Fraction) -> Fraction:
        if self._end is None:
            return self._shifts[0]
        gap = begin + self._shifts[0] + self._own - self._end
        if -_LARGEST_OVERLAP <= gap <= _LARGEST_GAP:
            return self._shifts[0] + self._own
        gaps = [abs(begin + shift - self._end) for shift in self._shifts[1:]]
        if gaps and min(gaps) < abs(gap):
            best = gaps.index(min(gaps)) + 1
            self._shifts, self._own = self._shifts[best:], Fraction(0)
            gap = begin + self._shifts[0] - self._end
            self._restarts += best
            self.overlaps[self._restarts] = max(-gap, Fraction(0))
        if gap < -_LARGEST_OVERLAP:
            self._own -= gap
        return self._shifts[0] + self._own


@dataclass
class Track:
    """A sound track of the source, its copy, and the packets and bytes copied so far.

    `index` is its stream index in the source, also where `source` is its encoded copy.
    """

    source: AudioStream
    target: AudioStream
    index: int
    clock: SoundClock = field(default_factory=SoundClock)
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


def add_track(
    stream: AudioStream, target: OutputContainer, index: int, shifts: Sequence[Fraction] = ()
) -> Track:
    """Add a copy of `stream`. Raises SoundRefused."""
    try:
        copy = target.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        raise SoundRefused(str(error), index) from error
    return Track(stream, copy, index, SoundClock(shifts))


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
            track = by_stream[packet.stream_index]
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None:
                raise SoundRefused("its packets have no times", track.index)
            ticks = track.clock.place(packet, stamp, track.source.rate or 1)
            begin = ticks * packet.time_base
            if not cut.keeps(begin, begin + (packet.duration or 0) * packet.time_base):
                continue
            _move(packet, round(cut.shift / packet.time_base) + stamp - ticks, stamp)
            track.packets += 1
            track.size_bytes += packet.size
            packet.stream = track.target
            yield float(begin - cut.shift), packet
    except av.error.FFmpegError as error:
        index = tracks[0].index if len(tracks) == 1 else None
        raise SoundRefused(f"it is damaged ({error.strerror})", index) from error


def _move(packet: "Packet[Stream]", ticks: int, stamp: int) -> None:
    packet.pts = (stamp if packet.pts is None else packet.pts) - ticks
    packet.dts = stamp - ticks


def encode(source: VideoInfo, index: int, out: Path, codec: SoundCodec) -> None:
    """Encode stream `index` of `source` into `out` (MP4), keeping its times. Raises SoundRefused.

    What the system refuses while `out` is written, such as room on the disk, is raised by its name; EncoderDied where
    somebody killed the encoder.
    """
    if source.clock_shifts:
        _encode_repaired(source, index, out, codec)
        return
    done = ffmpeg.run(
        [
            *("-copyts", *ffmpeg.source(source.path), "-map", f"0:{index}", "-c:a", *_ENCODERS[codec]),
            *("-f", "mp4", "-y", ffmpeg.address(out)),
        ],
        timeout_seconds=_ENCODE_SECONDS,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        ffmpeg.check_written(done, out)
        raise SoundRefused(said[-1] if said else "no decoder for it", index)


def _encode_repaired(source: VideoInfo, index: int, out: Path, codec: SoundCodec) -> None:
    """Encode a track whose clock restarts, with repaired times: ffmpeg would repair them by this track alone."""
    encoder, _, rate = _ENCODERS[codec]
    try:
        with open_input(source.path) as container, av.open(ffmpeg.address(out), "w", format="mp4") as target:
            stream = next(stream for stream in container.streams.audio if stream.index == index)
            sample_rate = 48_000 if codec == "opus" else stream.rate
            encoded = cast(AudioStream, target.add_stream(encoder, sample_rate))
            encoded.layout = stream.layout
            encoded.bit_rate = 1000 * int(rate.removesuffix("k"))
            clock = SoundClock(source.clock_shifts)

            def write(packets: "list[Packet[Any]]") -> None:
                try:
                    target.mux(packets)
                except av.error.FFmpegError as error:
                    raise refusal(error, out) or error from error

            for packet in cast("Iterator[Packet[Any]]", container.demux(stream)):
                stamp = packet.dts if packet.dts is not None else packet.pts
                if packet.size and stamp is not None:
                    packet.pts = packet.dts = clock.place(packet, stamp, stream.rate)
                for frame in packet.decode():
                    write(encoded.encode(cast(AudioFrame, frame)))
            write(encoded.encode(None))
    except (av.error.FFmpegError, ValueError) as error:
        raise SoundRefused(getattr(error, "strerror", None) or str(error), index) from error


def overlaps(source: VideoInfo) -> tuple[Fraction, ...]:
    """By how many seconds some sound outlasts the picture at each restart of the clock, as shifted so far."""
    with open_input(source.path) as container:
        clocks = {item.index: SoundClock(source.clock_shifts) for item in container.streams.audio}
        packets = container.demux(*container.streams.audio) if clocks else iter(())
        for packet in cast("Iterator[Packet[Any]]", packets):
            stamp = packet.dts if packet.dts is not None else packet.pts
            if packet.size and stamp is not None:
                clocks[packet.stream_index].place(packet, stamp, 1_000_000)
    return tuple(
        max((clock.overlaps.get(number, Fraction(0)) for clock in clocks.values()), default=Fraction(0))
        for number in range(1, len(source.clock_shifts) + 1)
    )


def seldom_played(tracks: list[Track]) -> list[str]:
    """Codecs that MP4 allows but many players do not support."""
    return sorted({track.codec for track in tracks if track.codec.startswith(_SELDOM_PLAYED)})
