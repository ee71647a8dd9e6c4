"""What kind of job a job is: a preview of a few seconds, a check of a mask, a part of the video, or the full run."""

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.jobs.job import Job
from pipelines.jobs.record import JobRecord
from pipelines.settings import FilmSettings
from pipelines.settings.base import TRIAL_SECONDS
from pipelines.spec import tasks

Kind = Literal["preview", "mask_check", "part", "full"]


def kind_of(job: Job | JobRecord) -> Kind:
    """Return the kind of a job, by its task and settings. Raises as `Job.record`."""
    record = job.record() if isinstance(job, Job) else job
    return kind_of_request(record.task, record.asked)


def kind_of_request(task: str, asked: Mapping[str, Any]) -> Kind:
    """Return the kind of a job of `task` with the settings `asked`, which may be those of another version.

    A video of exactly the seconds that a preview has counts as one: the preview and the full run of such a range are
    the same job. A task that is not known here, of a plug-in that is gone, has full runs only.
    """
    spec = tasks().get(task)
    if spec is None:
        return "full"
    if spec.part_of:
        return "mask_check"
    if is_trial(asked) and issubclass(spec.settings, FilmSettings):
        return "preview"
    return "part" if any(_is_time(asked.get(name)) for name in ("start", "end")) else "full"


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def is_trial(asked: Mapping[str, Any]) -> bool:
    """Whether the settings `asked` are those of a button that tries a few seconds."""
    start, end = asked.get("start") or 0.0, asked.get("end")
    return isinstance(start, int | float) and end == start + TRIAL_SECONDS
