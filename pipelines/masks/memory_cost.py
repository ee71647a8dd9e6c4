"""Memory that reading a job's masks holds, estimated from headers before any of them is decoded."""

from pathlib import Path
from typing import IO

from PIL import Image

from pipelines.errors import LongtakeError
from pipelines.masks.bundle import ANY_SIZE, max_pixels, open_bundle
from pipelines.masks.sources import LOSSLESS
from pipelines.video.decoders.decoding import threads
from pipelines.video.files.demuxing import open_input
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.heic import is_heic
from pipelines.video.pictures.picture import FORMATS, UNREADABLE, identify, size_of
from pipelines.video.pictures.picture_pixels import STRIP_BYTES, core_bytes, decoder_bytes, decoding_bytes
from pipelines.video.reader import READ_AHEAD_FRAMES, REFERENCE_FRAMES, stored_bytes

_VALUE_BYTES = 6
"""Bytes per pixel of a mask video's frame while it is read: its luma or alpha, as floats where it has more than 8 bits,
and the mask."""


def reading_bytes(path: Path, video: VideoInfo, *, readers: int) -> int:
    """Estimate what reading the masks at `path` for `video` holds at its peak, with `readers` at once.

    A reader keeps a mask of the video's size. Images are decoded one at a time, whoever reads them; animations and
    videos have a decoder for each reader. 0 where they cannot be read: reading them says what is wrong.
    """
    path, masks = path.expanduser(), readers * video.width * video.height
    try:
        bundle = open_bundle(path, video.frames, ANY_SIZE)
        if bundle is None:
            return readers * _video_bytes(path) + masks
        most = max_pixels(video)
        images = (content + _image_bytes(file, most) for file, content in bundle.heads())
        return max(images, default=0) + masks
    except (LongtakeError, LookupError, *UNREADABLE):
        return 0


def prompt_bytes(path: Path, video: VideoInfo) -> int:
    """Estimate what the painted prompts at `path` hold: a mask of the video's size for each, and one that is read."""
    try:
        bundle = open_bundle(path.expanduser(), video.frames, ANY_SIZE)
    except LongtakeError:
        return 0
    return (
        len(bundle.names) * video.width * video.height + reading_bytes(path, video, readers=1)
        if bundle
        else 0
    )


def _image_bytes(file: Path | IO[bytes], most_pixels: int) -> int:
    """Estimate what decoding one image holds; 0 for one that is too large to be decoded."""
    try:
        if isinstance(file, Path) and is_heic(file):
            return decoding_bytes(file, size_of(file))
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                return 0
            return core_bytes(image) + max(decoder_bytes(image), STRIP_BYTES)
    except (Image.DecompressionBombError, LongtakeError, *UNREADABLE):
        return 0


def _video_bytes(path: Path) -> int:
    """Estimate what decoding a mask video, or an animation, holds."""
    picture = identify(path)
    if picture is not None and picture.by_pillow:
        return _image_bytes(path, ANY_SIZE)
    with open_input(path) as container:
        stream = container.streams.video[0]
        frame_bytes = stored_bytes(stream.width, stream.height, stream.pix_fmt or "yuv420p")
        references = 1 if stream.codec_context.name in LOSSLESS else REFERENCE_FRAMES
        frames = references + threads() + READ_AHEAD_FRAMES + 2
        return frames * frame_bytes + _VALUE_BYTES * stream.width * stream.height
