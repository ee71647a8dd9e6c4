"""The sound of a source, packet by packet, as a joined file takes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from pipelines.errors import LongtakeError
from pipelines.video import ffmpeg
from pipelines.video.demuxing import open_input

_SELDOM_PLAYED = ("pcm_", "vorbis", "alac", "dts", "truehd")
_BITRATE = "192k"
_ENCODE_SECONDS = 3600.0


@dataclass
class Sound:
    """One sound track on its way into the joined file: packets between two times, moved by `shift`.

    All in seconds of the source's clock. `packets` and `size_bytes` count what was handed over.
    """

    source: AudioStream
    target: AudioStream
    start: Fraction | None
    stop: Fraction | None
    shift: Fraction
    packets: int = 0
    size_bytes: int = 0
