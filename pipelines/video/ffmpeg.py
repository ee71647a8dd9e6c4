"""ffmpeg as a child process: how it is addressed, watched and ended.

The binary is the one that imageio-ffmpeg carries, so that every machine runs the same build.
"""

import contextlib
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from pipelines.errors import LongtakeError

LOCAL_FILES_ONLY = {"protocol_whitelist": "file"}
"""Options for opening an input: a playlist in disguise must not reach the network."""

_LAST_LINES = 20
_MUXERS = {".mkv": "matroska", ".mov": "mov", ".webm": "webm"}
_QUIET = ("-hide_banner", "-nostdin", "-v", "error")


def binary() -> str:
    """Path of the ffmpeg executable."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def address(path: Path) -> str:
    """`path` as ffmpeg takes it: a name that starts with `-` or holds a `:` is still a file."""
    return f"file:{path.absolute()}"


def source(path: Path) -> list[str]:
    """Arguments that name an input file."""
    return ["-protocol_whitelist", "file,pipe", "-i", address(path)]


def decode(path: Path, stream_index: int, *, salvage: bool) -> list[str]:
    """Arguments that decode one stream to its frames, none added or dropped, upright, times unchanged.

    One that does not salvage stops at the first error. One that does uses a single thread: what is patched up
    then depends on the file alone.
    """
    how = ["-threads", "1"] if salvage else ["-xerror"]
    times = ["-fps_mode", "passthrough", "-enc_time_base", "demux"]
    return [*how, "-copyts", *source(path), "-map", f"0:{stream_index}", *times]


def muxer(path: Path) -> str:
    """The container that a result's name asks for, also where `.part` follows it; MP4 for a name that asks for none."""
    return next((kind for suffix, kind in _MUXERS.items() if suffix in path.suffixes), "mp4")


def run(arguments: list[str], *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run ffmpeg to its end; only errors on stderr. Holds its output, which is text.

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
            "Is the disk that holds the file reachable?",
        ) from error


class Child:
    """A running ffmpeg with one pipe of raw frames; its stderr is drained, the last lines are kept."""

    def __init__(self, arguments: list[str], *, feeds: bool) -> None:
        """Start it: frames go in by `stdin` if it `feeds` on them, else they come out of `stdout`."""
        self._process = subprocess.Popen(
            [binary(), *_QUIET[:1], *_QUIET[2:], *arguments],
            stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if feeds else subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
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
        """Close the pipe and wait. Returns exit status and the last lines of stderr; kills it after the time-out."""
        with contextlib.suppress(BrokenPipeError):  # It is gone already; its exit status says why.
            self.pipe.close()
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._drain.join()
        return status, list(self._errors)

    def kill(self) -> None:
        """End it now; may be repeated, from any thread."""
        self._process.kill()
