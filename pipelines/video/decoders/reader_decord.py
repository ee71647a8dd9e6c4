"""Read with decord, from the first frame on and never by seeking."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from pipelines.video.decoders.decoding import damaged, undecodable
from pipelines.video.frame import Picture, RgbPicture, luma_weights
from pipelines.video.info import VideoInfo


class CannotOpen(Exception):
    """Raised where decord cannot open the file or counts its frames differently."""


def open_decord(info: VideoInfo, start: int) -> Iterator[tuple[int, Picture]]:
    """Yield the upright frames from `start` on. May hold the whole decoded clip when its consumer is slow.

    Raises:
        CannotOpen: immediately, where another decoder should be used.
        DamagedVideo: while iterating: a packet cannot be decoded.
    """
    # Optional: wheels do not exist for every platform.
    try:
        import decord
    except (ImportError, OSError) as error:
        raise CannotOpen("is not installed") from error
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(info.path.absolute()), num_threads=2)
    except (decord.DECORDError, RuntimeError) as error:
        raise CannotOpen(f"does not open it ({str(error).splitlines()[-1]})") from error
    if len(reader) != info.frames:
        raise CannotOpen(f"counts {len(reader)} frames, not {info.frames}")
    try:
        first = reader.next()
    except (StopIteration, decord.DECORDError) as error:
        raise CannotOpen("does not decode its first frame") from error
    # It deduces the channels from the length of a row: the padding of some narrow ones (48 pixels) passes for a fourth.
    if first.shape[2:] != (3,):
        raise CannotOpen(f"reads {first.shape[2]} channels where there are 3")
    return _frames(first, reader, decord.DECORDError, info, start)


def _frames(
    frame: Any, reader: Any, decord_error: type[Exception], info: VideoInfo, start: int
) -> Iterator[tuple[int, Picture]]:
    weights = luma_weights(info)
    for index in count():
        if index >= start:
            yield index, RgbPicture(frame.asnumpy, weights)
        try:
            frame = reader.next()
        except StopIteration:
            return
        except decord_error as error:
            raise damaged(info, undecodable(index + 1)) from error
