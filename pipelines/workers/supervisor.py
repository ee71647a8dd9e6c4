"""Run a job to its end, restarting the worker where it dies: a death costs the current span."""

from collections.abc import Callable

from pipelines.errors import Sentence, WorkerDied
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.workers.runner import Runner

_TRIES_PER_SPAN = 3
"""One or two deaths may be due to other programs' memory; after three at the same span, more tries hardly help."""


def run_through(
    job: Job, runner: Runner, on_event: Callable[[Event], None], *, closed: Callable[[], bool]
) -> None:
    """Run `job` until it ends or `closed()` is true, with at most three tries at the same span.

    `on_event` receives the job's events, its ending and a warning for each death of the runner.
    """

    def emit(event: Event) -> None:
        job.journal.append(event)
        on_event(event)

    tries, finished = 0, -1
    while not closed():
        death = runner.run(job, on_event)
        if death is None or closed():
            return
        last = job.journal.last_state()
        if isinstance(last, events.ENDINGS):
            on_event(last)
            return
        if what := job.requested():
            # It was killed because it did not hear the request.
            job.sweep()
            emit(events.CancelledEvent(job=job.id) if what == "cancel" else events.Paused(job=job.id))
            return
        done = job.count_finished()
        tries, finished = (tries + 1, finished) if done == finished else (1, done)
        if tries >= _TRIES_PER_SPAN:
            error = WorkerDied(
                f"The worker {death}, {tries} times at the same span.",
                "Finished spans are kept. Try a lower --quality or --ram-limit-gb, then resume.",
                "worker.died",
                tries=tries,
            )
            emit(events.Failed.of(job.id, error))
            return
        message = Sentence(
            f"The worker {death}; the job continues from the last finished span.", "worker_died"
        )
        emit(events.Warned.of(job.id, "worker_died", message))
