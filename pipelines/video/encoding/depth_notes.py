"""Sentences about depth, chroma and dynamic range that a codec cannot keep."""

from pipelines.errors import Sentence
from pipelines.settings import FixedCodec
from pipelines.video.colour.tone_map import PEAK_NITS, TARGET_NITS
from pipelines.video.encoding.encodings import encoding, is_tiny, keeps_depth
from pipelines.video.info import VideoInfo
from pipelines.video.samples.layout import Subsampling

_CHROMA: dict[Subsampling, str] = {
    "420": "4:2:0",
    "422": "4:2:2",
    "444": "4:4:4",
    "rgb": "RGB",
    "gray": "gray",
}
_FINER: tuple[Subsampling, ...] = ("gray", "420", "422", "444", "rgb")
"""From no chroma to all of it."""


def depth_notes(video: VideoInfo, codec: FixedCodec) -> tuple[str, ...]:
    """Say what a result in `codec` loses of the samples of a deep or HDR `video`; empty if that is nothing."""
    if not keeps_depth(codec):
        if video.hdr:
            return (
                Sentence(
                    f"{codec} keeps no HDR: the result is SDR with 8 bits. White stands for "
                    f"{TARGET_NITS:.0f} cd/m2, light "
                    f"up to {PEAK_NITS:.0f} cd/m2 is compressed, and brighter light is white. "
                    "Use --codec auto to keep HDR.",
                    "no_hdr",
                    codec=codec,
                ),
            )
        if video.deep:
            return (
                Sentence(
                    f"{codec} keeps 8 of the {video.bit_depth} bits of the source; they are dithered. "
                    "Use --codec auto to keep 10.",
                    "eight_bits",
                    codec=codec,
                    bits=video.bit_depth,
                ),
            )
        return ()
    return (*_coarser(video, codec), *_lost_light(video, codec))


def _lost_light(video: VideoInfo, codec: FixedCodec) -> tuple[str, ...]:
    light = video.light
    # SVT-AV1 takes a level without MaxFALL, but none without MaxCLL; libaom, for tiny pictures, neither.
    av1 = codec == "av1_10" and not is_tiny(video.width, video.height)
    if not light or not light.half_known or codec == "h265_10" or (av1 and light.max_cll):
        return ()
    return (
        Sentence(
            f"{video.path.name} tells MaxCLL {light.max_cll} and MaxFALL {light.max_fall}, where 0 means unknown. "
            f"The result in {codec} has neither. Use --codec h265_10 to keep them.",
            "light",
            name=video.path.name,
            codec=codec,
        ),
    )


def _coarser(video: VideoInfo, codec: FixedCodec) -> tuple[str, ...]:
    made, source = encoding(codec, 0, source=video.layout).layout, video.layout
    coarser = _FINER.index(made.subsampling) < _FINER.index(source.subsampling)
    if not (video.deep or video.hdr) or not (made.bits < source.bits or coarser):
        return ()
    return (
        Sentence(
            f"{codec} stores {made.bits} bits and {_CHROMA[made.subsampling]}; the source has {source.bits} bits and "
            f"{_CHROMA[source.subsampling]}. Use --codec ffv1 to keep all samples.",
            "fewer_bits",
            codec=codec,
            bits=made.bits,
            chroma=_CHROMA[made.subsampling],
            source_bits=source.bits,
            source_chroma=_CHROMA[source.subsampling],
        ),
    )
