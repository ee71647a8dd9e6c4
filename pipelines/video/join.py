"""Segments into one file: the pictures at their own times, and the source's sound, packet by packet.

A segment has no reordered frames, so its packets come in the order of the frames, and packet `i` gets the time of
frame `i`. That is one way for constant and variable rates, and nothing is encoded again.
"""

import errno
import heapq
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from operator import itemgetter
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pipelines.errors import EncoderDied, NotEnoughDisk
from pipelines.spans import Span
from pipelines.video import ffmpeg, sound
from pipelines.video.demuxing import open_input
from pipelines.video.info import VideoInfo
from pipelines.video.sound import Cut, SoundCodec, SoundRefused, Track

_FINEST_TIMESCALE = 10_000_000
_TOLERANCE_SECONDS = 0.000_501
_NAMES: dict[SoundCodec, str] = {"aac": "AAC", "opus": "Opus"}
_OF_TIMESCALES = ("mp4", "mov")
_OF_MILLISECONDS = ("matroska", "webm")
_NOT_COPIED = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})


@dataclass(frozen=True)
class JoinReport:
    """What was joined: frames, sound packets, and sentences that the user should read."""

    frames: int
    audio_packets: int
    warnings: tuple[str, ...] = ()


def join_segments(
    segments: Sequence[Path],
    info: VideoInfo,
    frames: Span,
    out: Path,
    *,
    heard: VideoInfo | None = None,
    silent: bool = False,
) -> JoinReport:
    """Join the segments of `frames` into `out` (MP4, or what else its name says), and check it.

    The whole video keeps the source's times, a delayed beginning included; a part of it begins at 0, with its
    sound cut to it by whole packets. Sound that the container refuses is encoded to AAC (WebM: Opus), with a warning;
    a `silent` file has none. The sound of `heard`, another video or the same, plays from that one's beginning and ends
    with the pictures. Holds a few packets. Writes to `out` itself, a temporary name; encoded sound lies
    beside it meanwhile.

    Raises:
        NotEnoughDisk: the disk is full.
        EncoderDied: segments and frames do not match, or the file is not what it should be.
    """
    clock = _Clock.of(info, frames, heard)
    heard = heard or info
    encoded = out.with_name(f"{out.name}.sound.m4a")
    try:
        try:
            return _join(segments, clock, out, None if heard.images or silent else heard.path)
        except SoundRefused as refused:
            codec: SoundCodec = "opus" if ffmpeg.muxer(out) == "webm" else "aac"
            why = f"The sound was encoded again to {_NAMES[codec]}: it cannot be copied ({refused})."
        try:
            sound.encode(heard.path, encoded, codec)
            return _join(segments, clock, out, encoded, why)
        except SoundRefused as refused:
            why = f"The sound was left out: it can be neither copied nor encoded again ({refused})."
        return _join(segments, clock, out, None, why)
    finally:
        encoded.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Clock:
    """When each frame of the joined file is shown, in ticks of `1 / scale` seconds."""

    info: VideoInfo
    frames: Span
    heard: VideoInfo | None
    shift: Fraction
    scale: int

    @classmethod
    def of(cls, info: VideoInfo, frames: Span, heard: VideoInfo | None) -> "_Clock":
        timeline = info.timeline
        start = timeline.time(frames.start)
        shift = start if len(frames) < info.frames or start < 0 else Fraction(0)
        finest = timeline.time_base.denominator if timeline.vfr else timeline.rate.numerator
        scale = lcm(finest, (start - shift).denominator)
        return cls(info, frames, heard, shift, min(scale, _FINEST_TIMESCALE))

    def seconds(self, index: int) -> Fraction:
        return self.info.timeline.time(index) - self.shift

    def stamp(self, index: int) -> int:
        return round(self.seconds(index) * self.scale)

    def duration(self, index: int) -> int:
        if index + 1 < self.info.frames:
            return self.stamp(index + 1) - self.stamp(index)
        return round(self.info.timeline.last_seconds * self.scale)

    def cut(self) -> Cut:
        """The sound that belongs to the frames: all of a whole video's own."""
        begin, last = self.shift + (self.heard or self.info).timeline.origin, self.frames.stop - 1
        if self.heard is None and len(self.frames) == self.info.frames:
            return Cut(None, None, begin)
        stop = self.seconds(last) + Fraction(self.duration(last), self.scale)
        # What lies before its beginning is the encoder's run-in, which players skip.
        from_its_beginning = self.heard is not None and self.shift == 0
        return Cut(None if from_its_beginning else begin, begin + stop, begin)


