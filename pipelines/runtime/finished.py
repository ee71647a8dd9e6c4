"""The spans of a job that are finished on disk: verified by what the journal says of their files, never believed."""

from pipelines.errors import Sentence
from pipelines.jobs.job import Job
from pipelines.runtime.span_work import span_file
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage, Warn
from pipelines.storage.kept_files import damaged


class FinishedSpans:
    """Knows which spans of each stage are finished. Each is verified when a process first asks, and on demand."""

    def __init__(self, job: Job, warn: Warn) -> None:
        self._job = job
        self._warn = warn
        self._verified: dict[str, set[Span]] = {}

    def of(self, stage: Stage, run: RunContext) -> set[Span]:
        """Return the finished spans of `stage`. The files of others are removed; those that were damaged are told."""
        if stage.name not in self._verified:
            self._verified[stage.name] = self._verify(stage, run)
        return self._verified[stage.name]

    def verify_again(self) -> None:
        """Read the files again when they are next asked for."""
        self._verified.clear()

    def _verify(self, stage: Stage, run: RunContext) -> set[Span]:
        folder, known = self._job.folder, self._job.journal.finished_files()
        kept: set[Span] = set()
        unknown = changed = 0
        for span in self._job.finished(stage.folder, stage.suffix, run.spans):
            own, *beside = span_file(folder, stage, span), *stage.beside(run, span)
            files = known.get(own.relative_to(folder).as_posix(), ())
            if (wrong := damaged(folder, [own, *beside], files)) is None:
                kept.add(span)
                continue
            own.unlink(missing_ok=True)
            unknown += not files
            # What was never told is no damage: frames that are exported only now.
            changed += wrong in {each.name for each in files}
        for count, code, why in (
            (unknown, "unverified", "are not in the log with a hash (an earlier version, or a damaged log)"),
            (changed, "damaged_files", "have been damaged on the disk"),
        ):
            if count:
                self._warn(
                    code,
                    Sentence(
                        f"{count} finished spans ({stage.name}) {why}. They are computed again.",
                        "again",
                        count=count,
                    ),
                )
        return kept
