"""A crew on this machine: processes of ours, told and heard through pipes; no port, no service."""

import contextlib
import logging
import queue
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from memory.slot import Slot
from pipelines.runtime.crew import REPLIES, Lost, Order, Said
from pipelines.storage.names import to_json
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.workers.children import describe_exit, kill_tree, worker_environment

log = logging.getLogger(__name__)

_STOP_SECONDS = 10.0
"""How long all members together may take to stop at their next frame before they are killed.

Half of what the process that leads them has itself (`process.STOP_SECONDS`).
"""


@dataclass
class _Process:
    """A member: its process, where it computes, and the last lines of its stderr."""

    popen: "subprocess.Popen[bytes]"
    slot: Slot
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=20))


class LocalCrew:
    """Members that are processes of this machine, at `slots` in turn: the one with the fewest members is next."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = tuple(slots)
        self._processes: dict[int, _Process] = {}
        self._devices: dict[int, str] = {}
        self._hired = 0
        self._said: queue.SimpleQueue[tuple[int, Said]] = queue.SimpleQueue()

    def hire(self) -> int:
        """Start one more member and return its number. Raises OSError."""
        self._hired += 1
        number = self._hired
        taken = Counter(member.slot for member in self._processes.values())
        slot = min(self._slots, key=lambda each: taken[each])
        popen = subprocess.Popen(
            [sys.executable, "-m", "pipelines.workers.member"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT_ROOT,
            env={**worker_environment(), **dict(slot.environment)},
            # In its own session, so that Ctrl-C reaches only the command line.
            start_new_session=True,
        )
        member = self._processes[number] = _Process(popen, slot)
        self._devices[number] = slot.device
        reader = threading.Thread(target=self._listen_to_stderr, args=(number, member), daemon=True)
        reader.start()
        threading.Thread(target=self._listen, args=(number, member, reader), daemon=True).start()
        return number

    def device(self, member: int) -> str:
        """Return the name of the device that `member` computes on."""
        return self._devices[member]

    def tell(self, member: int, order: Order) -> None:
        """Give `member` an order; one that is gone is said to be `Lost` later."""
        process = self._processes.get(member)
        with contextlib.suppress(OSError, ValueError):  # it ends at this moment
            if process and process.popen.stdin:
                process.popen.stdin.write(to_json(order) + b"\n")
                process.popen.stdin.flush()

    def poll(self, timeout_seconds: float) -> Iterator[tuple[int, Said]]:
        """Wait until a member says something, at most so long, and yield all that was said, in its order."""
        with contextlib.suppress(queue.Empty):
            yield self._said.get(timeout=timeout_seconds)
            while True:
                yield self._said.get_nowait()

    def kill(self, member: int) -> None:
        """End `member` and its children at once; it is said to be `Lost` then."""
        process = self._processes.pop(member, None)
        if process:
            kill_tree(process.popen.pid)

    def close(self, *, at_once: bool = False) -> None:
        """End all members: at their next frame, or at once."""
        members, self._processes = list(self._processes.values()), {}
        for member in members:
            with contextlib.suppress(OSError):
                if member.popen.stdin:
                    member.popen.stdin.close()
        until = time.monotonic() + (0 if at_once else _STOP_SECONDS)
        for member in members:
            try:
                member.popen.wait(max(0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                kill_tree(member.popen.pid)
                member.popen.wait()

    def _listen(self, number: int, member: _Process, errors: threading.Thread) -> None:
        for line in member.popen.stdout or ():
            with contextlib.suppress(ValidationError):
                self._said.put((number, REPLIES.validate_json(line)))
        errors.join()
        code = member.popen.wait()
        self._processes.pop(number, None)
        self._said.put((number, Lost(describe_exit(code, member.last_lines))))

    def _listen_to_stderr(self, number: int, member: _Process) -> None:
        for line in member.popen.stderr or ():
            text = line.decode(errors="replace").rstrip()
            member.last_lines.append(text)
            log.info("worker %d: %s", number, text)