def _join(
    segments: Sequence[Path], clock: _Clock, out: Path, sound_path: Path | None, *warnings: str
) -> JoinReport:
    with ExitStack() as stack, _mapped_errors(out):
        first = stack.enter_context(open_input(segments[0]))
        # The movie's scale too: a delayed beginning is stored in it, by default to a thousandth of a second.
        scales = dict.fromkeys(("video_track_timescale", "movie_timescale"), str(clock.scale))
        options = {"movflags": "+faststart", **scales}
        kind = ffmpeg.muxer(out)
        target = stack.enter_context(
            av.open(
                ffmpeg.address(out),
                "w",
                format=kind,
                # Matroska would name each file by chance.
                container_options=options if kind in _OF_TIMESCALES else {"fflags": "bitexact"},
            )
        )
        pictures = _add_pictures(target, first.streams.video[0])
        tracks: list[Track] = []
        packets = [_iter_pictures(segments, clock, pictures)]
        if sound_path is not None:
            source = stack.enter_context(open_input(sound_path))
            tracks = sound.add_tracks(source, target)
            if tracks:
                packets.append(sound.iter_packets(source, tracks, clock.cut()))
            kept = {key: text for key, text in source.metadata.items() if key not in _NOT_COPIED}
            target.metadata.update(kept)
        for _, packet in heapq.merge(*packets, key=itemgetter(0)):
            _mux(target, packet, is_sound=packet.stream is not pictures)
    _check(out, clock, tracks)
    with out.open("rb") as written:
        os.fsync(written.fileno())
    seldom = sound.seldom_played(tracks) if kind in _OF_TIMESCALES else []
    said = [f"Many players do not play {codec} sound in MP4; it was copied as it is." for codec in seldom]
    if kind == "webm" and clock.info.sample_aspect_ratio != 1:
        said.append("The source's pixels are not square. The WebM does not say so: it is shown out of shape.")
    return JoinReport(len(clock.frames), sum(track.packets for track in tracks), (*warnings, *said))


def _add_pictures(target: OutputContainer, segment: VideoStream) -> VideoStream:
    """A track like the segments'. What some codecs leave to their container is not in the template."""
    pictures = target.add_stream_from_template(segment, opaque=True)
    pictures.codec_context.sample_aspect_ratio = segment.sample_aspect_ratio or Fraction(1)
    if "alpha_mode" in segment.metadata:
        pictures.metadata["alpha_mode"] = segment.metadata["alpha_mode"]
    return pictures


def _iter_pictures(
    segments: Sequence[Path], clock: _Clock, target: VideoStream
) -> Iterator[tuple[float, "Packet[Stream]"]]:
    """(Seconds, packet) of each frame. Raises EncoderDied where the segments do not hold just these frames."""
    index, extradata = clock.frames.start, target.codec_context.extradata
    for path in segments:
        with open_input(path) as container:
            stream = container.streams.video[0]
            if stream.codec_context.extradata != extradata:
                raise _mismatch(f"{path} was encoded with other settings than the segment before it")
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                if index >= clock.frames.stop:
                    raise _mismatch(f"the segments hold more than {len(clock.frames)} frames")
                packet.pts = packet.dts = clock.stamp(index)
                packet.duration = clock.duration(index)
                packet.time_base = Fraction(1, clock.scale)
                packet.stream = target
                yield float(clock.seconds(index)), cast("Packet[Stream]", packet)
                index += 1
    if index != clock.frames.stop:
        raise _mismatch(f"the segments hold {index - clock.frames.start} of {len(clock.frames)} frames")


def _mismatch(what: str) -> EncoderDied:
    return EncoderDied(f"The segments do not fit together: {what}.", "Compute the job anew with --force.")


def _mux(target: OutputContainer, packet: "Packet[Stream]", *, is_sound: bool) -> None:
    try:
        target.mux_one(packet)
    except av.error.FFmpegError as error:
        if is_sound and error.errno != errno.ENOSPC:
            raise SoundRefused(error.strerror) from error
        raise


@contextmanager
def _mapped_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        if error.errno == errno.ENOSPC:
            raise NotEnoughDisk(
                f"The disk is full: {out} cannot be written.", "Free some space, then resume the job."
            ) from error
        raise EncoderDied(
            f"{out} cannot be written ({error.strerror}).", "Resume the job to go on."
        ) from error


def _check(out: Path, clock: _Clock, tracks: Sequence[Track]) -> None:
    """Read the joined file's packets again: each frame at its time, and the sound that was handed over.

    Raises EncoderDied for pictures, SoundRefused for sound.
    """
    index, begin = clock.frames.start, Fraction(0)
    packets, sizes = Counter[int](), Counter[int]()
    with open_input(out) as container:
        for packet in container.demux(container.streams.video[0], *container.streams.audio):
            if not packet.size or packet.pts is None:
                continue
            packets[packet.stream_index] += 1
            sizes[packet.stream_index] += packet.size
            if packet.stream_index > 0:
                continue
            shown = packet.pts * packet.time_base
            if index == clock.frames.start and ffmpeg.muxer(out) in _OF_MILLISECONDS:
                begin = shown - clock.seconds(
                    index
                )  # Matroska has no time before 0: it moves all tracks alike.
            late = shown - begin - clock.seconds(index) if index < clock.frames.stop else Fraction(1)
            if abs(late) > _TOLERANCE_SECONDS:
                raise _mismatch(f"frame {index} is shown {float(late):+.4f} s off its time")
            index += 1
    if index != clock.frames.stop:
        raise _mismatch(f"{index - clock.frames.start} of {len(clock.frames)} frames are in {out}")
    for track in tracks:
        wanted, found = track.packets, packets[track.target.index]
        if track.codec.startswith("pcm_"):  # Samples without packets: containers group them as they like.
            wanted, found = track.size_bytes, sizes[track.target.index]
        if wanted != found:
            raise SoundRefused(f"{found} of {wanted} packets arrived")
