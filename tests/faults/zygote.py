"""Imports what the commands need, then forks for each line on stdin: the file for stderr, a limit, the arguments."""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any

import cv2

cv2.setNumThreads(1)

SPAN_FRAMES = 8
"""Frames of a span here, so that a clip of two seconds has several."""


def prepare() -> None:
    """Import the pipelines, let jobs run in the process of their command, and make spans short."""
    import matplotlib.figure  # noqa: F401

    import pipelines.animation.pipeline
    import pipelines.cli.batch
    import pipelines.cli.commands
    import pipelines.cli.task_commands
    import pipelines.inpainting.pipeline
    import pipelines.scoring.pipeline
    import pipelines.scoring.report.chart
    import pipelines.tracking.pipeline
    from pipelines.runtime import planning
    from pipelines.scheduler.queue import JobQueue
    from pipelines.spec import tasks
    from pipelines.workers.in_process import InProcess

    tasks()

    def queue(jobs_dir: Any, **more: Any) -> JobQueue:
        return JobQueue(jobs_dir, runner=InProcess())

    for module in (pipelines.cli.batch, pipelines.cli.commands, pipelines.cli.task_commands):
        module.JobQueue = queue
    choose = planning.choose

    def short_spans(*given: Any, **more: Any) -> Any:
        from dataclasses import replace

        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": SPAN_FRAMES})

    planning.choose = short_spans


def child(stderr: str, arguments: list[str]) -> None:
    """Run one command in a process group of its own; never returns."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    words = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number, target in ((0, null), (1, null), (2, words)):
        os.dup2(target, number)
    from pipelines.__main__ import main

    status = 1
    try:
        status = main(arguments)
    except SystemExit as ended:  # Ctrl-C while the arguments are read
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001  said on stderr, which the campaign reads
        import traceback

        traceback.print_exc()
    os._exit(status)


def wait(pid: int, seconds: float) -> str:
    """The exit status of the child, negative for a signal; `hangs` where it had to be killed."""
    timer = threading.Timer(seconds, os.killpg, (pid, signal.SIGKILL))
    timer.start()
    began = time.monotonic()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    timer.cancel()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # whoever outlived it
    return "hangs" if time.monotonic() - began >= seconds else str(status)


def main() -> None:
    """Serve stdin."""
    prepare()
    for line in sys.stdin:
        stderr, seconds, *arguments = line.rstrip("\n").split("\0")
        pid = os.fork()
        if pid == 0:
            child(stderr, arguments)
        sys.stdout.write(wait(pid, float(seconds)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
