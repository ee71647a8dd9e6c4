"""Static HDR metadata, and the dynamic metadata that no result keeps: as the first frame and the file tell it."""

import re
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as Kind
from av.video.frame import VideoFrame

from pipelines.errors import Sentence, UnsupportedVideo
from pipelines.video.files import ffmpeg
from pipelines.video.info import ContentLight, MasteringDisplay, VideoInfo

_MASTERING = struct.Struct("=20i2i")
"""libavutil's AVMasteringDisplayMetadata: ten ratios (red, green, blue, white, lowest, highest), and which are told."""
_CHROMATICITY, _LUMINANCE = 50_000, 10_000
_HEADER_SECONDS = 60.0
"""Time limit for ffmpeg to open a file, on a slow network drive."""
_BASES = {"pq": "HDR10", "hlg": "HLG", None: "SDR"}
_DOLBY = re.compile(r"DOVI configuration record:.*?profile: (\d+).*?compatibility id: (\d+)")
_CHROMA_LOCATION = re.compile(r"Video: [^\n]*\([^()\n]*\b(left|center|topleft|top|bottomleft|bottom)\)")
_NUMBER = r"(-?[\d.]+)"
_PAIR = rf"{_NUMBER}[, ]+{_NUMBER}"
_SHOWN_MASTERING = re.compile(
    rf"[Mm]astering display.*?has_primaries:(\d) has_luminance:(\d) "
    rf"r\({_PAIR}\) g\({_PAIR}\) b\({_PAIR}\) wp\({_PAIR}\),? min_luminance={_NUMBER}, max_luminance={_NUMBER}"
)
_SHOWN_LIGHT = re.compile(r"[Cc]ontent [Ll]ight [Ll]evel.*?MaxCLL=(\d+), MaxFALL=(\d+)")
_SHOWN_DYNAMIC = re.compile(r"SMPTE2094-40|HDR10\+|HDR Dynamic Metadata SMPTE2094", re.IGNORECASE)
_SHOWN_DOLBY = re.compile(r"Dolby Vision|DOVI", re.IGNORECASE)


@dataclass(frozen=True)
class LightMetadata:
    """What a frame tells about its light: static metadata, and whether it has dynamic metadata of two kinds."""

    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None
    hdr10_plus: bool = False
    dolby: bool = False


@dataclass(frozen=True)
class DolbyVision:
    """Dolby Vision as the container tells it. `compatible` says what its base is for others: 0 nothing."""

    profile: int
    compatible: int

    @property
    def name(self) -> str:
        """The profile as it is usually written: `8.4`, `5`."""
        return f"{self.profile}.{self.compatible}" if self.profile in (8, 10) else str(self.profile)


def with_light(info: VideoInfo, frame: VideoFrame) -> VideoInfo:
    """Add the static metadata of HDR, and notes about dynamic metadata, that the first frame and the file tell.

    Raises UnsupportedVideo for Dolby Vision without a base that can be shown without it.
    """
    if not (info.deep or info.hdr):
        return info
    found = read_light(info.path, info.stream_index, frame)
    dolby, chroma_location = read_header(info.path, info.stream_index)
    notes, name = info.notes, info.path.name
    if dolby or found.dolby:
        if dolby.compatible == 0 if dolby else info.hdr is None:
            raise UnsupportedVideo(
                f"{info.path} is Dolby Vision (profile {dolby.name if dolby else 5}) without a base for other "
                "players: its colours would come out wrong.",
                "Export it as HDR10, HLG or standard dynamic range first.",
                "video.dolby",
                name=info.path.name,
            )
        base, profile = _BASES[info.hdr], f" (profile {dolby.name})" if dolby else ""
        notes += (
            Sentence(
                f"{name} is Dolby Vision{profile}. Its {base} base is used; the result has no Dolby Vision.",
                "dolby",
                name=name,
                base=base,
            ),
        )
    if found.hdr10_plus:
        notes += (
            Sentence(
                f"{name} has HDR10+ metadata for each scene. The result keeps only the static metadata.",
                "hdr10_plus",
                name=name,
            ),
        )
    brightness = found.light if found.light and (found.light.max_cll or found.light.max_fall) else None
    return replace(
        info, mastering=found.mastering, light=brightness, chroma_location=chroma_location, notes=notes
    )


