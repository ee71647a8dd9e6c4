"""What scoring is asked with."""

from typing import Literal

from pipelines.settings.base import Settings, batch_setting, setting


class ScoreSettings(Settings):
    """Sharpness, blur, frozen frames and smoothness of a video, frame by frame."""

    window: int = setting(
        "Frames that a window score looks at.", changes_result=True, unit="frames", default=3, ge=1, le=99
    )
    score_task: Literal["video_quality", "image_quality", "image_aesthetics"] = setting(
        "What Q-Align rates: windows of the video, or each frame as a picture, for its quality or its looks.",
        changes_result=True,
        engine="qalign",
        default="video_quality",
    )
    batch_size: int | None = batch_setting("qalign")
    weight_bits: Literal["16", "8", "4"] = setting(
        "Bits of a weight in Q-Align's layers: fewer hold less and change scores a little; 16 are as published.",
        changes_result=True,
        engine="qalign",
        default="16",
    )
    weights_place: Literal["auto", "device", "host", "disk"] = setting(
        "Where Q-Align's layers wait for their turn; auto takes the fastest place that holds them.",
        changes_result=False,
        engine="qalign",
        default="auto",
    )
