"""The ways in which frames are encoded: one packet a frame, in the order of the frames, each file playable alone."""

import functools
from dataclasses import dataclass
from typing import Literal

from pipelines.errors import BadInput
from pipelines.settings import Codec
from pipelines.video import ffmpeg

AnyCodec = Codec | Literal["ffv1"]
"""What a result may be encoded with, and what loses nothing: brightness alone, at any size."""

_TRIAL_SECONDS = 20.0


@dataclass(frozen=True)
class Encoding:
    """Arguments for ffmpeg.

    `alpha`: frames are RGBA. `even`: both sides must be even.
    """

    arguments: tuple[str, ...]
    alpha: bool = False
    even: bool = True


def encoding(codec: AnyCodec, crf: int, preset: str = "veryfast") -> Encoding:
    """How `codec` encodes at the quality `crf` (lower is better and larger; ProRes has one quality).

    Nothing is reordered and no frame is hidden, so that packets can be counted and given times. x265 would write a
    line of its own on stderr, and players know its video in MP4 as `hvc1`.
    """
    plain = ("-pix_fmt", "yuv420p", "-bf", "0")
    by_crf = ("-preset", preset, "-crf", str(crf), *plain)
    by_cq = ("-rc", "vbr", "-cq", str(crf), "-b:v", "0", *plain)
    match codec:
        case "h264":
            return Encoding(("-c:v", "libx264", *by_crf))
        case "h265":
            quiet = ("-x265-params", "log-level=error", "-tag:v", "hvc1")
            return Encoding(("-c:v", "libx265", *by_crf, *quiet))
        case "h264_nvenc":
            return Encoding(("-c:v", "h264_nvenc", *by_cq))
        case "h265_nvenc":
            return Encoding(("-c:v", "hevc_nvenc", *by_cq, "-tag:v", "hvc1"))
        case "prores4444":
            kind = ("-profile:v", "4444", "-pix_fmt", "yuva444p10le", "-alpha_bits", "8", "-vendor", "apl0")
            return Encoding(("-c:v", "prores_ks", *kind), alpha=True, even=False)
        case "vp9":
            speed = ("-deadline", "good", "-cpu-used", "5", "-row-mt", "1", "-auto-alt-ref", "0")
            by_quality = ("-crf", str(crf), "-b:v", "0", "-pix_fmt", "yuva420p")
            return Encoding(("-c:v", "libvpx-vp9", *by_quality, *speed), alpha=True, even=False)
        case "ffv1":
            each_alone = ("-level", "3", "-g", "1", "-slices", "4")
            return Encoding(("-c:v", "ffv1", *each_alone, "-pix_fmt", "gray"), even=False)


def check_available(codec: Codec) -> None:
    """Raise BadInput where `codec` needs a graphics card that does not encode."""
    if codec.endswith("_nvenc") and not _encodes(codec):
        raise BadInput(
            f"{codec} cannot encode here: no NVIDIA driver with an encoder answers.",
            f"Use --codec {codec.removesuffix('_nvenc')}.",
        )


@functools.cache
def _encodes(codec: Codec) -> bool:
    """Whether one frame comes through: driver, card and ffmpeg must all have it."""
    source = ("-f", "lavfi", "-i", "color=size=256x144:duration=0.04")
    how = encoding(codec, 23).arguments
    trial = ffmpeg.run([*source, *how, "-f", "null", "-"], timeout_seconds=_TRIAL_SECONDS)
    return trial.returncode == 0
