"""Following a job from an event loop, without blocking the job or a thread of the server's pool."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator

from pipelines.jobs.job import Job
from pipelines.runtime.watchdog import LIFE, QUIET_SECONDS
from pipelines.scheduler.queue import JobQueue
from ui.jobs.view import JobView

POLL_SECONDS = 0.25
_PATIENCE = 10
"""A job has been followed so many times as long as a period: by then nobody sees the difference of a second."""


async def views(
    queue: JobQueue, job: Job, longest_seconds: float = POLL_SECONDS
) -> AsyncGenerator[JobView, None]:
    """Yield the newest view of `job` whenever it has changed, at most four a second, until the job ends.

    The longer it is followed, the longer are the periods, up to `longest_seconds`.

    While the job waits, the view has its position and its expected start, as the queue knows them now. Closing the
    generator at any moment ends the listener and nothing else. A slow reader skips views, so one view is held, not a
    backlog.
    """
    listener, begun = _Listener(queue, job), time.monotonic()
    shown: JobView | None = None
    try:
        while True:
            ended = listener.ended  # read before the view, so that the final view is not missed
            latest = listener.view
            if (
                latest is not None
                and (view := _with_silence(_with_position(queue, job, latest), listener.silent_seconds))
                != shown
            ):
                shown = view
                yield view
            if ended:
                listener.raise_error()
                return
            period = (time.monotonic() - begun) / _PATIENCE
            await asyncio.sleep(max(POLL_SECONDS, min(longest_seconds, period)))
    finally:
        # May run on the event loop: only a flag is set here.
        listener.close()


def _with_position(queue: JobQueue, job: Job, view: JobView) -> JobView:
    if view.status.state != "queued":
        return view
    ahead, wait = queue.ahead(job), queue.expected_wait(job)
    return view.with_status(
        position=view.status.position if ahead is None else ahead,
        starts_in_seconds=None if wait is None else float(round(wait)),
    )


def _with_silence(view: JobView, seconds: float) -> JobView:
    if view.status.state != "running" or seconds < QUIET_SECONDS:
        return view
    return view.with_status(silent_seconds=int(seconds))


class _Listener:
    """Folds a job's events into `view` in a thread of its own, until the job ends or it is closed."""

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self.view: JobView | None = None
        self._job = job
        self._events = queue.listen(job, given_up=lambda: self._closed)
        self._closed = False
        self._last_life = time.monotonic()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._listen, name=f"listener {job.id}", daemon=True)
        self._thread.start()

    @property
    def silent_seconds(self) -> float:
        """How long ago the last sign of life of the computing thread was heard."""
        return time.monotonic() - self._last_life

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def raise_error(self) -> None:
        if self._error:
            raise self._error

    def close(self) -> None:
        self._closed = True

    def _listen(self) -> None:
        try:
            view = JobView.of(self._job)
            for event in self._events:
                if isinstance(event, LIFE):
                    self._last_life = time.monotonic()
                self.view = view = view.after(event)
                if self._closed:
                    return
        except Exception as error:  # noqa: BLE001  raised again in `views`
            self._error = error
