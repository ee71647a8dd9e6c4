"""Settings of tasks that make a video."""

from typing import Literal

from pipelines.settings.base import Place, Settings, setting

Codec = Literal["h264", "h265", "prores4444", "vp9", "h264_nvenc", "h265_nvenc"]
VIDEO_SUFFIXES: dict[Codec, str] = {
    **{"h264": ".mp4", "h265": ".mp4", "h264_nvenc": ".mp4", "h265_nvenc": ".mp4"},
    **{"prores4444": ".mov", "vp9": ".webm"},
}
"""The container of each codec."""


class FilmSettings(Settings):
    """Settings of tasks that make a video."""

    codec: Codec = setting(
        "Codec of the result; prores4444 and vp9 keep transparency: around what a removal filled, and of a portrait.",
        changes_result=True,
        default="h264",
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
