"""Inputs stay what they were while a job runs: a span that was read from another film must not be kept."""

from collections.abc import Callable
from pathlib import Path

from pipelines.errors import LongtakeError
from pipelines.jobs.job import Job
from pipelines.storage.contents import written_state


class InputWatch:
    """Checks the inputs of a job at its start, and looks before each span is kept whether they were written since.

    Looking costs one `stat` for each file; only what was written since is hashed again.
    """

    def __init__(self, job: Job, check_interrupt: Callable[[], None]) -> None:
        self._job = job
        self._check_interrupt = check_interrupt
        self._paths: tuple[Path, ...] = ()
        self._states: tuple[str, ...] = ()

    def begin(self) -> None:
        """Compare all contents with those that the job was created with. Raises as `Job.check_inputs`."""
        self._paths = tuple(known.path for known in self._job.record().inputs)
        states = self._now()
        # Hashing what is large may take a while: it can be stopped too.
        self._job.check_inputs(lambda count: self._check_interrupt())
        self._states = states

    def check(self) -> None:
        """Compare again where a file was written since. Raises as `Job.check_inputs`."""
        if self._now() != self._states:
            self.begin()

    def reason(self, error: Exception) -> Exception:
        """The change of an input that explains `error`; itself where there was none."""
        try:
            if self._now() != self._states:
                self._job.check_inputs()
        except LongtakeError as changed:
            return changed
        return error

    def _now(self) -> tuple[str, ...]:
        return tuple(map(written_state, self._paths))
