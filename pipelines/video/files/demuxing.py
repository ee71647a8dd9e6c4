"""Open a file with PyAV and find its video stream."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from pipelines.errors import LongtakeError, NotAVideo, TooManyFiles, name_os_error
from pipelines.video.files.ffmpeg import LOCAL_FILES_ONLY, address


@contextmanager
def open_input(path: Path) -> Iterator[InputContainer]:
    """Open the container at `path`. Raises NotAVideo, TooManyFiles."""
    try:
        # Titles are kept in whatever encoding their writer used: one that is not UTF-8 is no damage.
        container = av.open(address(path), options=LOCAL_FILES_ONLY, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(named := refusal(error, path), TooManyFiles):
            raise named from error
        raise NotAVideo(
            f"{path} is not a video that can be opened ({reason(error)}).",
            "It may be truncated, of another type than its name says, or still being written.",
            "video.unreadable",
            name=path.name,
        ) from error
    with container:
        yield container


def refusal(error: av.error.FFmpegError | OSError, path: Path) -> LongtakeError | None:
    """Return what the system refused FFmpeg at `path`, by its name; None where something else went wrong."""
    return name_os_error(OSError(error.errno, error.strerror, str(path)))


def reason(error: av.error.FFmpegError | OSError) -> str:
    """What is wrong with a file at which FFmpeg failed with `error`.

    FFmpeg says that memory cannot be allocated where a damaged field asks for an absurd amount of it.
    """
    return "a size in it is damaged" if isinstance(error, MemoryError) else error.strerror or str(error)


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams, without cover pictures and thumbnails."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def video_stream(container: InputContainer, index: int) -> VideoStream:
    """The video stream with this index."""
    return cast(VideoStream, container.streams[index])


def has_decoder(stream: Stream) -> bool:
    """Whether the codec of `stream` is known and can be decoded."""
    return cast(object, stream.codec_context) is not None


def start_of(stream: Stream) -> Fraction | None:
    """When a track is first seen or heard, in seconds on the file's clock; None where the file does not say."""
    start, tick = stream.start_time, stream.time_base
    return None if start is None or tick is None else start * tick


def count_packets(path: Path) -> int:
    """Count the packets of the first video stream of `path`; 0 where it cannot be opened."""
    try:
        with open_input(path) as container:
            return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    except NotAVideo:
        return 0
