"""Segments into one file: the pictures at their own times, and the source's sound, packet by packet.

A segment has no reordered frames, so its packets come in the order of the frames, and packet `i` gets the time of
frame `i`. That is one way for constant and variable rates, and nothing is encoded again.
"""

import errno
import heapq
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from pathlib import Path

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from pipelines.errors import EncoderDied, LongtakeError, NotEnoughDisk
from pipelines.spans import Span
from pipelines.video import ffmpeg
from pipelines.video.demuxing import open_input
from pipelines.video.info import VideoInfo
from pipelines.video.sound import Sound, SoundRefused, encode_to_aac, open_sound
from pipelines.video.timeline import Timeline

_FINEST = 10_000_000
_TOLERANCE_SECONDS = Fraction(1, 2000) + Fraction(1, 1_000_000)
_NOT_COPIED = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})


@dataclass(frozen=True)
class JoinReport:
    """What was joined: frames, sound packets, and sentences that the user should read."""

    frames: int
    audio_packets: int
    warnings: tuple[str, ...] = ()


def join_segments(segments: Sequence[Path], info: VideoInfo, frames: Span, out: Path) -> JoinReport:
    """Join the segments of `frames` into `out` (MP4, or Matroska where the name has `.mkv`), and check it.

    The whole video keeps the source's times, a delayed beginning included; a part of it begins at 0, and its
    sound is cut to it, whole packets. Sound that the container refuses is encoded to AAC, with a warning.
    Holds a few packets. Writes to `out` itself, which is whole once this returns; a temporary file beside it
    holds encoded sound meanwhile.

    Raises:
        NotEnoughDisk: the disk is full.
        EncoderDied: segments and frames do not match, or the file is not what it should be.
    """
    with ExitStack() as stack:
        sound_path: Path | None = None if info.images else info.path
        warnings: list[str] = []
        try:
            return _join(segments, info, frames, out, sound_path, warnings)
        except SoundRefused as refused:
            encoded = out.with_name(f"{out.name}.sound.m4a")
            stack.callback(encoded.unlink, missing_ok=True)
            warnings = [refused.warning]
            ...
