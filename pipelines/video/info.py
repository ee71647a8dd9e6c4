"""What is known of a video before its first frame is computed."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipelines.video.timeline import Timeline

PLAIN_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
"""Containers that store a time for each frame and an index of where decoding can begin."""


@dataclass(frozen=True)
class Audio:
    """The first sound track."""

    codec: str
    channels: int
    rate: int


@dataclass(frozen=True)
class ColourTags:
    """How the stream says that its numbers mean colours, in ffmpeg's names; None where it says nothing."""

    range: str | None = None
    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None


_VIDEO_BT709 = ColourTags("tv", "bt709", "bt709", "bt709")


@dataclass(frozen=True)
class VideoInfo:
    """A video, as its frames are handed out: upright, `width` x `height` coded pixels, `frames` of them.

    `rotation` is how far the stored picture was turned counterclockwise to become upright. `hidden_frames` are
    stored but never shown (an edit list cuts them). `damage` holds what ffmpeg says of a broken file, one line
    each; `missing_frames` is how many of its frames cannot be read when it is salvaged.
    `stamped` says that each stored packet tells its frame's time, so that a frame is known by its time.
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
    damage: str | None = None
    salvaged: bool = False
    missing_frames: int = 0
    hidden_frames: int = 0
    stamped: bool = False
    images: tuple[Path, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames are handed out."""
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
    def output_colour(self) -> ColourTags:
        """The tags that a written copy of these frames should carry.

        An untagged stream stays untagged: the same guess is made when it is read and when it is written, so a
        player shows what it showed before. Pictures that were RGB have no such guess and are written as BT.709.
        """
        return _VIDEO_BT709 if self.rgb else self.colour

    @property
    def plain_container(self) -> bool:
        """Whether the container stores times and an index (see PLAIN_CONTAINERS)."""
        return not PLAIN_CONTAINERS.isdisjoint(self.container.split(","))


def video_facts(info: VideoInfo) -> dict[str, Any]:
    """What a report says of the video itself."""
    return {
        "name": info.path.name,
        "codec": info.codec,
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "frame_rate": str(info.frame_rate),
        "seconds": round(float(info.seconds), 6),
    }
