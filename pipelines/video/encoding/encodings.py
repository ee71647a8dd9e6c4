"""How frames are encoded: one packet per frame, in frame order, each file playable on its own."""

import functools
from dataclasses import dataclass
from typing import Literal

from pipelines.errors import BadInput
from pipelines.settings import Codec
from pipelines.video.files import ffmpeg

AnyCodec = Codec | Literal["ffv1"]
"""The codecs of results, and FFV1: lossless, grey, any size, for masks."""

_TRIAL_SECONDS = 20.0
"""Time limit for encoding one tiny frame, which includes starting the driver."""


@dataclass(frozen=True)
class Encoding:
    """Encoder arguments for ffmpeg. `alpha`: frames are RGBA. `even`: width and height must be even."""

    arguments: tuple[str, ...]
    alpha: bool = False
    even: bool = True


def keeps_fields(codec: AnyCodec, height: int) -> bool:
    """Whether frames can be encoded as two fields each; 4:2:0 needs whole rows of chroma in both."""
    return codec == "prores4444" or (codec == "h264" and height % 4 == 0)


def encoding(codec: AnyCodec, crf: int, preset: str = "veryfast") -> Encoding:
    """The encoding of `codec` at the quality `crf` (lower is better and larger; ProRes has one quality).

    Frames are neither reordered nor hidden, so that packets can be counted and given times. x265 is kept from writing
    to stderr, and its MP4 video is tagged `hvc1`, the tag that players know.
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
    """Raise BadInput where `codec` needs an NVIDIA encoder and there is none."""
    if codec.endswith("_nvenc") and not _encodes(codec):
        raise BadInput(
            f"{codec} is not available: no NVIDIA GPU with a video encoder was found.",
            f"Use --codec {codec.removesuffix('_nvenc')}.",
        )


@functools.cache
def _encodes(codec: Codec) -> bool:
    """Whether a test frame can be encoded: driver, GPU and ffmpeg must all support it."""
    source = ("-f", "lavfi", "-i", "color=size=256x144:duration=0.04")
    how = encoding(codec, 23).arguments
    trial = ffmpeg.run([*source, *how, "-f", "null", "-"], timeout_seconds=_TRIAL_SECONDS)
    return trial.returncode == 0
