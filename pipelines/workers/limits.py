"""The limit of memory that a job sets, held by whoever carries orders and answers of a worker on its machine."""

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from pipelines.errors import LongtakeError, NotEnoughMemory
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Crew, Less
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.memory_watch import MemoryWatch


class MemberLimit:
    """Holds this process and its children, a `member` of `crew` among them, to the limit of the job that they open."""

    def __init__(self, crew: Crew, member: int) -> None:
        self._crew, self._member = crew, member
        self._memory: MemoryWatch | None = None
        self._watches = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watches.close()

    def watch(self, job: Job) -> None:
        """Hold to the limit of `job` from now on, where that can be read: else the member says why it cannot."""
        try:
            limit_gb = job.record().settings.ram_limit_gb
        except LongtakeError:
            return
        memory = MemoryWatch(job, EventLog(job, journal=False), os.getpid())
        self._memory = self._watches.enter_context(memory)
        memory.keep_below(limit_gb)

    def passed(self) -> events.Failed | None:
        """Tell the member where it has to use less; where that comes too late, end it and return what to say."""
        try:
            if self._memory:
                self._memory.check()
        except MemoryError:
            self._crew.tell(self._member, Less())
        except NotEnoughMemory as error:
            self._crew.close(at_once=True)
            return events.Failed.of("", error)
        return None
