"""Decode with PyAV from any frame, giving the same pixels as decoding from the start."""

import os
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeAlias, cast

import av.error
from av.codec import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.errors import DamagedVideo, UnsupportedVideo
from pipelines.video.decoders.seeking import Packets, enter
from pipelines.video.files.demuxing import open_input, video_stream
from pipelines.video.info import Damage, VideoInfo

_Decode: TypeAlias = "Callable[[Packet[VideoStream]], list[VideoFrame]]"

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that give the alpha channel, by codec."""
_MOST_THREADS = 8
"""Each decoder thread holds a frame, so memory must not grow with the number of cores."""
_SIGNS_OF_A_CUT = ("partial file", "ended prematurely")
"""What ffmpeg says of MP4 and Matroska whose end is missing."""


def threads() -> int:
    """How many frames PyAV decodes at once on this machine."""
    return min(os.cpu_count() or 1, _MOST_THREADS)


def iter_decoded(info: VideoInfo, start: int = 0, *, alpha: bool = False) -> Iterator[tuple[int, VideoFrame]]:
    """Yield frames from `start` to the end of the stream as (index, frame), not rotated.

    With `alpha`, VP8 and VP9 are decoded by libvpx where they have an alpha channel: FFmpeg's own decoders drop it.
    Holds what the decoder holds: its reference frames and one frame per thread.

    Raises:
        DamagedVideo: a packet cannot be decoded, a frame was concealed, or its time is not the expected one.
        UnsupportedVideo: the picture's size changes.
    """
    if start:
        with open_input(info.path) as container:
            entry = _enter(container, info, start, alpha)
            if entry is not None:
                yield from _checked(info, *entry, start)
                return
    with open_input(info.path) as container:
        stream = _threaded(container, info)
        decode = _decoder(stream, alpha)
        yield from _checked(info, 0, _frames(container.demux(stream), decode), start)


def _threaded(container: InputContainer, info: VideoInfo) -> VideoStream:
    stream = video_stream(container, info.stream_index)
    stream.codec_context.thread_type = "AUTO"
    stream.codec_context.thread_count = threads()
    return stream


def _decoder(stream: VideoStream, alpha: bool) -> _Decode:
    """Return what decodes a packet of `stream`: its own decoder, or libvpx where `alpha` is wanted and stored."""
    library = _WITH_ALPHA.get(stream.codec.canonical_name)
    if not alpha or library is None or stream.metadata.get("alpha_mode") != "1":
        return lambda packet: packet.decode()
    context = cast(VideoCodecContext, CodecContext.create(library, "r"))
    context.thread_count = threads()
    return lambda packet: context.decode(packet if packet.size else None)


def _frames(packets: Packets, decode: _Decode) -> Iterator[VideoFrame]:
    for packet in packets:
        yield from decode(packet)


def _enter(
    container: InputContainer, info: VideoInfo, start: int, alpha: bool
) -> tuple[int, Iterator[VideoFrame]] | None:
    """Find a clean key frame at or before `start`: its index and the frames from it on; None where there is none."""
    stream = _threaded(container, info)
    entry = enter(container, stream, info, start)
    if entry is None:
        return None
    stamp, packets = entry
    frames = _frames(packets, _decoder(stream, alpha))
    try:
        # Leading pictures, shown before the key frame, refer to frames that were skipped.
        first = next((frame for frame in frames if frame.pts is None or frame.pts >= stamp), None)
    except av.error.FFmpegError:
        return None
    index = info.timeline.index(stamp)
    return None if first is None or index is None or first.pts != stamp else (index, chain([first], frames))


def _checked(
    info: VideoInfo, index: int, frames: Iterator[VideoFrame], start: int
) -> Iterator[tuple[int, VideoFrame]]:
    size: tuple[int, int] | None = None
    try:
        for frame in frames:
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise UnsupportedVideo(
                    f"{info.path} changes its size at frame {index}: "
                    f"{size[0]}x{size[1]}, then {frame.width}x{frame.height}.",
                    "Cut the video there and process the parts separately.",
                    "video.changes_size",
                    name=info.path.name,
                    frame=index,
                )
            if frame.is_corrupt:
                raise damaged(
                    info, Damage(f"frame {index} was decoded with errors", "damage.errors", frame=index)
                )
            if info.stamped and (frame.pts is None or info.timeline.index(frame.pts) != index):
                raise damaged(info, Damage(f"frame {index} is missing", "damage.missing", frame=index))
            if index >= start:
                yield index, frame
            index += 1
    except av.error.FFmpegError as error:
        # FFmpeg's own MemoryError means a damaged size, and must not be taken for a lack of memory.
        cause = None if isinstance(error, MemoryError) else error
        raise damaged(info, undecodable(index)) from cause


def undecodable(index: int) -> Damage:
    """Damage at frame `index` or soon after it: decoders look ahead."""
    words = f"frame {index} or one soon after it cannot be decoded"
    return Damage(words, "damage.undecodable", frame=index)


def complaint(words: str) -> Damage:
    """Damage of which ffmpeg complains in its own `words`, which only say that a file is cut off, or something else."""
    is_cut = any(sign in words for sign in _SIGNS_OF_A_CUT)
    return Damage(words, "damage.cut_off" if is_cut else "damage.data")


def damaged(info: VideoInfo, what: Damage) -> DamagedVideo:
    """An error for a damaged file; `what` completes the sentence."""
    return DamagedVideo(
        f"{info.path} is damaged: {what}.",
        "Use --salvage to continue with the readable frames.",
        "video.damaged_frames",
        name=info.path.name,
        damage_key=what.key,
        **what.values,
    )
