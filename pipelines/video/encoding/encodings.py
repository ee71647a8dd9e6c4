"""How frames are encoded: one packet per frame, in frame order, each file playable on its own."""

import functools
from dataclasses import dataclass
from typing import Literal

from pipelines.errors import BadInput
from pipelines.settings import Codec, FixedCodec
from pipelines.video.files import ffmpeg
from pipelines.video.info import ContentLight, VideoInfo
from pipelines.video.samples.layout import SampleLayout

RGB = SampleLayout(8, "rgb")
"""The layout of frames that are not planes: `(H, W, 3)` uint8."""
_EIGHT, _TEN = SampleLayout(8, "420"), SampleLayout(10, "420")

AnyCodec = FixedCodec | Literal["ffv1_gray"]
"""Those of results, and lossless grey of any size, for masks."""

_TRIAL_SECONDS = 20.0
"""Time limit for encoding one tiny frame, which includes starting the driver."""
_DEEP = frozenset({"av1_10", "h265_10", "prores422hq", "prores4444", "ffv1"})
"""Codecs that keep more than 8 bits."""
_AV1_THREADS = 2
"""SVT-AV1's level of parallelism, 1 to 6: fixed, so that its memory is that of every machine. The result is the same at
all levels. Measured at 1080p on two cores after 50 frames: 1 holds 273 bytes a pixel and is slower; 2 holds 345; 4
holds 517 and is no faster."""
_HELD_PIXEL_BYTES = {"av1_10": 450, "h265_10": 330, "prores422hq": 110, "prores4444": 125, "ffv1": 135}
"""Bytes per pixel that an encoder holds, from above: at 1080p measured at 412 (200 frames), 277, 90, 104 and 112."""
_H264_PIXEL_BYTES = 170
"""The same of libx264 `veryfast`, for look-ahead, references and conversion: measured at 120 to 165. Others with 8 bits
are counted alike."""
_LEAST_PX = 16
"""x265 takes no smaller width or height: such pictures are padded, and the stream says which part is shown. SVT-AV1
takes them, but keeps too little room: it ended in pictures of 2 to 10 pixels by writing past its buffers, or with an
error. AV1 has nothing to crop with, so libaom encodes them: slower, but these are small."""
_AV1_SMALL_PX = 128 * 128
"""Below this area SVT-AV1 encodes frames in order, each in a packet of its own. Otherwise a packet holds up to six, and
ffmpeg takes none of more than eight raw frames: noise at 17x19 had more with CRF 4, at 24x24 and 120x18 with CRF 1.
In order, none of 419 clips failed."""
_X265_NARROW_PX = 64
"""Below this width x265 weighs blocks without looking ahead (its cutree). With AVX-512 that writes past its buffers in
pictures of up to 48 pixels across (found by the checks of glibc's malloc with x265 of ffmpeg 9; 50 and more are
clean), which ends the encoder at random."""
_FRAME_PIXEL_BYTES = {"prores422hq": 0.5, "prores4444": 0.75, "ffv1": 0.7}
"""Bytes per pixel of an encoded frame: ProRes has 0.47 and 0.70 at 1080p; FFV1 a share of the samples' own bytes, which
with much noise is 0.7."""


@dataclass(frozen=True)
class Encoding:
    """Encoder arguments for ffmpeg, and the layout of what it encodes.

    `alpha`: frames in RGB have a fourth channel. `even`: width and height must be even. `least_px`: so must they be at
    least; what is padded for that is not shown.
    """

    arguments: tuple[str, ...]
    layout: SampleLayout
    alpha: bool = False
    even: bool = True
    least_px: int = 1


def chosen_codec(asked: Codec, video: VideoInfo | None) -> FixedCodec:
    """Return the codec that `auto` stands for: one that keeps the depth of the video, or H.264 for 8 bits and None."""
    if asked != "auto":
        return asked
    return "av1_10" if video and (video.deep or video.hdr) else "h264"


def keeps_depth(codec: AnyCodec) -> bool:
    """Whether results in `codec` may have more than 8 bits, and so HDR; the others are 8 bits and SDR."""
    return codec in _DEEP


def keeps_alpha(codec: AnyCodec, source: SampleLayout) -> bool:
    """Whether samples in the layout `source` keep their transparency in `codec`."""
    return keeps_depth(codec) and encoding(codec, 0, source=source).layout.alpha


def held_pixel_bytes(codec: FixedCodec) -> int:
    """Return the bytes per pixel that the encoder's process holds at most."""
    return _HELD_PIXEL_BYTES.get(codec, _H264_PIXEL_BYTES)


def frame_pixel_bytes(codec: FixedCodec, source: SampleLayout) -> float | None:
    """Return the bytes per pixel of an encoded frame; None for codecs that make it about as large as the source's."""
    share = _FRAME_PIXEL_BYTES.get(codec)
    return share * source.bytes_per_pixel if codec == "ffv1" and share else share


def keeps_fields(codec: AnyCodec, height: int) -> bool:
    """Whether frames can be encoded as two fields each; 4:2:0 needs whole rows of chroma in both."""
    return codec in ("prores4444", "prores422hq", "ffv1") or (codec == "h264" and height % 4 == 0)


