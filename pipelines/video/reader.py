"""Read frames from any position, exactly, with a bounded number of them in memory.

Three decoders yield the same frames. decord reads short ordinary clips: it decodes ahead without limit and seeks
wrongly in many files, so it is used for small ones and never seeks. PyAV reads everything else. ffmpeg reads what these
two cannot: mirrored video, video that its container crops, and the readable part of a damaged file.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Literal

import numpy as np
from av.video.format import VideoFormat

from pipelines.errors import UnsupportedVideo
from pipelines.storage.names import printable
from pipelines.video.decoders.decoding import damaged, iter_decoded, threads
from pipelines.video.decoders.prefetch import read_ahead
from pipelines.video.decoders.reader_decord import CannotOpen, open_decord
from pipelines.video.decoders.reader_ffmpeg import iter_by_ffmpeg
from pipelines.video.frame import Frame, Picture, RgbPicture, YuvPicture, luma_weights
from pipelines.video.info import Damage, VideoInfo
from pipelines.video.pictures.images import iter_images, largest_decoding_bytes

__all__ = ["Decoder", "Frame", "bounded_decoder", "choose_decoder", "held_bytes", "read_frames"]

Decoder = Literal["auto", "decord", "pyav", "ffmpeg"]
Numbered = Iterator[tuple[int, Picture]]

READ_AHEAD_FRAMES = 4
"""Frames decoded ahead by default: more would only hold memory, as in `presets/tiers.toml`."""
DECORD_MOST_BYTES = 512_000_000
"""Largest clip, as RGB, for decord, which may hold all of it when its consumer is slow."""

_DECORD_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "prores", "ffv1"})
_NOT_STORED = "gives no samples as they are stored"
REFERENCE_FRAMES = 17
"""The 16 reference frames that H.264 and HEVC allow, and the frame being decoded."""


def read_frames(
    info: VideoInfo,
    start: int = 0,
    stop: int | None = None,
    *,
    decoder: Decoder = "auto",
    salvage: bool = False,
    luma_only: bool = False,
    alpha: bool = False,
    planes: bool = False,
    ahead: int = READ_AHEAD_FRAMES,
) -> Generator[Frame, None, None]:
    """Yield frames `[start, stop)`, with the same pixels and times whatever `start` is. Close it when leaving early.

    A thread decodes `ahead` frames ahead of the consumer. Holds `held_bytes`. A damaged file is read where `info` was
    probed with `salvage`; then `info.frames` counts the readable frames and `info.missing_frames` the others. With
    `luma_only`, `auto` prefers a decoder that gives luma directly; colours remain available. With `alpha`, it does as
    well, and frames have their alpha channel where one is stored, unless ffmpeg reads them. With `planes`, frames have
    their samples as stored, whichever decoder reads them.

    Raises:
        DamagedVideo: at a frame that cannot be read, or where there are fewer or more frames than counted.
        UnsupportedVideo: the size changes, or `decoder` does not read this file exactly.
        ReaderStalled: the decoder yields no frame for too long.
    """
    stop = info.frames if stop is None else min(stop, info.frames)
    if not 0 <= start <= stop:
        raise ValueError(f"frames {start} to {stop} of {info.frames}")
    if info.salvaged and not salvage:
        raise damaged(info, info.damage or Damage("frames are missing", "damage.some"))
    if start == stop:
        return
    wanted = _Wanted(luma_only or alpha or planes, alpha, planes)
    pictures = _iter_pictures(info, start, stop, decoder, wanted)
    with closing(read_ahead(pictures, ahead)) as numbered:
        for index, picture in numbered:
            yield Frame(index, info.timeline.time(index), picture)


def choose_decoder(info: VideoInfo, *, luma_only: bool = False) -> Decoder:
    """Choose the fastest decoder that is exact for this file and stays within its memory.

    decord gives only RGB, and luma computed from clipped RGB differs a little from the stored one. With `luma_only`
    it is not chosen, so that short and long clips are measured alike.
    """
    if info.salvaged or info.mirrored or info.cropped:
        return "ffmpeg"
    return "pyav" if luma_only or why_not_decord(info) else "decord"


def bounded_decoder(info: VideoInfo, asked: Decoder) -> Decoder:
    """Choose the decoder for a consumer slower than decoding: `asked`, or an exact one that waits for the consumer.

    decord decodes ahead without limit, so it is used only where it is asked for.
    """
    return choose_decoder(info, luma_only=True) if asked == "auto" else asked


def held_bytes(info: VideoInfo, decoder: Decoder = "auto", *, luma_only: bool = False) -> int:
    """Estimate, from above, what reading holds in bytes, without the frames that the consumer keeps or converts.

    Counts as many reference frames as the standard allows; most clips use a few.
    """
    pixels = info.width * info.height
    decoder = choose_decoder(info, luma_only=luma_only) if decoder == "auto" else decoder
    waiting = READ_AHEAD_FRAMES + 2
    if info.images:
        return waiting * 3 * pixels + largest_decoding_bytes(info)
    if decoder == "decord":
        return (info.frames + REFERENCE_FRAMES) * 3 * pixels
    as_stored = stored_bytes(info.width, info.height, info.pixel_format)
    decoding = (REFERENCE_FRAMES + threads()) * as_stored
    # Samples that come through a pipe are there twice: in arrays, and in a frame that converts them.
    piped = round(2 * info.layout.bytes_per_pixel * pixels) if info.deep or info.hdr else 3 * pixels
    return decoding + waiting * (as_stored if decoder == "pyav" else piped)


def stored_bytes(width: int, height: int, pixel_format: str) -> int:
    """Return the bytes of one decoded frame in its pixel format."""
    bits: int = VideoFormat(pixel_format, 0, 0).padded_bits_per_pixel
    return width * height * bits // 8


def may_have_alpha(pixel_format: str) -> bool:
    """Tell whether pictures in this format have an alpha channel, or a palette, whose colours may be transparent."""
    if not pixel_format:
        return False
    kind = VideoFormat(pixel_format, 0, 0)
    return kind.has_palette or any(component.is_alpha for component in kind.components)


def why_not_decord(info: VideoInfo) -> str | None:
    """The reason why decord cannot read this file exactly and within its limit; None where it can."""
    reasons = {
        "is not installed": find_spec("decord") is None,
        f"does not read {info.codec} in {info.container} reliably": info.codec not in _DECORD_CODECS
        or not info.plain_container,
        "repeats frames where some are hidden": info.hidden_frames > 0,
        "needs a time for each frame": not info.stamped or info.timeline.stamp(0) < 0,
        "rotates mirrored video wrongly": info.mirrored,
        "does not crop": info.cropped,
        "drops transparency": info.transparent or may_have_alpha(info.pixel_format),
        "does not salvage": info.salvaged,
        "opens no name that is not UTF-8": printable(str(info.path)) != str(info.path),
        "changes colours of more than 8 bits": info.bit_depth > 8,
        "shows HDR in wrong colours": info.hdr is not None,
        "is not exact for interlaced video": info.interlaced,
        "would hold too many frames": info.frames * info.width * info.height * 3 > DECORD_MOST_BYTES,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


@dataclass(frozen=True)
class _Wanted:
    """What frames must give: luma as stored, their alpha, their samples as stored."""

    luma: bool
    alpha: bool
    planes: bool


def _iter_pictures(
    info: VideoInfo, start: int, stop: int, decoder: Decoder, wanted: _Wanted
) -> Generator[tuple[int, Picture], None, None]:
    """Yield pictures `[start, stop)`. Raises DamagedVideo where there are fewer or more than counted."""
    due = start
    for index, picture in _open(info, start, decoder, wanted):
        if index >= info.frames:
            words = f"it has more than the {info.frames} frames that were counted"
            raise damaged(info, Damage(words, "damage.more", frames=info.frames))
        if index != due:
            words = f"it gives frame {index} instead of {due}"
            raise damaged(info, Damage(words, "damage.order", frame=index, due=due))
        yield index, picture
        due = index + 1
        if due == stop < info.frames:
            return
    if due < stop:
        words = f"it ends after {due} of {info.frames} frames"
        raise damaged(info, Damage(words, "damage.ends", read=due, frames=info.frames))


def _open(info: VideoInfo, start: int, decoder: Decoder, wanted: _Wanted) -> Numbered:
    if info.images:
        weights = luma_weights(info)
        return (
            (index, RgbPicture(partial(np.copy, pixels), weights))
            for index, pixels in enumerate(iter_images(info, start, info.frames), start)
        )
    asked = decoder
    decoder = choose_decoder(info, luma_only=wanted.luma) if asked == "auto" else asked
    if decoder == "ffmpeg":
        return iter_by_ffmpeg(info, start, planes=wanted.planes)
    if asked == "decord" and (reason := _NOT_STORED if wanted.planes else why_not_decord(info)):
        raise UnsupportedVideo(
            f"decord {reason} ({info.path}).", "Use --decoder auto.", "decoder.cannot", name=info.path.name
        )
    if asked == "pyav" and (info.mirrored or info.salvaged or info.cropped):
        raise UnsupportedVideo(
            f"PyAV cannot read this file correctly ({info.path}).",
            "Use --decoder auto.",
            "decoder.cannot",
            name=info.path.name,
        )
    if decoder == "decord":
        try:
            return open_decord(info, start)
        except CannotOpen as error:
            if asked == "decord":
                raise UnsupportedVideo(
                    f"decord {error} ({info.path}).",
                    "Use --decoder auto.",
                    "decoder.cannot",
                    name=info.path.name,
                ) from error
    return (
        (index, YuvPicture(frame, info))
        for index, frame in iter_decoded(info, start, alpha=wanted.alpha or info.transparent)
    )
