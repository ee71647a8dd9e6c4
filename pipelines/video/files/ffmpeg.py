"""Run ffmpeg as a child process.

The binary is the one that imageio-ffmpeg ships, so that all machines of a platform run the same build.
"""

import contextlib
import errno
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from pipelines.errors import EncoderDied, LongtakeError, name_errno_in, name_os_error

LOCAL_FILES_ONLY = {"protocol_whitelist": "file"}
"""Options for opening an input: a disguised playlist must not reach the network."""

_LAST_LINES = 20
"""Lines of stderr that are kept for an error message."""
_MUXERS = {".mkv": "matroska", ".mov": "mov", ".webm": "webm"}
_ABOUT_OUTPUT = "[out#"
"""How ffmpeg begins what it says of a file that it writes; of a source that ends early it says the same words."""
_TOO_LARGE = -getattr(signal, "SIGXFSZ", 0) or None
"""How a program ends that writes past the largest size of a file; Windows knows no such limit."""
_QUIET_ENCODERS = {"SVT_LOG": "1"}
"""SVT-AV1 prints its settings otherwise; 1 is errors only."""
_QUIET = ("-hide_banner", "-nostdin", "-v", "error")


def binary() -> str:
    """Path of the ffmpeg executable."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def address(path: Path) -> str:
    """`path` as an ffmpeg URL, so that a name with a leading `-` or a `:` still names a file."""
    return f"file:{path.absolute()}"


def source(path: Path) -> list[str]:
    """Arguments that name an input file."""
    return ["-protocol_whitelist", "file,pipe", "-i", address(path)]


def decode(path: Path, stream_index: int, *, salvage: bool) -> list[str]:
    """Arguments that decode one stream to upright frames, none added or dropped, with unchanged times.

    Without `salvage`, decoding stops at the first error. With it, one thread decodes, so that the concealed frames
    depend on the file alone.
    """
    how = ["-threads", "1"] if salvage else ["-xerror"]
    times = ["-fps_mode", "passthrough", "-enc_time_base", "demux"]
    return [*how, "-copyts", *source(path), "-map", f"0:{stream_index}", *times]


def muxer(path: Path) -> str:
    """The container format that the suffixes of `path` ask for, also before `.part`; MP4 by default."""
    return next((kind for suffix, kind in _MUXERS.items() if suffix in path.suffixes), "mp4")


def run(arguments: list[str], *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg until it exits, with only errors on stderr. Holds its output, which is text.

    Raises:
        LongtakeError: it took longer than `timeout_seconds`.
    """
    try:
        return subprocess.run(
            [binary(), *_QUIET, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LongtakeError(
            f"ffmpeg did not finish within {timeout_seconds:.0f} s.",
            "Check that the disk with the file is reachable.",
            "encoder.slow",
        ) from error


def refusal(status: int, said: Iterable[str]) -> LongtakeError | None:
    """Return what the system refused ffmpeg as it wrote a file; None where something else ended it.

    `status` is its exit status (negative: the signal), `said` the lines of its stderr.
    """
    if status == _TOO_LARGE:
        return name_os_error(OSError(errno.EFBIG, os.strerror(errno.EFBIG)))
    return name_errno_in(" | ".join(line for line in said if line.startswith(_ABOUT_OUTPUT)))


def check_written(done: "subprocess.CompletedProcess[str]", path: Path) -> None:
    """Raise where `path` was not written through no fault of the source: a full disk by its name, or EncoderDied."""
    if named := refusal(done.returncode, done.stderr.splitlines()):
        raise named
    if done.returncode < 0:
        raise EncoderDied(
            f"ffmpeg was killed by signal {-done.returncode} while writing {path.name}.",
            "Resume the job.",
            "encoder.died",
        )


class Child:
    """A running ffmpeg with one pipe of raw frames. Its stderr is drained, and the last lines are kept."""

    def __init__(self, arguments: list[str], *, feeds: bool) -> None:
        """Start ffmpeg; with `feeds`, the pipe is its stdin, else its stdout."""
        self._process = subprocess.Popen(
            [binary(), *_QUIET[:1], *_QUIET[2:], *arguments],
            stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if feeds else subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **_QUIET_ENCODERS},
        )
        pipe = self._process.stdin if feeds else self._process.stdout
        if pipe is None or self._process.stderr is None:
            raise LongtakeError("ffmpeg was started without its pipes.")
        self.pipe: IO[bytes] = pipe
        self._errors: deque[str] = deque(maxlen=_LAST_LINES)
        self._drain = threading.Thread(target=self._keep_errors, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def _keep_errors(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                self._errors.append(line.decode(errors="replace").rstrip())

    def finish(self, timeout_seconds: float) -> tuple[int, list[str]]:
        """Close the pipe and wait; kill ffmpeg after the time limit. Returns exit status and last lines of stderr."""
        with contextlib.suppress(BrokenPipeError):  # It has exited already; its status says why.
            self.pipe.close()
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._drain.join()
        return status, list(self._errors)

    def kill(self) -> None:
        """Kill ffmpeg; may be called repeatedly and from any thread."""
        self._process.kill()