def encoding(
    codec: AnyCodec,
    crf: int,
    preset: str = "veryfast",
    source: SampleLayout = RGB,
    *,
    width: int | None = None,
    height: int | None = None,
    light: ContentLight | None = None,
) -> Encoding:
    """The encoding of `codec` at the quality `crf` (lower is better and larger; ProRes and FFV1 have one quality).

    `source` is the layout of the frames, which FFV1 keeps, and `width` and `height` are theirs, if known. Frames are
    neither reordered nor hidden, so that packets can be counted and given times. x265 is kept from writing to stderr,
    and its MP4 video is tagged `hvc1`, the tag that players know. A `light` level of which half is known goes to the
    encoder by an option; others come with the frames.
    """
    plain = ("-pix_fmt", "yuv420p", "-bf", "0")
    by_crf = ("-preset", preset, "-crf", str(crf))
    by_cq = ("-rc", "vbr", "-cq", str(crf), "-b:v", "0", *plain)
    narrow = ":cutree=0" if width is not None and width < _X265_NARROW_PX else ""
    levels = f"{light.max_cll},{light.max_fall}" if light and light.half_known else ""
    half = f":max-cll={levels}" if levels and codec == "h265_10" else ""
    quiet = ("-x265-params", f"log-level=error{narrow}{half}", "-tag:v", "hvc1", *_cropped(width, height))
    match codec:
        case "h264":
            return Encoding(("-c:v", "libx264", *by_crf, *plain), _EIGHT)
        case "h265":
            return Encoding(("-c:v", "libx265", *by_crf, *plain, *quiet), _EIGHT, least_px=_LEAST_PX)
        case "h265_10":
            ten = ("-pix_fmt", _TEN.pixel_format, "-bf", "0")
            return Encoding(("-c:v", "libx265", *by_crf, *ten, *quiet), _TEN, least_px=_LEAST_PX)
        case "av1_10" if is_tiny(width, height):
            at_once = ("-lag-in-frames", "0", "-row-mt", "0", "-threads", "1", "-cpu-used", "8")
            slowly = ("-crf", str(crf), "-b:v", "0", *at_once, "-pix_fmt", _TEN.pixel_format)
            return Encoding(("-c:v", "libaom-av1", *slowly), _TEN)
        case "av1_10":
            area = width * height if width is not None and height is not None else _AV1_SMALL_PX
            options = f"lp={_AV1_THREADS}" + (":pred-struct=1" if area < _AV1_SMALL_PX else "")
            options += f":content-light={levels}" if levels else ""
            how = ("-preset", "8", "-crf", str(crf), "-svtav1-params", options)
            return Encoding(("-c:v", "libsvtav1", *how, "-pix_fmt", _TEN.pixel_format), _TEN)
        case "h264_nvenc":
            return Encoding(("-c:v", "h264_nvenc", *by_cq), _EIGHT)
        case "h265_nvenc":
            return Encoding(("-c:v", "hevc_nvenc", *by_cq, "-tag:v", "hvc1"), _EIGHT)
        case "prores422hq":
            layout = SampleLayout(10, "422")
            kind = ("-profile:v", "hq", "-pix_fmt", layout.pixel_format, "-vendor", "apl0")
            return Encoding(("-c:v", "prores_ks", *kind), layout)  # Of odd widths it loses the last chroma.
        case "prores4444":
            deep, alpha = source.bits > 8, source == RGB or source.alpha
            layout = SampleLayout(10, "444", alpha=alpha)
            opacity = ("-alpha_bits", "16" if deep else "8") if alpha else ()
            kind = ("-profile:v", "4444", "-pix_fmt", layout.pixel_format, *opacity, "-vendor", "apl0")
            return Encoding(("-c:v", "prores_ks", *kind), layout, alpha=True, even=False)
        case "vp9":
            layout = SampleLayout(8, "420", alpha=True)
            speed = ("-deadline", "good", "-cpu-used", "5", "-row-mt", "1", "-auto-alt-ref", "0")
            by_quality = ("-crf", str(crf), "-b:v", "0", "-pix_fmt", layout.pixel_format)
            return Encoding(("-c:v", "libvpx-vp9", *by_quality, *speed), layout, alpha=True, even=False)
        case "ffv1" | "ffv1_gray":
            layout = SampleLayout(8, "gray") if codec == "ffv1_gray" else source
            each_alone: tuple[str, ...] = ("-level", "3", "-g", "1")
            if (
                codec == "ffv1_gray"
            ):  # With chroma, slices must divide it: ffmpeg finds a number for odd sizes.
                each_alone += ("-slices", "4")
            return Encoding(
                ("-c:v", "ffv1", *each_alone, "-pix_fmt", layout.pixel_format), layout, even=False
            )


def is_tiny(width: int | None, height: int | None) -> bool:
    """Tell whether a picture is smaller than what x265 and SVT-AV1 take. Odd sizes are padded to even ones."""
    return width is not None and height is not None and min(width, height) + 1 < _LEAST_PX


def _cropped(width: int | None, height: int | None) -> tuple[str, ...]:
    """Arguments that let an H.265 stream show pictures of this size of the larger ones that were encoded."""
    if width is None or height is None or not is_tiny(width, height):
        return ()
    right, bottom = (max(0, _LEAST_PX - side - side % 2) for side in (width, height))
    return "-bsf:v", f"hevc_metadata=crop_right={right}:crop_bottom={bottom}"


def check_available(codec: FixedCodec) -> None:
    """Raise BadInput where `codec` needs an NVIDIA encoder and there is none."""
    if codec.endswith("_nvenc") and not _encodes(codec):
        raise BadInput(
            f"{codec} is not available: no NVIDIA GPU with a video encoder was found.",
            f"Use --codec {codec.removesuffix('_nvenc')}.",
            "codec.no_gpu",
            codec=str(codec),
        )


@functools.cache
def _encodes(codec: FixedCodec) -> bool:
    """Whether a test frame can be encoded: driver, GPU and ffmpeg must all support it."""
    source = ("-f", "lavfi", "-i", "color=size=256x144:duration=0.04")
    how = encoding(codec, 23).arguments
    trial = ffmpeg.run([*source, *how, "-f", "null", "-"], timeout_seconds=_TRIAL_SECONDS)
    return trial.returncode == 0
