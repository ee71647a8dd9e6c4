"""What a joined file keeps besides pictures and sound: names of tracks, chapters, text subtitles, the timecode."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from pipelines.errors import Sentence
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import has_decoder, open_input, video_streams
from pipelines.video.info import VideoInfo
from pipelines.video.tracks.sound import Cut

_TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""The text subtitles that each container takes and players show."""
_AS_THEY_ARE = {"matroska": ("subrip", "ass", "ssa", "webvtt")}
"""Further text subtitles that a container takes unchanged."""
_PICTURES = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub", "dvb_teletext"})
_CONVERT_SECONDS = 600.0
_TRACK_NAMES = ("language", "title", "handler_name")
_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d):(\d\d)")
"""Timecodes that count every frame; with a `;` they skip numbers (drop frame)."""


def name_track(source: Stream, target: Stream) -> None:
    """Give a copied track the language, title and default mark of its source."""
    kept = {key: source.metadata[key] for key in _TRACK_NAMES if key in source.metadata}
    if "name" in source.metadata:  # MP4 and MOV call it so; they write it where it is called a title.
        kept.setdefault("title", source.metadata["name"])
    target.metadata.update(kept)
    target.disposition = source.disposition


def keep_timecode(
    source: InputContainer, stream: Stream, target: Stream, info: VideoInfo, first: int
) -> None:
    """Start the timecode at frame `first`; a part with a drop-frame timecode has none."""
    # MOV and MP4 keep it with the track, Matroska and MXF often with the file.
    tags = (*source.metadata.items(), *stream.metadata.items())
    timecode = {key.lower(): text for key, text in tags}.get("timecode")
    if timecode is None:
        return
    if first == 0:
        target.metadata["timecode"] = timecode
    elif found := _TIMECODE.fullmatch(timecode):
        hours, minutes, seconds, frames = map(int, found.groups())
        rate = round(info.frame_rate)
        total = ((hours * 60 + minutes) * 60 + seconds) * rate + frames + first
        seconds, frames = divmod(total, rate)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        target.metadata["timecode"] = f"{hours % 24:02}:{minutes:02}:{seconds:02}:{frames:02}"


def keep_chapters(source: InputContainer, target: OutputContainer, cut: Cut) -> None:
    """Copy the chapters that overlap the cut, moved with it."""
    kept: list[dict[str, Any]] = []
    for chapter in source.chapters():
        tick = chapter["time_base"] or Fraction(1)
        begin, end = chapter["start"] * tick, chapter["end"] * tick
        end = (end if cut.stop is None else min(end, cut.stop)) - cut.shift
        begin = max(begin - cut.shift, Fraction(0))
        if end > begin:
            times = {"start": round(begin / tick), "end": round(end / tick)}
            kept.append({**chapter, **times, "id": len(kept)})
    if kept:
        target.set_chapters(cast(Any, kept))


@dataclass(frozen=True)
class Subtitle:
    """A text subtitle track as the result takes it: a file that holds nothing else, and what it is called."""

    path: Path
    index: int


def convert_subtitles(source: VideoInfo, out: Path) -> tuple[list[Subtitle], list[str]]:
    """Write each text subtitle track of `source` to a file beside `out`; sentences name those that are left out.

    Raises as `sound.encode` where that is not the fault of the track.
    """
    kind = ffmpeg.muxer(out)
    wanted, kept, said = _TEXT_CODECS[kind], list[Subtitle](), list[str]()
    for number, (index, codec) in enumerate(_subtitle_tracks(source), 1):
        if reason := _why_left_out(number, codec, source):
            said.append(reason)
            continue
        path = out.with_name(f"{out.name}.subtitle{index}.{'mkv' if kind in ('matroska', 'webm') else 'mp4'}")
        how = "copy" if codec in (wanted, *_AS_THEY_ARE.get(kind, ())) else wanted
        done = ffmpeg.run(
            [
                *("-copyts", *ffmpeg.source(source.path), "-map", f"0:{index}", "-c:s", how),
                *("-f", "matroska" if kind == "webm" else kind, "-y", ffmpeg.address(path)),
            ],
            timeout_seconds=_CONVERT_SECONDS,
        )
        if done.returncode:
            path.unlink(missing_ok=True)
            ffmpeg.check_written(done, path)
            said.append(
                Sentence(
                    f"Subtitle track {number} is left out, because it cannot be converted to text.",
                    "subtitle",
                    number=number,
                )
            )
        else:
            kept.append(Subtitle(path, index))
    return kept, said


