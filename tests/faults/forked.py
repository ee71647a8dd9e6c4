"""A worker process that the prepared process forks, in the place of one that Python starts."""

import json
import os
import signal
import socket
import subprocess
import threading
from typing import Any

LISTEN = "FAULTS_LISTEN"
"""The variable with the address at which the prepared process listens."""


def start_worker(command: list[str], **_: Any) -> "Forked":
    """Stand in for `subprocess.Popen` of `python -m MODULE ...`: a worker, or a member of its crew."""
    assert command[1] == "-m"
    return Forked(command[2], command[3:])


class Forked:
    """What `pipelines.workers.process` and `crew` use of a `subprocess.Popen`."""

    def __init__(self, module: str, arguments: list[str]) -> None:
        (theirs_in, ours_in), (ours_out, theirs_out), (ours_err, theirs_err) = (os.pipe() for _ in range(3))
        theirs = [theirs_in, theirs_out, theirs_err]
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(os.environ[LISTEN])
        asked = {"command": int(os.environ["FAULTS_COMMAND"]), "module": module, "arguments": arguments}
        socket.send_fds(self._connection, [json.dumps(asked).encode()], theirs)
        for stream in theirs:
            os.close(stream)
        self._told = self._connection.makefile("rb")
        self.pid = int(self._told.readline())
        self.stdin, self.stdout, self.stderr = (
            os.fdopen(ours_in, "wb"),
            os.fdopen(ours_out, "rb"),
            os.fdopen(ours_err, "rb"),
        )
        self._status: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self._status = int(self._told.readline() or -signal.SIGKILL)
        self._connection.close()
        self._ended.set()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._status if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        assert self._status is not None
        return self._status

    def kill(self) -> None:
        """Kill it."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
