"""Settings of tasks that make a video."""

from typing import Literal

from pipelines.settings.base import MOST_SECONDS, Place, Settings, setting

FixedCodec = Literal[
    "h264",
    "h265",
    "prores4444",
    "vp9",
    "h264_nvenc",
    "h265_nvenc",
    "av1_10",
    "h265_10",
    "prores422hq",
    "ffv1",
]
Codec = Literal["auto", FixedCodec]
"""A codec, or `auto`: H.264 for 8 bits, and AV1 with 10 bits for what has more or is HDR."""
VIDEO_SUFFIXES: dict[Codec, str] = {
    **{"auto": ".mp4", "h264": ".mp4", "h265": ".mp4", "h264_nvenc": ".mp4", "h265_nvenc": ".mp4"},
    **{"av1_10": ".mp4", "h265_10": ".mp4", "prores422hq": ".mov", "prores4444": ".mov"},
    **{"vp9": ".webm", "ffv1": ".mkv"},
}
"""The container of each codec; `auto` chooses among those of one container."""


class FilmSettings(Settings):
    """Settings of tasks that make a video."""

    codec: Codec = setting(
        "Codec of the result; auto keeps the depth of the source: h264 for 8 bits, av1_10 for more and for HDR. "
        "ffv1 is lossless; prores4444 and vp9 keep transparency: around what a removal filled, and of a portrait. "
        "8-bit codecs make standard dynamic range of HDR.",
        changes_result=True,
        default="auto",
    )
    crf: int | None = setting(
        "Constant rate factor of the encoder: lower is better and larger; by default it follows the quality.",
        changes_result=True,
        default=None,
        ge=0,
        le=51,
    )
    frames_out: Place | None = setting(
        "Also write every frame of the result into this folder, as 00000.png and so on.",
        changes_result=False,
        default=None,
    )


class CopySettings(FilmSettings):
    """Decode and re-encode a video with its sound: a test of decoding, encoding and joining on a file."""


class CompareSettings(FilmSettings):
    """Put a video and its source above each other in one video."""

    source_start: float | None = setting(
        "Time of the source at which the video begins.",
        changes_result=True,
        unit="s",
        default=None,
        ge=0,
        le=MOST_SECONDS,
    )
