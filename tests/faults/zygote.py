"""Imports what the commands need, then forks for each command that stdin names, and for each worker that one starts.

A line on stdin is a JSON object: the `id` of a command, its `arguments`, the file for its `stderr`, and how many
`seconds` it may take. A line on stdout tells how it ended: its `id` and `status`, which is the exit status, negative
for a signal, None where it, or a worker of its, had to be killed.
"""

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2

from tests.faults.forked import LISTEN, start_worker
from tests.faults.harness import Groups

cv2.setNumThreads(1)

SPAN_FRAMES = 8
"""Frames of a span here, so that a clip of two seconds has several."""


def prepare() -> None:
    """Import the pipelines, let workers be forks, and make spans short."""
    import pipelines.animation.pipeline
    import pipelines.cli.batch
    import pipelines.cli.commands
    import pipelines.cli.task_commands
    import pipelines.inpainting.pipeline
    import pipelines.scoring.pipeline
    import pipelines.scoring.report.chart
    import pipelines.tracking.pipeline
    import pipelines.workers.crew
    import pipelines.workers.main
    import pipelines.workers.member
    import pipelines.workers.process
    from pipelines.runtime import planning
    from pipelines.spec import tasks

    tasks()
    real = pipelines.workers.process.subprocess
    forking = SimpleNamespace(PIPE=real.PIPE, TimeoutExpired=real.TimeoutExpired, Popen=start_worker)
    pipelines.workers.process.subprocess = pipelines.workers.crew.subprocess = forking
    choose = planning.choose

    def short_spans(*given: Any, **more: Any) -> Any:
        from dataclasses import replace

        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": SPAN_FRAMES})

    planning.choose = short_spans


@dataclass
class Command:
    """A command that runs, and its workers that do."""

    id: int
    deadline: float
    status: int | None = None
    hangs: bool = False
    alive: set[int] = field(default_factory=set)
    groups: list[int] = field(default_factory=list)


class Zygote:
    """Forks, and tells how the forks ended."""

    def __init__(self) -> None:
        self._groups = Groups(Path(os.environ["FAULTS_STATE"]))
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.environ[LISTEN])
        self._listener.listen(64)
        self._selector.register(0, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._commands: dict[int, Command] = {}
        self._unread = b""

    def serve(self) -> None:
        """Serve stdin until it ends."""
        while True:
            deadlines = [command.deadline for command in self._commands.values()]
            patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            for key, _ in self._selector.select(patience):
                if key.fd == 0:
                    if not (read := os.read(0, 65536)):
                        return
                    *lines, self._unread = (self._unread + read).split(b"\n")
                    for line in lines:
                        self._start(**json.loads(line))
                elif key.data is None:
                    self._start_worker(self._listener.accept()[0])
                else:
                    self._reap(key.fd, *key.data)
            for command in list(self._commands.values()):
                if time.monotonic() >= command.deadline and not command.hangs:
                    command.hangs = True
                    _kill(command.groups)

    def _start(self, id: int, arguments: list[str], stderr: str, seconds: float) -> None:
        command = self._commands[id] = Command(id, time.monotonic() + seconds)
        if (pid := os.fork()) == 0:
            self._leave()
            null = os.open(os.devnull, os.O_RDWR)
            words = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.environ["FAULTS_COMMAND"] = str(id)
            _become((null, null, words), lambda: _command(arguments))
        self._watch(command, pid, None)

    def _start_worker(self, connection: socket.socket) -> None:
        """Fork the worker that a command asks for: with its streams, answered by its process id, then its status."""
        message, streams, _, _ = socket.recv_fds(connection, 1024, 3)
        asked = json.loads(message or b"{}")
        command = self._commands.get(asked.get("command", -1))
        if command and len(streams) == 3 and not command.hangs:
            if (pid := os.fork()) == 0:
                connection.close()
                self._leave()
                _become((streams[0], streams[1], streams[2]), lambda: _worker(asked))
            connection.sendall(f"{pid}\n".encode())
            self._watch(command, pid, connection)
        else:  # it died meanwhile
            connection.close()
        for stream in streams:
            os.close(stream)

    def _leave(self) -> None:
        """In a fork: be a group of its own that the counter knows, and let go what is the zygote's."""
        os.setsid()
        self._groups.add(os.getpid())
        self._selector.close()
        self._listener.close()

    def _watch(self, command: Command, pid: int, connection: socket.socket | None) -> None:
        command.alive.add(pid)
        command.groups.append(pid)
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (command, pid, connection))

    def _reap(self, pidfd: int, command: Command, pid: int, connection: socket.socket | None) -> None:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._selector.unregister(pidfd)
        os.close(pidfd)
        command.alive.discard(pid)
        if connection is None:
            command.status = status
        else:
            with contextlib.suppress(OSError):  # the command is gone
                connection.sendall(f"{status}\n".encode())
            connection.close()
        if command.alive:
            return
        _kill(command.groups)  # whoever outlived it, such as an encoder
        del self._commands[command.id]
        ended = {"id": command.id, "status": None if command.hangs else command.status}
        os.write(1, json.dumps(ended).encode() + b"\n")


def _kill(groups: list[int]) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _become(streams: tuple[int, int, int], run: Any) -> None:
    """Take these streams, run, and leave with what it returns."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in {*streams} - {0, 1, 2}:
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
    status = 1
    try:
        status = run()
    except SystemExit as ended:  # Ctrl-C while the arguments are read
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001  said on stderr, which the campaign reads
        import traceback

        traceback.print_exc()
    os._exit(status)


def _command(arguments: list[str]) -> int:
    from pipelines.__main__ import main

    return main(arguments)


def _worker(asked: dict[str, Any]) -> int:
    os.environ["FAULTS_COMMAND"] = str(asked["command"])
    module, arguments = importlib.import_module(asked["module"]), asked["arguments"]
    if arguments:
        # A fork of the zygote is no child of the command: it measures itself.
        arguments[0] = json.dumps({**json.loads(arguments[0]), "parent": os.getpid()})
    sys.argv = ["worker", *arguments]
    module.main()
    return 0


if __name__ == "__main__":
    prepare()
    Zygote().serve()
