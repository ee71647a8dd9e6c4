"""Join segments into one file without re-encoding: frames at their own times, the source's sound packet by packet.

Segments have no reordered frames, so packet `i` belongs to frame `i` and gets its time. This works for constant and
variable frame rates alike.
"""

import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias, cast

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from pipelines.errors import EncoderDied, Sentence
from pipelines.spans import Span
from pipelines.storage.pulse import beat
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import open_input, refusal, start_of, video_stream
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.transparency import transparency_notes
from pipelines.video.tracks import extras, sound
from pipelines.video.tracks.join_clock import JoinClock, movie_timescale
from pipelines.video.tracks.sound import SoundPlan, SoundRefused, Track

_TOLERANCE_SECONDS = 0.000_501
"""Matroska and WebM round times to milliseconds, so a frame may be off by half of one."""
_RANGES = {None: 0, "tv": 1, "pc": 2}
_WITH_TIMESCALE = ("mp4", "mov")
_IN_MILLISECONDS = ("matroska", "webm")
_NOT_COPIED = frozenset({"timecode", "major_brand", "minor_version", "compatible_brands", "encoder"})


_Opened: TypeAlias = list[tuple[InputContainer, list[tuple[int, AudioStream]]]]


@dataclass(frozen=True)
class JoinReport:
    """What was joined: frames, sound packets, and warnings for the user."""

    frames: int
    audio_packets: int
    warnings: tuple[str, ...] = ()


def foreseen_warnings(
    info: VideoInfo, out: Path, *, heard: VideoInfo | None = None, silent: bool = False
) -> tuple[str, ...]:
    """Return the warnings of `join_segments` that are known before the first frame; it may find more. Reads headers."""
    sources = [info] if silent or heard is None else [info, heard]
    notes = [*(note for source in sources for note in source.notes), *transparency_notes(info)]
    if not silent:
        notes += extras.foreseen_losses(info, sources[-1])
        if not sources[-1].images:
            notes += sound.make_plan(sources[-1].path, ffmpeg.muxer(out)).warnings()
    return tuple(dict.fromkeys(notes))


def join_segments(
    segments: Sequence[Path],
    info: VideoInfo,
    frames: Span,
    out: Path,
    *,
    heard: VideoInfo | None = None,
    silent: bool = False,
    shown: VideoInfo | None = None,
) -> JoinReport:
    """Join the segments of `frames` into `out` and check the result; its suffix selects the container, MP4 by default.

    A whole video keeps the offsets between picture and sound; the earlier of them begins at 0. A part of it starts at
    0, with its sound cut at packet boundaries. Each sound track that the container does not take is encoded to AAC
    (WebM: Opus), or left out where that is impossible, with a warning; `silent` leaves all out. The sound of `heard`,
    this video or another, plays from its own beginning and ends with the frames. `shown` is what the frames come from
    where that is not this video: the warnings say what it loses. Holds a few packets. Writes directly to `out`, so pass
    a temporary name; encoded sound lies beside it meanwhile.

    Raises:
        NotEnoughDisk: the disk is full.
        EncoderDied: segments and frames do not match, or the written file fails the check.
    """
    make_clock = partial(JoinClock.of, info, frames, heard)
    heard = heard or info
    notes = dict.fromkeys((*info.notes, *(() if silent else heard.notes), *transparency_notes(info)))
    if shown or not silent:
        with open_input(segments[0]) as first:
            notes |= dict.fromkeys(extras.losses(shown or info, first))
    if not silent:
        notes |= dict.fromkeys(extras.foreseen_losses(info, heard))
    if heard.images or silent:
        return _join(segments, make_clock, out, _Sound(heard, None, {}), notes)
    plan, encoded = sound.make_plan(heard.path, ffmpeg.muxer(out)), dict[int, Path]()
    subtitles, left_out = extras.convert_subtitles(heard, out)
    notes |= dict.fromkeys(left_out)
    try:
        while True:
            try:
                for index in set(plan.indices("encode")) - set(encoded):
                    encoded[index] = out.with_name(f"{out.name}.sound{index}.m4a")
                    sound.encode(heard, index, encoded[index], plan.codec)
                return _join(segments, make_clock, out, _Sound(heard, plan, encoded, subtitles), notes)
            except SoundRefused as refused:
                plan.give_way(refused)
    finally:
        for path in (*encoded.values(), *(subtitle.path for subtitle in subtitles)):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Sound:
    """Whose sound to join, how each track is handled, the files with encoded tracks by stream index, and subtitles."""

    heard: VideoInfo
    plan: SoundPlan | None
    encoded: dict[int, Path]
    subtitles: Sequence[extras.Subtitle] = ()

    def open(self, stack: ExitStack) -> "_Opened":
        """Open the source and the encoded tracks; each comes with its (source index, stream)."""
        if self.plan is None:
            return []
        source = stack.enter_context(open_input(self.heard.path))
        copied = self.plan.indices("copy")
        opened = [(source, [(item.index, item) for item in source.streams.audio if item.index in copied])]
        for index in self.plan.indices("encode"):
            container = stack.enter_context(open_input(self.encoded[index]))
            opened.append((container, [(index, container.streams.audio[0])]))
        return opened

    def start(self, sources: "_Opened") -> Fraction | None:
        """When the first track begins; without sound in the result, that of the source, to be in step with others."""
        if self.plan is None:
            return self.heard.sound_start
        starts = [start_of(stream) for _, streams in sources for _, stream in streams]
        return min(
            (start - self.heard.timeline.origin for start in starts if start is not None), default=None
        )


