"""Following an object once: a job takes over what another job of the same question about masks has finished.

Checking a mask, trying it and removing what it marks are jobs of their own that follow the same object from the same
hints. Whatever is kept under `state/` for such a question is the same bytes, so it is linked instead of computed. Each
job names its question by an empty file, so that the others find it.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pipelines.jobs.inputs import InputFile
from pipelines.settings import MaskSettings
from pipelines.spans import Span
from pipelines.stages import RunContext
from pipelines.storage.atomic import atomic_write, write_bytes
from pipelines.weights.locate import find

_VERSION = 1
"""Raised when the same question gives other masks; the result versions of those tasks are raised then, too."""
_ASKED = {"track", "box", "point", "tracker", "decoder", "salvage"}


class Shared(Protocol):
    """A stage whose spans another job may take over."""

    def kept(self, span: Span) -> Sequence[str]:
        """The files of a finished span below the job folder, the one that says that it is finished last."""
        ...


def reuse_results(run: RunContext, settings: MaskSettings, stages: Sequence[Shared]) -> None:
    """Link what other jobs beside this one have finished of its question, as far as it is missing here."""
    name = f"state/question-{_question(run, settings)}"
    for found in sorted(run.folder.parent.glob(f"*/{name}")):
        theirs = found.parents[1]
        if theirs == run.folder:
            continue
        for paths in (stage.kept(span) for stage in stages for span in run.spans):
            # Another job may be deleted at any moment; what is linked by then stays.
            with suppress(FileNotFoundError):
                if (theirs / paths[-1]).exists() and not (run.folder / paths[-1]).exists():
                    for path in paths:
                        _link(theirs / path, run.folder / path)
    write_bytes(run.folder / name, b"")


def _question(run: RunContext, settings: MaskSettings) -> str:
    """What determines the masks: contents of what is read, hints, and the spans into which frames are cut."""
    read = [*run.inputs[: 2 if settings.track else 1]]
    if settings.tracker != "builtin":
        read += [path for _, path in sorted(find(settings.tracker, settings.weights).items())]
    asked = {
        "version": _VERSION,
        "inputs": [InputFile.of(path).fingerprint for path in read],
        "settings": settings.model_dump(mode="json", include=_ASKED),
        "spans": [span.name for span in run.spans],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _link(source: Path, target: Path) -> None:
    """Files are replaced, never written to again, so that two jobs may have one."""
    with atomic_write(target) as part:
        try:
            part.hardlink_to(source)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copyfile(source, part)
