"""What every task that makes a video is asked with."""

from typing import Literal

from pipelines.settings.base import Place, Settings, setting

Codec = Literal["h264", "h265", "prores4444", "vp9", "h264_nvenc", "h265_nvenc"]
VIDEO_SUFFIXES: dict[Codec, str] = {
    **{"h264": ".mp4", "h265": ".mp4", "h264_nvenc": ".mp4", "h265_nvenc": ".mp4"},
    **{"prores4444": ".mov", "vp9": ".webm"},
}
"""What a video of each codec is kept in."""


class FilmSettings(Settings):
    """What every task that makes a video is asked with."""

    codec: Codec = setting(
        "How the result is encoded; where only a part is made, prores4444 and vp9 are transparent around it.",
        changes_result=True,
        default="h264",
    )
    crf: int | None = setting(
        "The encoder's rate factor: lower is better and larger; by default it follows the quality.",
        changes_result=True,
        default=None,
        ge=0,
        le=51,
    )
    frames_out: Place | None = setting(
        "Also write each frame of the result into this folder, as 00000.png and so on.",
        changes_result=False,
        default=None,
    )
