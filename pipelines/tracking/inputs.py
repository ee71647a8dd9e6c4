"""What tasks that remove or mark an object read: a video, and a mask unless the object is tracked from prompts."""

from pipelines.settings import MaskSettings
from pipelines.spec import InputSpec

VIDEO = InputSpec("file", "The video.", ("Video", "视频"))
MASK = InputSpec(
    "mask",
    "What to remove, white on black: one picture for all frames; a folder or a zip of pictures, one a frame; a mask "
    "video or GIF.",
    ("Mask: picture, zip of pictures, video, GIF", "蒙版：图片、图片压缩包、视频或 GIF"),
    flag=True,
    missing=(
        "Nothing says what to remove.",
        "Give --mask, or say where the object is with --box x,y,width,height@frame.",
    ),
)


def tracker_of(settings: MaskSettings) -> tuple[str, ...]:
    """The published model that tracks the object, where one does."""
    return (settings.tracker,) if settings.follows and settings.tracker != "builtin" else ()
