"""What is known about a video before its first frame is computed."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import Sentence
from pipelines.video.clock.timeline import Timeline
from pipelines.video.samples.layout import SampleLayout, layout_of
from pipelines.vision.types import WHITE, Colour

PLAIN_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
"""Containers that store a time for each frame and an index of key frames."""


FieldOrder = Literal["tff", "bff"]
"""Which field of an interlaced frame is shown first, by ffmpeg's names: the top or the bottom one."""


@dataclass(frozen=True)
class Audio:
    """The first sound track."""

    codec: str
    channels: int
    rate: int


@dataclass(frozen=True)
class ColourTags:
    """Colour tags of a stream by ffmpeg's names; None where the stream has none."""

    range: str | None = None
    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None


@dataclass(frozen=True)
class MasteringDisplay:
    """Display on which an HDR video was graded (SMPTE ST 2086), as streams store it.

    Chromaticities `(x, y)` are in 1/50000, luminances in 1/10000 cd/m2. A file may tell only one of the two.
    """

    primaries: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None
    """Red, green, blue."""
    white: tuple[int, int] | None = None
    luminance: tuple[int, int] | None = None
    """Lowest and highest."""


@dataclass(frozen=True)
class ContentLight:
    """Light level of an HDR video in cd/m2 (CTA-861.3): its brightest pixel and its brightest frame on average.

    One of them may be 0, which means unknown.
    """

    max_cll: int
    max_fall: int

    @property
    def half_known(self) -> bool:
        """Whether one of them is unknown: Matroska and MOV as ffmpeg writes and reads them tell both or none."""
        return not (self.max_cll and self.max_fall)


_VIDEO_BT709 = ColourTags("tv", "bt709", "bt709", "bt709")
_HDR: dict[str | None, Literal["pq", "hlg"]] = {"smpte2084": "pq", "arib-std-b67": "hlg"}


class Damage(Sentence):
    """What is damaged in a video, as the end of a sentence; its key is one of the parts of sentences in a catalogue."""


@dataclass(frozen=True)
class VideoInfo:
    """A video, described by the frames that readers yield: upright, `width` x `height` coded pixels.

    `rotation` is the counterclockwise angle in degrees that makes the stored picture upright. `hidden_frames` are
    stored but cut by an edit list. `damage` says what is wrong with a damaged file, often in ffmpeg's words, and
    `missing_frames` the number of frames that cannot be read when it is salvaged. `stamped`: each packet has a time,
    so that a frame can be identified by it. `clock_shifts` are the seconds to add to the file's clock after each of its
    restarts, and `notes` the sentences about times that were repaired. `sound_start` is when the first sound track
    begins, on the timeline's clock. `transparent`: the first frame is not opaque everywhere, or its alpha is unknown.
    `field_order` is that of interlaced, upright video. `cropped`: the container cuts the picture, down to `width` and
    `height`. `background` is seen where pictures, and animations that Pillow reads, are transparent. `mastering` and
    `light` are the static metadata of HDR. `chroma_location` is where samples of subsampled chroma lie, by ffmpeg's
    names; it is looked for in deep and HDR video.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    timeline: Timeline
    stream_index: int = 0
    rotation: int = 0
    mirrored: bool = False
    sample_aspect_ratio: Fraction = Fraction(1)
    pixel_format: str = "rgb24"
    bit_depth: int = 8
    rgb: bool = False
    colour: ColourTags = ColourTags()
    interlaced: bool = False
    audio: Audio | None = None
    damage: Damage | None = None
    salvaged: bool = False
    missing_frames: int = 0
    hidden_frames: int = 0
    stamped: bool = False
    images: tuple[Path, ...] = ()
    clock_shifts: tuple[Fraction, ...] = ()
    notes: tuple[str, ...] = ()
    sound_start: Fraction | None = None
    transparent: bool = False
    field_order: FieldOrder | None = None
    cropped: bool = False
    background: Colour = WHITE
    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None
    chroma_location: str | None = None

    @property
    def frames(self) -> int:
        """The number of frames that readers yield."""
        return self.timeline.frames

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second; the mean of a variable rate."""
        return self.timeline.rate

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return float(self.timeline.seconds)

    @property
    def deep(self) -> bool:
        """Whether samples have more than 8 bits."""
        return self.bit_depth > 8

    @property
    def hdr(self) -> Literal["pq", "hlg"] | None:
        """High dynamic range by its transfer function; None for standard dynamic range."""
        return _HDR.get(self.colour.transfer)

    @property
    def dynamic_range(self) -> Literal["SDR", "HDR10", "PQ", "HLG"]:
        """The usual name of the dynamic range; HDR10 is PQ with a mastering display."""
        if self.hdr == "pq":
            return "HDR10" if self.mastering else "PQ"
        return "HLG" if self.hdr else "SDR"

    @property
    def layout(self) -> SampleLayout:
        """The layout of `Frame.planes`."""
        layout = SampleLayout(8, "rgb") if self.images else layout_of(self.pixel_format)
        return layout.turned() if self.rotation in (90, 270) else layout

    @property
    def output_colour(self) -> ColourTags:
        """The tags for a written copy of these frames in RGB with 8 bits.

        An untagged stream stays untagged: reading and writing assume the same, so players show it as before. RGB
        sources have no such assumption and are written as BT.709, which is what HDR is shown in, too.
        """
        return _VIDEO_BT709 if self.rgb or self.hdr else self.colour

    @property
    def stored_colour(self) -> ColourTags:
        """The tags for a written copy of these frames' samples (`Frame.planes`), or of RGB converted to YUV."""
        if not self.rgb:
            return self.colour
        told = self.colour
        matrix = "bt2020nc" if told.primaries == "bt2020" else "bt709"
        return ColourTags("tv", matrix, told.primaries or "bt709", told.transfer or "bt709")

    @property
    def plain_container(self) -> bool:
        """Whether the container is one of PLAIN_CONTAINERS."""
        return not PLAIN_CONTAINERS.isdisjoint(self.container.split(","))


def video_facts(info: VideoInfo) -> dict[str, Any]:
    """The facts about the video in a report."""
    return {
        "name": info.path.name,
        "codec": info.codec,
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "frame_rate": str(info.frame_rate),
        "seconds": round(float(info.seconds), 6),
    }
