"""What kind of a run a job is, for people: a preview, a check of the mask, a part of a video, or all of it."""

from typing import Any, Literal

from pipelines.jobs.record import JobRecord
from pipelines.settings.base import TRIAL_SECONDS

Kind = Literal["", "preview", "mask", "part", "full"]


def kind_of(record: JobRecord) -> Kind:
    """The kind of the job with this record. Settings that this version does not know count as they stand."""
    if record.task == "track":
        return "mask"
    if is_preview(record.asked):
        return "preview"
    return "part" if _seconds(record.asked, "start") or _seconds(record.asked, "end") else "full"


def is_preview(asked: dict[str, Any]) -> bool:
    """Whether these settings are those of the buttons that try a few seconds."""
    end = _seconds(asked, "end")
    return bool(end) and end - _seconds(asked, "start") <= TRIAL_SECONDS


def _seconds(asked: dict[str, Any], name: str) -> float:
    value = asked.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
