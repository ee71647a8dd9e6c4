"""Listening to a job from an event loop, without ever holding the job or a thread of the server's pool."""

import asyncio
import threading
from collections.abc import AsyncGenerator

from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from ui.jobs.view import JobView

_LOOK_SECONDS = 0.25


async def views(queue: JobQueue, job: Job) -> AsyncGenerator[JobView, None]:
    """The newest view of `job` whenever there is a newer one, at most four a second, until the job ends.

    While the job waits, the view tells its place and when it is expected to start, as the queue knows it now. Closing
    it, at any moment, stops the listening and nothing else. Views that nobody had time for are skipped, so a slow
    reader holds one view, not a backlog.
    """
    listener = _Listener(queue, job)
    shown: JobView | None = None
    try:
        while True:
            ended = listener.ended  # before the view: the last view is then the last
            if (told := listener.view) is not None and (view := _placed(queue, job, told)) != shown:
                shown = view
                yield view
            if ended:
                listener.raise_what_went_wrong()
                return
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        # May run on the event loop: only a flag is set here.
        listener.close()


def _placed(queue: JobQueue, job: Job, view: JobView) -> JobView:
    if view.status.state != "queued":
        return view
    ahead, wait = queue.ahead(job), queue.expected_wait(job)
    return view.having(
        position=view.status.position if ahead is None else ahead,
        starts_in_seconds=None if wait is None else float(round(wait)),
    )


class _Listener:
    """Folds a job's events into `view` in a thread of its own, until the job ends or it is closed."""

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self.view: JobView | None = None
        self._job = job
        self._events = queue.listen(job, given_up=lambda: self._closed)
        self._closed = False
        self._wrong: Exception | None = None
        self._thread = threading.Thread(target=self._listen, name=f"listener {job.id}", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def raise_what_went_wrong(self) -> None:
        if self._wrong:
            raise self._wrong

    def close(self) -> None:
        self._closed = True

    def _listen(self) -> None:
        try:
            view = JobView(folder=f"{self._job.record().inputs[0].path.parent}/")
            for event in self._events:
                self.view = view = view.after(event)
                if self._closed:
                    return
        except Exception as error:  # noqa: BLE001  carried over to whoever asked
            self._wrong = error