def _subtitle_tracks(source: VideoInfo) -> list[tuple[int, str]]:
    """Return (stream index, codec) of each; a codec without a decoder has no name."""
    with open_input(source.path) as container:
        streams = container.streams.subtitles
        return [(item.index, item.codec_context.name if has_decoder(item) else "") for item in streams]


def _why_left_out(number: int, codec: str, source: VideoInfo) -> str | None:
    if codec not in _PICTURES and not source.clock_shifts:
        return None
    what = "consists of pictures" if codec in _PICTURES else "belongs to a clock that jumps"
    return Sentence(
        f"Subtitle track {number} is left out, because it {what}, which the result cannot hold.",
        "subtitle",
        number=number,
    )


def add_subtitles(
    subtitles: Sequence[Subtitle], source: InputContainer, target: OutputContainer, stack: ExitStack, cut: Cut
) -> list[Iterator[tuple[float, "Packet[Stream]"]]]:
    """Add a track for each of `subtitles` and return its (seconds in the joined file, packet) iterators."""
    packets = []
    for subtitle in subtitles:
        container = stack.enter_context(open_input(subtitle.path))
        stream = container.streams.subtitles[0]
        copy = target.add_stream_from_template(stream, opaque=True)
        name_track(source.streams[subtitle.index], copy)
        packets.append(_iter_texts(container, stream, copy, cut))
    return packets


def _iter_texts(
    container: InputContainer, stream: Stream, target: Stream, cut: Cut
) -> Iterator[tuple[float, "Packet[Stream]"]]:
    for packet in container.demux(cast(Any, stream)):
        if not packet.size or packet.pts is None:
            continue
        tick = packet.time_base
        begin, end = packet.pts * tick, (packet.pts + (packet.duration or 0)) * tick
        if not cut.keeps(begin, end):
            continue
        begin = max(begin - cut.shift, Fraction(0))
        end = (end if cut.stop is None else min(end, cut.stop)) - cut.shift
        packet.pts = packet.dts = round(begin / tick)
        packet.duration = max(0, round((end - begin) / tick))
        packet.stream = cast(Any, target)
        yield float(begin), cast("Packet[Stream]", packet)


def foreseen_losses(info: VideoInfo, heard: VideoInfo) -> list[str]:
    """Return sentences about tracks of the sources that no result keeps: further pictures, and some subtitles."""
    said = list[str]()
    if not info.images:
        with open_input(info.path) as container:
            tracks = len(video_streams(container))
        if tracks > 1:
            said.append(
                Sentence(
                    f"The source has {tracks} picture tracks; the result has the first one only.",
                    "tracks",
                    tracks=tracks,
                )
            )
    if not heard.images:
        subtitles = enumerate(_subtitle_tracks(heard), 1)
        reasons = (_why_left_out(number, codec, heard) for number, (_, codec) in subtitles)
        said += [reason for reason in reasons if reason]
    return said


def losses(info: VideoInfo, first: InputContainer) -> list[str]:
    """Return sentences about what the pictures of the result cannot keep; `first` is its first segment."""
    segment, said = first.streams.video[0], list[str]()
    context = segment.codec_context
    odd = (info.width % 2, info.height % 2)
    if any(odd) and (context.width, context.height) == (info.width + odd[0], info.height + odd[1]):
        said.append(
            Sentence(
                f"The picture was padded from {info.width}x{info.height} to {context.width}x{context.height}, "
                "because the codec needs an even size. --codec ffv1, prores4444 and vp9 keep it.",
                "padded",
                width=context.width,
                height=context.height,
            )
        )
    if info.interlaced and not any(frame.interlaced_frame for frame in islice(first.decode(segment), 1)):
        said.append(
            Sentence(
                "The source is interlaced. The result holds both fields in each frame, but is not "
                "marked as interlaced.",
                "interlaced",
            )
        )
    return said