def _join(
    segments: Sequence[Path],
    make_clock: Callable[[Fraction | None], JoinClock],
    out: Path,
    heard: _Sound,
    notes: Iterable[str],
) -> JoinReport:
    with _mapped_errors(out), ExitStack() as stack:
        first = stack.enter_context(open_input(segments[0]))
        sources = heard.open(stack)
        clock = make_clock(heard.start(sources))
        rates = [stream.rate for _, streams in sources for _, stream in streams if stream.rate]
        options = {
            "movflags": "+faststart",
            "video_track_timescale": str(clock.scale),
            "movie_timescale": str(movie_timescale(clock.scale, rates)),
        }
        kind = ffmpeg.muxer(out)
        target = stack.enter_context(
            av.open(
                ffmpeg.address(out),
                "w",
                format=kind,
                # Matroska would write a random identifier into each file.
                container_options=options if kind in _WITH_TIMESCALE else {"fflags": "bitexact"},
            )
        )
        pictures = _add_pictures(target, first.streams.video[0], clock.info)
        if sources and not clock.info.images:
            shown = stack.enter_context(open_input(clock.info.path))
            stream = video_stream(shown, clock.info.stream_index)
            extras.name_track(stream, pictures)
            extras.keep_timecode(shown, stream, pictures, clock.info, clock.frames.start)
        packets = [_iter_pictures(segments, clock, pictures)]
        wanted = sorted(
            (index, number) for number, (_, streams) in enumerate(sources) for index, _ in streams
        )
        tracks: list[Track] = []
        for index, number in wanted:
            source = dict(sources[number][1])[index]
            shifts = heard.heard.clock_shifts if number == 0 else ()
            tracks.append(sound.add_track(source, target, index, shifts))
            extras.name_track(sources[0][0].streams[index], tracks[-1].target)
        for container, streams in sources:
            mine = [track for track in tracks if track.source in dict(streams).values()]
            if mine:
                packets.append(sound.iter_packets(container, mine, clock.cut()))
        if sources:
            packets += extras.add_subtitles(heard.subtitles, sources[0][0], target, stack, clock.cut())
            extras.keep_chapters(sources[0][0], target, clock.cut())
            kept = {
                key: text for key, text in sources[0][0].metadata.items() if key.lower() not in _NOT_COPIED
            }
            target.metadata.update(kept)
        for _, packet in heapq.merge(*packets, key=itemgetter(0)):
            _mux(target, packet, tracks)
            beat()
    _check(out, clock, tracks)
    with out.open("rb") as written:
        os.fsync(written.fileno())
    seldom = sound.seldom_played(tracks) if kind in _WITH_TIMESCALE else []
    remarks = [
        Sentence(
            f"Many players do not support {codec} sound in MP4; it was copied unchanged.",
            "seldom",
            codec=codec,
        )
        for codec in seldom
    ]
    if kind == "webm" and clock.info.sample_aspect_ratio != 1:
        remarks.append(
            Sentence(
                "The source has non-square pixels, which WebM cannot store: players will show it distorted.",
                "aspect",
            )
        )
    if moved := sum(track.clock.moved for track in tracks):
        most = max(track.clock.furthest for track in tracks)
        remarks.append(
            Sentence(
                f"{moved} packets of sound had equal or backward times; they were moved by at most "
                f"{float(most):.3g} s.",
                "sound_times",
                packets=moved,
            )
        )
    planned = heard.plan.warnings() if heard.plan else []
    return JoinReport(len(clock.frames), sum(track.packets for track in tracks), (*notes, *planned, *remarks))


