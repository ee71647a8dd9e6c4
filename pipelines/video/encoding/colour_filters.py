"""Which colours frames are sent to the encoder in, and the filters of FFmpeg that convert and tag them."""

from dataclasses import replace

from pipelines.video.encoding.encodings import AnyCodec
from pipelines.video.info import ColourTags
from pipelines.video.samples.layout import SampleLayout

_DEFAULT_CHROMA = "left"
"""Where subsampled chroma lies if a stream does not say: on even columns, between rows (MPEG-2, H.264, HEVC, AV1)."""


def stored_tags(colour: ColourTags, frames: SampleLayout | None, codec: AnyCodec) -> ColourTags:
    """Return the tags of frames as the encoder takes them."""
    if codec == "ffv1":
        # FFV1 stores no range, and ffmpeg would convert to a limited one: the joined file is tagged instead.
        return replace(colour, range=None)
    if codec in ("prores422hq", "prores4444") and colour.range == "pc" and not _is_yuv(frames):
        return replace(colour, range="tv")
    return colour


def needs_converting(colour: ColourTags, frames: SampleLayout | None, encoded: SampleLayout) -> bool:
    """Tell whether frames are converted here, where FFmpeg's scaler is not exact: see `as_yuv`.

    It is exact for RGB of 8 bits, except where its result is deep and has full range.
    """
    if not _is_yuv(encoded) or _is_yuv(frames):
        return False
    return frames is not None or (colour.range == "pc" and encoded.bits > 8)


def _is_yuv(layout: SampleLayout | None) -> bool:
    return layout is not None and layout.subsampling not in ("rgb", "gray")


def colour_filters(
    colour: ColourTags, frames: SampleLayout | None, encoded: SampleLayout, chroma_location: str | None
) -> list[str]:
    """Filters that convert with the matrix and range that are tagged; fields without a tag are left alone.

    Planes of YUV have that matrix and range already, and frames that stay RGB have neither. Where the chroma of planes
    changes its place, it comes to lie where it did, or where MPEG puts it by default. Without `accurate_rnd`, chroma of
    full range is rounded down, and grey has a tint.
    """
    keeps_rgb = encoded.subsampling == "rgb"
    if keeps_rgb:
        colour = replace(colour, range="pc", matrix="gbr")
    tags = {
        "colorspace": colour.matrix,
        "range": colour.range,
        "color_primaries": colour.primaries,
        "color_trc": colour.transfer,
    }
    scale: dict[str, str | None] = {}
    if not keeps_rgb and frames is None:
        accurate = "bicubic+accurate_rnd" if colour.range == "pc" else None
        scale = {"out_color_matrix": colour.matrix, "out_range": colour.range, "flags": accurate}
    if frames and frames.subsampling != encoded.subsampling and not keeps_rgb:
        moved: dict[str, str | None] = {"out_chroma_loc": chroma_location or _DEFAULT_CHROMA}
        if frames.subsampling in ("420", "422"):
            moved["in_chroma_loc"] = moved["out_chroma_loc"]
        scale |= moved
    placed = {**tags, "chroma_location": chroma_location} if frames and not keeps_rgb else tags
    before = ("setparams", {"range": colour.range} if frames and scale else {})
    filters = [
        f"{name}=" + ":".join(f"{key}={value}" for key, value in options.items() if value)
        for name, options in (before, ("scale", scale), ("setparams", placed))
        if any(options.values())
    ]
    return [*filters, f"format={encoded.pixel_format}"] if frames and scale else filters
