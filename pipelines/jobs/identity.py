"""What makes two requests one job, and which version of the program may go on with a job."""

import hashlib
import json

from pipelines.errors import BadInput
from pipelines.jobs.inputs import InputFile
from pipelines.settings import Settings
from pipelines.spec import task_spec

ID_DIGITS = 32
"""Hex digits of a job's id: 128 bits, since two requests with one id could be found on purpose in 64."""


def job_id(
    task: str,
    inputs: tuple[InputFile, ...],
    settings: Settings,
    result_version: int,
    weights: tuple[InputFile, ...] = (),
) -> str:
    """Hash what determines the result (input contents, settings that change it, weights, version) to hex digits."""
    identity = {
        "task": task,
        "inputs": [(i.fingerprint_kind, i.size_bytes, i.fingerprint) for i in inputs],
        "settings": settings.identity(),
        "version": result_version,
        "weights": [(w.path.name, w.fingerprint_kind, w.size_bytes, w.fingerprint) for w in weights],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]


def reject_other_version(task: str, result_version: int, id: str, name: str) -> None:
    """Raise BadInput where the job `id` of `name` has finished work of another result version than today's.

    Spans of two versions would be joined to a result that neither makes.
    """
    today = task_spec(task).result_version
    if result_version != today:
        raise BadInput(
            f"The job {id} ({name}) was left unfinished by another version of Longtake, which makes other results "
            f"(result version {result_version}, now {today}).",
            f"Start it again as a new job, or compute it anew with `python -m pipelines resume {id} --force`.",
            "job.other_version",
        )
