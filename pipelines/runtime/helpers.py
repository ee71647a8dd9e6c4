"""Who computes the stages of a run: this process, or a crew that it hires when there is work for one."""

from collections.abc import Callable

from pipelines.jobs.job import Job
from pipelines.runtime.crew import CrewRequest, Hiring, Open
from pipelines.runtime.crew_run import CrewRun
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.preparation import Preparation
from pipelines.runtime.reporter import Reporter
from pipelines.runtime.sharing import Share
from pipelines.stages import RunContext, Stage, uses_network


class Helpers:
    """The crew of one run, where there is one."""

    def __init__(
        self,
        job: Job,
        hiring: Hiring | None,
        report: Reporter,
        event_log: EventLog,
        *,
        look: Callable[[], None],
        check_inputs: Callable[[], None],
        check: Callable[[], None],
    ) -> None:
        """`look` and `check_inputs` are those of `CrewRun`, `check` is that of `CrewRequest`.

        Without `hiring` nobody helps.
        """
        self._job, self._hiring, self._report, self._log = job, hiring, report, event_log
        self._look, self._check_inputs, self._check = look, check_inputs, check
        self._make: Callable[[], CrewRun] | None = None
        self._crew: CrewRun | None = None

    def hire(self, prepared: Preparation, run: RunContext, held_bytes: int) -> Preparation:
        """Let others compute the job together where they are wanted and fit; returns what is predicted then."""
        hiring, report = self._hiring, self._report
        if hiring is None:
            return prepared
        share = Share.of(hiring, prepared, len(run.spans), held_bytes, report.warn)
        if share is None:
            return prepared
        folder, plan = self._job.folder, share.plan.to_json()
        member_bytes = share.plan.predicted_host_bytes
        request = CrewRequest(
            folder, run.settings, prepared.slots, report.warn, check=self._check, member_bytes=member_bytes
        )

        def make() -> CrewRun:
            return CrewRun(
                self._job,
                hiring.make(request),
                share.workers,
                Open(folder=folder, plan=plan, frame_seconds=prepared.lent_frame_seconds),
                report,
                self._log,
                look=self._look,
                check_inputs=self._check_inputs,
                stuck_seconds=hiring.stuck_seconds,
                joins=hiring.joins,
                waiting=hiring.waiting,
            )

        self._make = make
        self._crew = None if hiring.networks_only else make()
        return share.together

    def crew_for(self, stage: Stage, prepared: Preparation, missing: int) -> CrewRun | None:
        """Return who computes so many `missing` spans of `stage`; None where the run does that itself."""
        hiring = self._hiring
        if hiring and hiring.networks_only:
            if not missing or not self._make or not uses_network(stage, prepared.pipeline):
                return None
            self._crew = self._crew or self._make()
            return self._crew
        # One span is computed here as soon as a worker has started, unless others alone are to compute.
        least = 1 if hiring and hiring.joins else 2
        return self._crew if missing >= least else None

    def end(self) -> None:
        """End the crew once all is computed, and tell so."""
        if self._crew:
            self._crew.end()
            self._crew = None

    def close(self, *, at_once: bool = False) -> None:
        """End the crew, if there is one: at its next frame, or at once. May be called from any thread."""
        if self._crew:
            self._crew.close(at_once=at_once)
