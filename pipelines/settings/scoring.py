"""Settings of the task `score`."""

from typing import Literal

from pipelines.settings.base import Settings, batch_setting, setting


class ScoreSettings(Settings):
    """Sharpness, blur, frozen frames and smoothness of a video, frame by frame."""

    window: int = setting(
        "Frames in the window of a window score.", changes_result=True, unit="frames", default=3, ge=1, le=99
    )
    score_task: Literal["video_quality", "image_quality", "image_aesthetics"] = setting(
        "What Q-Align rates: windows of the video, or single frames for their quality or aesthetics.",
        changes_result=True,
        engine="qalign",
        default="video_quality",
    )
    batch_size: int | None = batch_setting("qalign")
    weight_bits: Literal["16", "8", "4"] = setting(
        "Bits per weight of Q-Align: fewer need less memory and change scores a little; 16 is as published.",
        changes_result=True,
        engine="qalign",
        default="16",
    )
    weights_place: Literal["auto", "device", "host", "disk"] = setting(
        "Where Q-Align's layers are kept while they are not in use; auto uses the fastest place with enough room.",
        changes_result=False,
        engine="qalign",
        default="auto",
    )