def _add_pictures(target: OutputContainer, segment: VideoStream, info: VideoInfo) -> VideoStream:
    """Add a track like the segments', with the fields that the template leaves out."""
    pictures = target.add_stream_from_template(segment, opaque=True)
    if segment.codec.canonical_name == "ffv1" and (segment.codec_context.pix_fmt or "").startswith("yuv"):
        # Its encoder knows no range; samples of YUV are those of the source.
        pictures.codec_context.color_range = _RANGES[info.colour.range]
    pictures.codec_context.sample_aspect_ratio = segment.sample_aspect_ratio or Fraction(1)
    if "alpha_mode" in segment.metadata:
        pictures.metadata["alpha_mode"] = segment.metadata["alpha_mode"]
    return pictures


def _iter_pictures(
    segments: Sequence[Path], clock: JoinClock, target: VideoStream
) -> Iterator[tuple[float, "Packet[Stream]"]]:
    """Yield (seconds, packet) of each frame. Raises EncoderDied where the segments hold other frames than these."""
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
    return EncoderDied(
        f"The segments do not fit together: {what}.", "Run the job again with --force.", "job.damaged"
    )


def _mux(target: OutputContainer, packet: "Packet[Stream]", tracks: Sequence[Track]) -> None:
    track = next((track for track in tracks if track.target is packet.stream), None)
    try:
        target.mux_one(packet)
    except av.error.FFmpegError as error:
        if track and not refusal(error, Path(target.name)):
            raise SoundRefused(error.strerror or str(error), track.index) from error
        raise


@contextmanager
def _mapped_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise refusal(error, out) or EncoderDied(
            f"{out} cannot be written ({error.strerror}).", "Resume the job.", "encoder.died"
        ) from error


def _check(out: Path, clock: JoinClock, tracks: Sequence[Track]) -> None:
    """Read the joined file again and check that each frame is at its time and all sound packets are there.

    Raises EncoderDied for frames, SoundRefused for sound.
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
            if index == clock.frames.start and ffmpeg.muxer(out) in _IN_MILLISECONDS:
                # Matroska has no times before 0: it shifts all tracks alike.
                begin = shown - clock.seconds(index)
            late = shown - begin - clock.seconds(index) if index < clock.frames.stop else Fraction(1)
            if abs(late) > _TOLERANCE_SECONDS:
                raise _mismatch(f"frame {index} is {float(late):+.4f} s off its time")
            index += 1
    if index != clock.frames.stop:
        raise _mismatch(f"{index - clock.frames.start} of {len(clock.frames)} frames are in {out}")
    # MP4 leaves out tracks without packets, which moves those behind them up.
    heard = [track for track in tracks if track.packets or ffmpeg.muxer(out) not in _WITH_TIMESCALE]
    for position, track in enumerate(heard, 1):
        expected, found = track.packets, packets[position]
        if track.codec.startswith("pcm_"):  # PCM has no packets of its own: containers group samples freely.
            expected, found = track.size_bytes, sizes[position]
        if expected != found:
            raise SoundRefused(f"{found} of {expected} packets were written", track.index)