def read_light(path: Path, stream_index: int, frame: VideoFrame) -> LightMetadata:
    """Read what the frame carries, or, where PyAV refuses to, what ffmpeg prints of the first frame."""
    try:
        # Static metadata of the container are handed to frames by the decoder.
        found = {item.type: item for item in cast(tuple[SideData, ...], tuple(frame.side_data))}
    except (
        ValueError
    ):  # PyAV gives nothing where it does not know one kind, such as the views of a stereo video.
        return _as_printed(path, stream_index)
    mastering, light = found.get(Kind.MASTERING_DISPLAY_METADATA), found.get(Kind.CONTENT_LIGHT_LEVEL)
    return LightMetadata(
        _mastering(bytes(mastering)) if mastering else None,
        ContentLight(*struct.unpack("=2I", bytes(light)[:8])) if light else None,
        Kind.DYNAMIC_HDR_PLUS in found,
        not found.keys().isdisjoint({Kind.DOVI_METADATA, Kind.DOVI_RPU_BUFFER}),
    )


def read_header(path: Path, stream_index: int) -> tuple[DolbyVision | None, str | None]:
    """Read what ffmpeg prints of a stream's header: the configuration of Dolby Vision, and where chroma lies."""
    # Without an output ffmpeg fails, after it has described the streams.
    listing = ffmpeg.run(["-v", "verbose", *ffmpeg.source(path)], timeout_seconds=_HEADER_SECONDS).stderr
    parts = re.split(r"^ *Stream #0:(\d+)", listing, flags=re.MULTILINE)
    own = dict(zip(parts[1::2], parts[2::2], strict=True)).get(str(stream_index), "")
    record, place = _DOLBY.search(own), _CHROMA_LOCATION.search(own)
    return DolbyVision(int(record[1]), int(record[2])) if record else None, place[1] if place else None


def _mastering(data: bytes) -> MasteringDisplay | None:
    numbers = _MASTERING.unpack(data[: _MASTERING.size])
    ratios = [Fraction(top, bottom or 1) for top, bottom in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    return _display(ratios, has_primaries=bool(numbers[20]), has_luminance=bool(numbers[21]))


def _display(ratios: list[Fraction], *, has_primaries: bool, has_luminance: bool) -> MasteringDisplay | None:
    xy = [round(ratio * _CHROMATICITY) for ratio in ratios[:8]]
    red, green, blue, white = ((xy[at], xy[at + 1]) for at in range(0, 8, 2))
    lowest, highest = (round(ratio * _LUMINANCE) for ratio in ratios[8:])
    if not (has_primaries or has_luminance):
        return None
    return MasteringDisplay(
        (red, green, blue) if has_primaries else None,
        white if has_primaries else None,
        (lowest, highest) if has_luminance else None,
    )


def _as_printed(path: Path, stream_index: int) -> LightMetadata:
    printed = ffmpeg.run(
        [
            *("-v", "info", *ffmpeg.source(path), "-map", f"0:{stream_index}"),
            *("-frames:v", "1", "-vf", "showinfo", "-f", "null", "-"),
        ],
        timeout_seconds=_HEADER_SECONDS,
    ).stderr
    mastering, light = _SHOWN_MASTERING.search(printed), _SHOWN_LIGHT.search(printed)
    ratios = [Fraction(text) for text in mastering.groups()[2:]] if mastering else []
    return LightMetadata(
        _display(ratios, has_primaries=mastering[1] == "1", has_luminance=mastering[2] == "1")
        if mastering
        else None,
        ContentLight(int(light[1]), int(light[2])) if light else None,
        bool(_SHOWN_DYNAMIC.search(printed)),
        bool(_SHOWN_DOLBY.search(printed)),
    )
