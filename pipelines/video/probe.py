"""Probe a video before anything is computed: its frames, their times, colours and damage.

Reads every packet and decodes the first frame. Short clips, and files whose packets do not settle the frame count,
are decoded completely, which also finds damage that only a decoder sees.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from struct import unpack
from typing import cast

import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.errors import DamagedVideo, NotAVideo, NoVideoStream, UnsupportedVideo
from pipelines.storage.special_files import reject_special
from pipelines.video.clock.timeline import Timeline, constant, from_stamps
from pipelines.video.decoders import counting
from pipelines.video.decoders.decoding import damaged
from pipelines.video.decoders.light import with_light
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import has_decoder, open_input, reason, start_of, video_streams
from pipelines.video.files.encryption import (
    encrypted,
    has_encrypted_headers,
    has_encrypted_packets,
    packet_is_encrypted,
)
from pipelines.video.info import PLAIN_CONTAINERS, Audio, ColourTags, Damage, FieldOrder, VideoInfo
from pipelines.video.pictures import images
from pipelines.video.samples import tag_names

__all__ = ["VideoInfo", "probe"]

_NOT_VIDEOS = ("_pipe", "image2", "hls", "concat", "dash", "sdp", "tty", "lavfi")
"""Demuxers of single pictures, text, and playlists that name other files."""

_FLIPPED = (-1, 0, 0, 0, 1, 0, 0, 0, 1)
"""A display matrix that mirrors."""
_SHOWN = re.compile(r" s:(\d+)x(\d+) i:([PTB]) ")
_FIRST_FRAME_SECONDS = 60.0
"""Time limit for ffmpeg to open a file and decode its first frame, on a slow network drive."""
_SHORT_CLIP_BYTES = 512_000_000
"""Clips up to this size as RGB are decoded completely, to find damage that packets do not show."""


def probe(path: Path, *, salvage: bool = False) -> VideoInfo:
    """Describe the video file, folder of images or picture at `path`. Holds 8 bytes per frame.

    What a file is follows from its content; a still picture is a video of one frame.

    With `salvage`, a damaged file is described by the frames that can be read, and `missing_frames` counts the others.

    Raises:
        NotAVideo: missing, empty, or not a file that can be opened.
        NoVideoStream: sound or a cover picture only.
        UnsupportedVideo: no decoder, encrypted, Dolby Vision without a base, colours that cannot be converted, a
            changing size, or a rotation that is no multiple of 90 degrees.
        DamagedVideo: truncated or damaged, without `salvage`.
    """
    if path.is_dir():
        return images.probe_images(path, salvage=salvage)
    reject_special(path)
    if not path.is_file():
        raise NotAVideo(f"{path} does not exist.", "Check the path.", "input.gone", name=path.name)
    if path.stat().st_size == 0:
        raise NotAVideo(
            f"{path} is empty (0 bytes).", "Copy or download it again.", "input.empty", name=path.name
        )
    if picture := images.probe_file(path):
        return picture
    try:
        with open_input(path) as container:
            info, clock = _describe(path, container)
        packets = counting.by_packets(info)
    except av.error.FFmpegError as error:
        raise DamagedVideo(
            f"{path} is damaged ({reason(error)}).",
            "Get another copy of the file.",
            "video.damaged",
            name=path.name,
        ) from None
    damage = counting.complaints(info)
    count, damage = _count(info, packets, thorough=salvage) if damage is None else (packets, damage)
    if damage is None:
        return replace(
            info,
            timeline=clock.timeline(count),
            stamped=count.stamps is not None and count.repair is None,
            hidden_frames=packets.hidden,
            clock_shifts=count.clock_shifts,
            notes=(*info.notes, *count.notes),
        )
    if has_encrypted_packets(path) or has_encrypted_headers(path):
        raise encrypted(path)
    if not salvage:
        raise damaged(info, damage)
    count = counting.by_salvaging(info)
    if not count.frames:
        raise DamagedVideo(
            f"No frame of {path} can be read.",
            "Get another copy of the file.",
            "video.damaged",
            name=path.name,
        )
    expected = max(packets.frames, clock.header_frames - packets.hidden)
    return replace(
        info,
        timeline=clock.timeline(count),
        clock_shifts=count.clock_shifts,
        notes=(*info.notes, *count.notes),
        damage=damage,
        salvaged=True,
        missing_frames=max(0, expected - count.frames),
    )


def _count(
    info: VideoInfo, packets: counting.Count, *, thorough: bool
) -> tuple[counting.Count, Damage | None]:
    """The true count and the damage found by decoding all frames, which `thorough` demands."""
    settled = counting.packets_tell(info, packets)
    long = packets.frames * info.width * info.height * 3 > _SHORT_CLIP_BYTES
    if settled and long and not thorough:
        return packets, None
    decoded = counting.by_decoding(info)
    if settled and decoded.damage is None and decoded.frames != packets.frames:
        words = f"{packets.frames} frames are stored, {decoded.frames} can be decoded"
        return packets, Damage(words, "damage.fewer", stored=packets.frames, decoded=decoded.frames)
    if not decoded.frames:
        return decoded, Damage("no frame can be decoded", "damage.none")
    return packets if settled else decoded, decoded.damage


@dataclass(frozen=True)
class _Clock:
    """Frame rates, origin and frame count according to the headers."""

    rates: tuple[Fraction | None, ...]
    origin: Fraction
    header_frames: int

    def timeline(self, count: counting.Count) -> Timeline:
        if count.stamps is None:
            return constant(count.frames, next((rate for rate in self.rates if rate), Fraction(25)))
        return from_stamps(
            count.stamps,
            count.time_base,
            rates=self.rates,
            last_stamps=count.last_stamps,
            origin=self.origin,
        )


def _describe(path: Path, container: InputContainer) -> tuple[VideoInfo, _Clock]:
    """Describe the video by its headers and first frame; the timeline is filled in later."""
    if any(kind in container.format.name for kind in _NOT_VIDEOS):
        kind = container.format.name
        if kind.endswith("_pipe"):
            raise NotAVideo(
                f"{path} is a picture ({kind.removesuffix('_pipe')}) that cannot be read.",
                "If it is not damaged, convert it to PNG or JPEG first.",
                "picture.unreadable",
                name=path.name,
            )
        raise NotAVideo(
            f"{path} is a {kind}, not a video.", "Give the video itself.", "video.other_kind", name=path.name
        )
    stream = _find_stream(path, container)
    origin = _origin(container, stream)
    clock = _Clock((stream.guessed_rate, stream.average_rate, stream.base_rate), origin, stream.frames)
    frame = _first_frame(path, container, stream)
    if other := tag_names.OTHER_MATRICES.get(frame.colorspace):
        raise UnsupportedVideo(
            f"{path} stores its colours as {other}, which cannot be shown correctly here.",
            "Convert it to the usual YCbCr of BT.709 or BT.2020 first.",
            "video.colours",
            name=path.name,
        )
    rotation, mirrored = _orientation(path, frame)
    width, height, field_order = _shown(path, container, stream, frame)
    across = rotation in (90, 270)
    info = VideoInfo(
        path=path,
        container=container.format.name,
        codec=stream.codec.canonical_name,
        width=height if across else width,
        height=width if across else height,
        timeline=constant(0, Fraction(25)),
        stream_index=stream.index,
        rotation=rotation,
        mirrored=mirrored,
        sample_aspect_ratio=_aspect(stream.sample_aspect_ratio, across=across),
        pixel_format=frame.format.name,
        bit_depth=frame.format.components[0].bits,
        rgb=frame.format.is_rgb or frame.format.has_palette,
        colour=ColourTags(
            tag_names.RANGES.get(frame.color_range),
            tag_names.MATRICES.get(frame.colorspace),
            tag_names.PRIMARIES.get(frame.color_primaries),
            tag_names.TRANSFERS.get(frame.color_trc),
        ),
        interlaced=frame.interlaced_frame,
        audio=_audio(container),
        sound_start=_sound_start(container, origin),
        transparent=_transparent(stream, frame),
        field_order=None if rotation or mirrored else field_order,
        cropped=(width, height) != (frame.width, frame.height),
    )
    return with_light(info, frame), clock


def _find_stream(path: Path, container: InputContainer) -> VideoStream:
    streams = video_streams(container)
    if not streams:
        has = (
            "a cover picture"
            if container.streams.video
            else "sound"
            if container.streams.audio
            else "no stream"
        )
        raise NoVideoStream(
            f"{path} contains {has}, but no video.",
            "Give a file with a video stream.",
            "video.no_pictures",
            name=path.name,
        )
    return streams[0]


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    """Decode the first frame that can be decoded; in a damaged file it may not be the first one stored."""
    broken: av.error.FFmpegError | None = None
    try:
        for packet in container.demux(stream):
            if packet_is_encrypted(packet):
                raise encrypted(path)
            try:
                frames = packet.decode()
            except av.error.InvalidDataError as error:
                broken = error
                continue
            if frames:
                return frames[0]
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError, AttributeError) as error:
        if has_encrypted_headers(path):
            raise encrypted(path) from error
        raise UnsupportedVideo(
            f"There is no decoder for the video in {path}.",
            "Convert it to H.264 in MP4 first.",
            "video.no_decoder",
            name=path.name,
        ) from error
    except av.error.FFmpegError as error:
        broken = error
    if has_encrypted_headers(path):
        raise encrypted(path) from broken
    cause = None if isinstance(broken, MemoryError) else broken
    raise DamagedVideo(
        f"No frame of {path} can be decoded.",
        "Get another copy of the file.",
        "video.damaged",
        name=path.name,
    ) from cause


def _orientation(path: Path, frame: VideoFrame) -> tuple[int, bool]:
    """The counterclockwise angle in degrees that makes the frame upright, and whether it is mirrored."""
    try:
        matrix = unpack("=9i", bytes(cast(Mapping[str, bytes], frame.side_data)["DISPLAYMATRIX"]))
    except KeyError:
        return 0, False
    except ValueError:
        # PyAV gives no side data at all where it does not know one kind, such as EXIF, and its angle does not tell
        # a flip. As for mirrored video, the frames are left to ffmpeg, which applies the matrix itself.
        matrix = _FLIPPED
    if frame.rotation % 90:
        raise UnsupportedVideo(
            f"{path} is rotated by {frame.rotation} degrees.",
            "Rotate it upright with a video editor first.",
            "video.rotated",
            name=path.name,
            degrees=round(frame.rotation),
        )
    mirrored = matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
    return frame.rotation % 360, mirrored


def _aspect(ratio: Fraction | None, *, across: bool) -> Fraction:
    if not ratio or ratio <= 0:
        return Fraction(1)
    return 1 / ratio if across else ratio


def _audio(container: InputContainer) -> Audio | None:
    for stream in container.streams.audio:
        if not has_decoder(stream):
            continue
        context = stream.codec_context
        return Audio(stream.codec.canonical_name, context.channels, context.rate)
    return None


def _origin(container: InputContainer, stream: VideoStream) -> Fraction:
    """The time on the file's clock at which its first track begins.

    0 for MP4 and MOV, whose edit lists place each track on a clock that begins there, except where they are fragmented:
    pieces of a stream keep its clock. Other clocks start anywhere, and times before 0 are the encoder's run-in.
    """
    starts = [start for start in map(start_of, (stream, *container.streams.audio)) if start is not None]
    earliest = min(starts, default=Fraction(0))
    if container.format.name in counting.BROADCAST:
        return earliest
    whole_mp4 = "mp4" in container.format.name.split(",") and stream.frames > 0
    return Fraction(0) if whole_mp4 else max(earliest, Fraction(0))


def _shown(
    path: Path, container: InputContainer, stream: VideoStream, frame: VideoFrame
) -> tuple[int, int, FieldOrder | None]:
    """The size that is left where the container crops, and the order of fields. PyAV tells neither."""
    if not frame.interlaced_frame and PLAIN_CONTAINERS.isdisjoint(container.format.name.split(",")):
        return frame.width, frame.height, None
    listing = ffmpeg.run(
        [
            *("-v", "info", "-noautorotate", *ffmpeg.source(path), "-map", f"0:{stream.index}"),
            *("-frames:v", "1", "-vf", "showinfo", "-f", "null", "-"),
        ],
        timeout_seconds=_FIRST_FRAME_SECONDS,
    ).stderr
    found = _SHOWN.search(listing)
    if found is None:  # A damaged file, of which the caller says more.
        return frame.width, frame.height, None
    orders: dict[str, FieldOrder] = {"T": "tff", "B": "bff"}
    return int(found[1]), int(found[2]), orders.get(found[3]) if frame.interlaced_frame else None


def _transparent(stream: VideoStream, frame: VideoFrame) -> bool:
    if stream.metadata.get("alpha_mode") == "1":  # VP8 and VP9 store alpha beside the picture.
        return True
    if not any(component.is_alpha for component in frame.format.components) and not frame.format.has_palette:
        return False
    return bool(frame.to_ndarray(format="rgba")[:, :, 3].min() < 255)


def _sound_start(container: InputContainer, origin: Fraction) -> Fraction | None:
    starts = [start - origin for start in map(start_of, container.streams.audio) if start is not None]
    return min(starts, default=None)
