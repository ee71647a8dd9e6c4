"""What can go wrong, in the words of the person it happens to.

Every error says what happened (`message`, with the numbers) and what to do next (`hint`). The command line
turns `exit_code` into its exit status; the page and the API show `code`, `message` and `hint`.
Foreign exceptions (decoder, encoder, torch) are mapped to these once, at the border, with `raise ... from`.
"""

from collections.abc import Iterator


class LongtakeError(Exception):
    """Root of all errors that Longtake raises on purpose; on its own, a fault of the program."""

    code = "internal"
    exit_code = 1
    told = False
    """Whether listeners have had it as an event already."""

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
    """Something that was asked for cannot be done with what was given."""

    code = "bad_input"
    exit_code = 2


class NotAVideo(BadInput):
    """The file is missing, empty, or no container that can be read."""

    code = "not_a_video"


class NoVideoStream(BadInput):
    """The file holds sound, subtitles or a cover picture, but no moving picture."""

    code = "no_video_stream"


class UnsupportedVideo(BadInput):
    """The file is a video that Longtake does not read (codec, colour, changing size)."""

    code = "unsupported_video"


class DamagedVideo(BadInput):
    """The file is truncated or broken; `--salvage` uses what can be read."""

    code = "damaged_video"


class InputChanged(BadInput):
    """An input is no longer the file that the job was started with."""

    code = "input_changed"


class OverLimit(BadInput):
    """The request is larger than whoever serves the page allows: file, picture, duration, disk."""

    code = "over_limit"


class NoSuchJob(BadInput):
    """There is no job with this id, or it is not for this visitor to see."""

    code = "no_such_job"


class QueueFull(LongtakeError):
    """As many jobs wait as may, of all visitors together or of this one."""

    code = "queue_full"
    exit_code = 3


class NotEnoughMemory(LongtakeError):
    """The job does not fit the memory or the limit that was given."""

    code = "not_enough_memory"
    exit_code = 3


class NotEnoughDisk(LongtakeError):
    """The disk cannot hold what the job writes."""

    code = "not_enough_disk"
    exit_code = 3


class WeightsMissing(LongtakeError):
    """A network engine was asked for and its weights are not there."""

    code = "weights_missing"
    exit_code = 4


class WeightsBroken(LongtakeError):
    """A weight file is truncated, renamed, or none of the published ones."""

    code = "weights_broken"
    exit_code = 4


class LicenceNotAccepted(LongtakeError):
    """The licence of a network's weights has not been accepted by whoever it binds."""

    code = "licence_not_accepted"
    exit_code = 4


class EncoderDied(LongtakeError):
    """The encoder ended before the last frame was written."""

    code = "encoder_died"


class ReaderStalled(LongtakeError):
    """The decoder gave no frame for too long."""

    code = "reader_stalled"


class WorkerDied(LongtakeError):
    """The worker process was killed or crashed again and again at the same place."""

    code = "worker_died"


class SomeFailed(LongtakeError):
    """Some files of a folder failed; the others are done."""

    code = "some_failed"
    exit_code = 5


class Cancelled(LongtakeError):
    """The job was cancelled; what was finished is kept."""

    code = "cancelled"
    exit_code = 130
