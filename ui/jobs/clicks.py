"""Who pays for a job on a Space that lends its GPU call by call: whoever clicked, as the context of the click tells."""

from collections.abc import Callable
from contextvars import Context, copy_context

from gradio.context import LocalContext

from pipelines.jobs.job import Job


def noting_clicks(note: Callable[[str, Context], None]) -> Callable[[Job], None]:
    """Return a function to be called where a job is asked for; `note` is told the job's id and the click's context."""

    def asked(job: Job) -> None:
        context = copy_context()
        # By the event `spaces` would see whether the tab is still open, and give the GPU up when it is not.
        context.run(LocalContext.event_id.set, None)
        note(job.id, context)

    return asked
