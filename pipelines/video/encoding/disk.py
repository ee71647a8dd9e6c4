"""Estimating what a result takes on the disk."""

from pipelines.settings import FixedCodec
from pipelines.video.encoding.encodings import frame_pixel_bytes, keeps_depth
from pipelines.video.info import VideoInfo

_PNG_SHARE = 0.7
"""Share of an exported PNG frame's bytes that compression leaves: an estimate."""


def result_bytes(video: VideoInfo, codec: FixedCodec, frames: int, *, pictures: bool) -> int:
    """Estimate the bytes of `frames` made from `video`: their segments, the joined file and, if asked for, pictures.

    Segments and file are each about as large as the same frames of the source, unless the codec says otherwise.
    """
    files = video.images or (video.path,)
    source = sum(path.stat().st_size for path in files) / video.frames
    pixels = video.width * video.height
    encoded = frame_pixel_bytes(codec, video.layout)
    size = 3 * source if encoded is None else 2 * max(source, encoded * pixels)
    sample_bytes = 2 if video.deep and keeps_depth(codec) else 1
    exported = _PNG_SHARE * 3 * sample_bytes * pixels if pictures else 0
    return int((size + exported) * frames)
