"""Errors for users: each says what happened (`message`, with the numbers) and what to do next (`hint`).

The command line exits with `exit_code`; the page and the API show `code`, `message` and `hint`. Exceptions of libraries
(decoder, encoder, torch) are mapped to these where they are caught, with `raise ... from`.
"""

from collections.abc import Iterator


class LongtakeError(Exception):
    """Base class of all errors that Longtake raises on purpose; raised itself for internal errors."""

    code = "internal"
    exit_code = 1
    reported = False
    """Whether the error has been reported as an event already."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    @staticmethod
    def from_code(code: str, message: str, hint: str = "", exit_code: int | None = None) -> "LongtakeError":
        """Rebuild an error that another process reported, as the class in this module that has its `code`."""
        error = next((kind for kind in _kinds(LongtakeError) if kind.code == code), LongtakeError)(
            message, hint
        )
        error.code = code
        error.exit_code = error.exit_code if exit_code is None else exit_code
        return error


def _kinds(kind: type[LongtakeError]) -> Iterator[type[LongtakeError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == __name__:
            yield from _kinds(child)


class BadInput(LongtakeError):
    """The request cannot be carried out with this input or these settings."""

    code = "bad_input"
    exit_code = 2


class NotAVideo(BadInput):
    """The file is missing, empty, or not a readable container."""

    code = "not_a_video"


class NoVideoStream(BadInput):
    """The file has sound, subtitles or a cover picture, but no video stream."""

    code = "no_video_stream"


class UnsupportedVideo(BadInput):
    """The file is a video that Longtake does not support (codec, colour, changing size)."""

    code = "unsupported_video"


class DamagedVideo(BadInput):
    """The file is truncated or damaged; `--salvage` uses the readable part."""

    code = "damaged_video"


class InputChanged(BadInput):
    """An input has changed since the job was created."""

    code = "input_changed"


class OverLimit(BadInput):
    """The request exceeds a limit of the server: file size, picture size, duration, disk."""

    code = "over_limit"


class NoSuchJob(BadInput):
    """There is no job with this id, or this visitor may not see it."""

    code = "no_such_job"


class Forbidden(BadInput):
    """The visitor may look at the job, and no more."""

    code = "forbidden"


class QueueFull(LongtakeError):
    """The queue is full, for all visitors together or for this one."""

    code = "queue_full"
    exit_code = 3


class NotEnoughMemory(LongtakeError):
    """The job does not fit into memory or the user's limit."""

    code = "not_enough_memory"
    exit_code = 3


class NotEnoughDisk(LongtakeError):
    """The disk has no room for the job's files."""

    code = "not_enough_disk"
    exit_code = 3


class WeightsMissing(LongtakeError):
    """The weights of the requested network engine are missing."""

    code = "weights_missing"
    exit_code = 4


class WeightsBroken(LongtakeError):
    """A weight file is truncated, renamed, or not one of the published files."""

    code = "weights_broken"
    exit_code = 4


class LicenceNotAccepted(LongtakeError):
    """The licence of a network's weights has not been accepted."""

    code = "licence_not_accepted"
    exit_code = 4


class EncoderDied(LongtakeError):
    """The encoder exited before the last frame was written."""

    code = "encoder_died"


class ReaderStalled(LongtakeError):
    """The decoder returned no frame for too long."""

    code = "reader_stalled"


class WorkerDied(LongtakeError):
    """The worker process died repeatedly at the same span."""

    code = "worker_died"


class SomeFailed(LongtakeError):
    """Some files of a folder failed; the others are done."""

    code = "some_failed"
    exit_code = 5


class Cancelled(LongtakeError):
    """The job was cancelled; finished spans are kept."""

    code = "cancelled"
    exit_code = 130
