"""Client of the process that poses portraits: started at the first request, kept while it is used."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from memory.slices import SPACE
from pipelines.errors import LongtakeError, NotEnoughMemory, QueueFull
from pipelines.jobs import events
from pipelines.storage.names import to_json
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.workers.children import worker_environment
from pipelines.workers.pose import PoseQuestion

log = logging.getLogger(__name__)

ANSWER_SECONDS = 600.0
"""The time limit of one request: generous, so that one core of a busy machine can inspect and draw a portrait."""
MOST_WAITING = 8
"""The most requests that wait or run, of all visitors."""
_GRACE_SECONDS = 1.0


class PosingProcess:
    """A process that answers one request at a time. It ends with the page's process, and by itself when it is idle."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "pipelines.workers.pose")) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def ask(self, question: PoseQuestion) -> Path:
        """Draw the picture of `question` and return its path.

        Raises QueueFull, the error that the process reports, NotEnoughMemory where it was killed, LongtakeError where
        it failed.
        """
        if self._waiting >= MOST_WAITING:
            raise QueueFull(
                f"{self._waiting} poses wait to be drawn.",
                "Try again in a minute.",
                "pose.waiting",
                waiting=self._waiting,
            )
        self._waiting += 1
        try:
            return await self._exchange(question)
        finally:
            self._waiting -= 1

    async def _exchange(self, question: PoseQuestion) -> Path:
        async with self._turn:
            process = await self._started()
            assert process.stdin and process.stdout
            try:
                process.stdin.write(to_json(question) + b"\n")
                await process.stdin.drain()
                line = await asyncio.wait_for(process.stdout.readline(), ANSWER_SECONDS)
                event = events.parse(line)
            except (OSError, TimeoutError, ValidationError) as error:
                raise await self._death_error(process) from error
            except asyncio.CancelledError:
                # The visitor has gone; a late answer must not be taken for that of the next request.
                await self._end(process)
                raise
        match event:
            case events.Preview():
                return event.path
            case events.Failed():
                raise event.to_error(question.source)
        raise LongtakeError("The portrait could not be posed.", "The server's log says why.", "pose.failed")

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=PROJECT_ROOT,
                # A GPU that is lent call by call is for jobs.
                env={**worker_environment(), SPACE: "cpu"},
                start_new_session=True,
            )
        return self._process

    async def _death_error(self, process: asyncio.subprocess.Process) -> LongtakeError:
        await self._end(process)
        log.warning("posing ended with %s", process.returncode)
        if process.returncode == -9:
            return NotEnoughMemory(
                "What poses the portrait was killed: memory may have ended.",
                "Try again when nothing else runs.",
                "memory.pose_killed",
            )
        return LongtakeError("The portrait could not be posed.", "The server's log says why.", "pose.failed")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._process = None
        # Killing at once would hide the exit status of a process that died by itself.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
        if process.returncode is None:
            process.kill()
            await process.wait()
