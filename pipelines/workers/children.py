"""What processes that compute have in common: their environment, how they are ended, how their end is described."""

import contextlib
import os
from collections.abc import Sequence

import psutil

from pipelines.errors import Sentence


def worker_environment() -> dict[str, str]:
    """Environment variables for processes that compute."""
    # glibc gives every thread its own heap; with many frames and threads those grow and return nothing to the system.
    # Idle OpenMP threads spin by default, which took nine times the CPU time on a shared machine.
    # PCI order makes CUDA number the GPUs as the driver does.
    defaults = {"MALLOC_ARENA_MAX": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**defaults, **os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def kill_tree(pid: int) -> None:
    """Kill a process and its children, which may be stopped or hang."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                each.kill()


def describe_exit(code: int, last_lines: Sequence[str]) -> Sentence:
    """Return how a process ended, to complete "the worker ...", with the last of its words."""
    if code == -9:
        words = "was killed by signal 9 (the system may have run out of memory)"
        return Sentence(words, "lost_killed_9")
    if code < 0:
        return Sentence(f"was killed by signal {-code}", "lost_killed", signal=-code)
    if not last_lines:
        return Sentence(f"ended with exit status {code}", "lost_ended", code=code)
    words = last_lines[-1]
    return Sentence(f"ended with exit status {code}: {words}", "lost_said", code=code, words=words)
