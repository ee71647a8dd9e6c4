"""Frames of a video from any frame on, exactly, a bounded number of them at a time.

Three decoders hand out the same frames. decord reads short ordinary clips; it decodes ahead without limit and
its seeking is wrong on many files, so it only reads small clips from their start. PyAV reads everything else.
ffmpeg reads what the two cannot: mirrored pictures and what is left of a damaged file.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from importlib.util import find_spec
from typing import Literal

from pipelines.errors import DamagedVideo, UnsupportedVideo
from pipelines.video.decoding import damaged, iter_decoded
from pipelines.video.frame import Frame, RgbPicture, YuvPicture, luma_weights
from pipelines.video.images import iter_images
from pipelines.video.info import VideoInfo
from pipelines.video.prefetch import read_ahead
from pipelines.video.reader_decord import iter_by_decord
from pipelines.video.reader_ffmpeg import iter_by_ffmpeg

__all__ = ["Frame", "choose_decoder", "held_bytes", "read_frames"]

Decoder = Literal["auto", "decord", "pyav", "ffmpeg"]

READ_AHEAD_FRAMES = 4
DECORD_MOST_BYTES = 512_000_000
"""Frames of a whole clip, as RGB: what decord may hold when its consumer is slow."""

_DECORD_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "prores", "ffv1"})
_REFERENCE_FRAMES = 16
