"""A job's way to its end, in a new worker where one dies: a death costs the span at hand."""

from collections.abc import Callable

from pipelines.errors import WorkerDied
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.workers.runner import Runner

_TRIES_PER_SPAN = 3


def run_through(
    job: Job, runner: Runner, hear: Callable[[Event], None], *, closed: Callable[[], bool]
) -> None:
    """Run `job` to its end, or until `closed()`: at most three tries at the same span.

    `hear` takes what the job tells meanwhile, its ending and deaths of the runner.
    """

    def tell(event: Event) -> None:
        job.journal.append(event)
        hear(event)

    tries, finished = 0, -1
    while not closed():
        death = runner.run(job, hear)
        if death is None or closed():
            return
        last = job.journal.last_state()
        if isinstance(last, events.ENDINGS):
            hear(last)
            return
        done = job.count_finished()
        tries, finished = (tries + 1, finished) if done == finished else (1, done)
        if tries >= _TRIES_PER_SPAN:
            error = WorkerDied(
                f"The worker {death}, {tries} times at the same place.",
                "Finished spans are kept. Try a lower --quality or --ram-limit-gb, then resume.",
            )
            tell(events.Failed.of(job.id, error))
            return
        message = f"The worker {death}; the job goes on from the last finished span."
        tell(events.Warned(job=job.id, code="worker_died", message=message))
