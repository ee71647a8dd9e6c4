"""Reusing tracking results: a job links spans that another job has finished for the same tracking request.

Checking a mask, trying it on a few seconds and removing the object are separate jobs that track the same object
from the same prompts. Their results under `state/` are byte-identical, so they are linked instead of computed. Each
job marks its request with an empty file, by which the others find it.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipelines.jobs.events import Segment
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.journal import Journal
from pipelines.settings import MaskSettings
from pipelines.spans import Span
from pipelines.stages import RunContext
from pipelines.storage.atomic import atomic_write, write_bytes
from pipelines.storage.kept_files import KeptFile, damaged
from pipelines.weights.locate import find

_VERSION = 1
"""Increased when the same request gives other masks, together with the result versions of the tasks."""
_REQUEST_SETTINGS = {"track", "box", "point", "tracker", "decoder", "salvage"}


class ReusableStage(Protocol):
    """A stage whose finished spans another job may reuse."""

    def kept(self, span: Span) -> Sequence[str]:
        """Files of a finished span, relative to the job folder; its own comes last."""
        ...


def reuse_results(run: RunContext, settings: MaskSettings, stages: Sequence[ReusableStage]) -> None:
    """Link spans that other jobs in the same folder have finished for this job's request and that are missing here.

    Does nothing for a job that knows its inputs by their ends: another's may be of another film.
    """
    if not run.fingerprints:
        return
    name = f"state/question-{_request_key(run, settings)}"
    for marker in sorted(run.folder.parent.glob(f"*/{name}")):
        other = marker.parents[1]
        if other == run.folder:
            continue
        finished = Journal(other / "events.jsonl").finished_files()
        for stage in stages:
            for span in run.spans:
                *beside, own = stage.kept(span)
                if own in finished and not (run.folder / own).exists():
                    _reuse(run, span, other, (own, *beside), finished[own])
    write_bytes(run.folder / name, b"")


def _reuse(run: RunContext, span: Span, other: Path, names: Sequence[str], files: Sequence[KeptFile]) -> None:
    """Link the files of a span, its own first, and tell so, unless they are not what the other job told of them."""
    ours = [run.folder / name for name in names]
    try:
        # The own file comes last: it makes the span a finished one.
        for name, path in reversed(list(zip(names, ours, strict=True))):
            _link(other / name, path)
    except FileNotFoundError:  # the other job may be deleted at any moment; links made by then stay valid
        return
    if damaged(run.folder, ours, files):
        for path in ours:
            path.unlink(missing_ok=True)
        return
    told = Segment(job=run.folder.name, start=span.start, stop=span.stop, path=ours[0], files=tuple(files))
    Journal(run.folder / "events.jsonl").append(told)


def _request_key(run: RunContext, settings: MaskSettings) -> str:
    """Hash of what determines the masks: the inputs' contents, the prompts and settings, and the spans."""
    read = [*run.fingerprints[: 2 if settings.track else 1]]
    if settings.tracker != "builtin":
        weights = sorted(find(settings.tracker, settings.weights).items())
        read += [InputFile.of(path).fingerprint for _, path in weights]
    request = {
        "version": _VERSION,
        "inputs": read,
        "settings": settings.model_dump(mode="json", include=_REQUEST_SETTINGS),
        "spans": [span.name for span in run.spans],
    }
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]


def _link(source: Path, target: Path) -> None:
    """Hard-link a file; files are replaced, never modified, so two jobs may share one."""
    with atomic_write(target) as part:
        try:
            part.hardlink_to(source)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            shutil.copyfile(source, part)
