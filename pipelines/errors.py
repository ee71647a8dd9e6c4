"""Errors for users: each says what happened (`message`, with the numbers) and what to do next (`hint`).

Message and hint are those of the command line, which exits with `exit_code`; the API shows them with `code`. The page
has sentences of its own in each language: it finds them by `key`, and fills in `values`. Exceptions of libraries
(decoder, encoder, torch) are mapped to these where they are caught, with `raise ... from`.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from typing import Self

Value = str | int | float
"""What a sentence is filled with. Names that end in `_bytes` and `_seconds` are sizes and times; "
"others are as given."""


class Sentence(str):
    """A sentence of the command line, with the `key` and the `values` by which others say the same in their words."""

    key: str
    values: Mapping[str, Value]

    def __new__(cls, text: str, key: str = "", /, **values: Value) -> Self:
        """Make the sentence `text`."""
        made = super().__new__(cls, text)
        made.key, made.values = key, values
        return made


class LongtakeError(Exception):
    """Base class of all errors that Longtake raises on purpose; raised itself for internal errors."""

    code = "internal"
    exit_code = 1
    reported = False
    """Whether the error has been reported as an event already."""

    def __init__(self, message: str, hint: str = "", key: str = "", /, **values: Value) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.key = key
        self.values = values

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    @staticmethod
    def from_code(
        code: str,
        message: str,
        hint: str = "",
        exit_code: int | None = None,
        key: str = "",
        values: Mapping[str, Value] | None = None,
    ) -> "LongtakeError":
        """Rebuild an error that another process reported, as the class in this module that has its `code`."""
        kind = next((kind for kind in _kinds(LongtakeError) if kind.code == code), LongtakeError)
        error = kind(message, hint, key, **(values or {}))
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
    """An input has changed since the job was created, or changes while it is read."""

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
    """The disk, or what one may use of it, has no room for the job's files."""

    code = "not_enough_disk"
    exit_code = 3


class TooManyFiles(LongtakeError):
    """The process, or the system, has as many files open as it may."""

    code = "too_many_files"
    exit_code = 3


class DiskFailed(LongtakeError):
    """The disk does not read or write what it should."""

    code = "disk_failed"
    exit_code = 3


class FolderUnusable(BadInput):
    """A file or folder of the job cannot be used: it is gone, write-protected or another user's."""

    code = "folder_unusable"


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


class ChildDied(LongtakeError):
    """A program that reads or writes the video for a job has died; the span that it served can be tried again."""

    code = "child_died"


class EncoderDied(ChildDied):
    """The encoder exited before the last frame was written."""

    code = "encoder_died"


class ReaderDied(ChildDied):
    """The decoder was killed before the last frame was read."""

    code = "reader_died"


class ReaderStalled(LongtakeError):
    """The decoder returned no frame for too long."""

    code = "reader_stalled"


class WorkerDied(LongtakeError):
    """The worker process died repeatedly at the same span."""

    code = "worker_died"


class NoWorker(LongtakeError):
    """There is no worker that could compute, or there was none for as long as the job may wait."""

    code = "no_worker"


class SomeFailed(LongtakeError):
    """Some files of a folder, or some resumed jobs, failed; the others are done."""

    code = "some_failed"
    exit_code = 5


class Cancelled(LongtakeError):
    """The job was cancelled; finished spans are kept."""

    code = "cancelled"
    exit_code = 130


_FULL = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The quota of this disk is used up",
    errno.EFBIG: "The file is larger than this disk, or this process's limit, takes",
}
_TOO_MANY = {errno.EMFILE: "This process", errno.ENFILE: "The system"}
_UNUSABLE = {
    errno.ENOENT: "is gone",
    errno.ENOTDIR: "is below something that is no folder",
    errno.EACCES: "may not be used",
    errno.EPERM: "may not be used",
    errno.EROFS: "is on a disk that is read-only",
    errno.ENAMETOOLONG: "has too long a name",
}
_KEPT = "Finished spans are kept"


def name_os_error(error: OSError) -> LongtakeError | None:
    """Return what the system refused, by its name, with what to do; None for errors of another kind."""
    number, what = error.errno, _said(error)
    if number in _FULL:
        return NotEnoughDisk(
            f"{_FULL[number]} ({what}).", f"{_KEPT}. Free some space, then resume.", "disk.full"
        )
    if number in _TOO_MANY:
        return TooManyFiles(
            f"{_TOO_MANY[number]} has as many files open as it may ({what}).",
            f"{_KEPT}. Raise the limit (`ulimit -n`) or close other programs, then resume.",
            "disk.files",
        )
    if number == errno.EIO:
        return DiskFailed(
            f"The disk could not be read or written ({what}).",
            f"{_KEPT}. Check the disk, then resume.",
            "disk.failed",
        )
    if number in _UNUSABLE:
        return FolderUnusable(
            f"{error.filename or 'A file'} {_UNUSABLE[number]} ({what}).",
            f"{_KEPT}. Make it usable, then resume.",
            "disk.unusable",
        )
    return None


def name_errno_in(words: str) -> LongtakeError | None:
    """Return what the system refused, where a program's last words say so; None where they say something else."""
    for number in (*_FULL, *_TOO_MANY, errno.EIO, *_UNUSABLE):
        if (said := os.strerror(number)) in words:
            return name_os_error(OSError(number, said))
    return None


def kind_of(error: OSError) -> type[LongtakeError]:
    """Return the class that names what the system refused, for a message of one's own; BadInput for other errors."""
    return type(name_os_error(error) or BadInput(""))


def fault_of(error: OSError, given: type[LongtakeError]) -> type[LongtakeError]:
    """Return the class for a `given` file that cannot be read: `given`'s, unless the machine is at fault (exit 3)."""
    named = kind_of(error)
    return named if named.exit_code == NotEnoughDisk.exit_code else given


def is_damage(error: OSError) -> bool:
    """Whether a file that cannot be read is as good as gone; False where it is just not to be read now, or by us."""
    return error.errno not in (*_TOO_MANY, errno.EACCES, errno.EPERM)


def _said(error: OSError) -> str:
    words = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
    return f"{words}: {error.filename}" if error.filename else words
