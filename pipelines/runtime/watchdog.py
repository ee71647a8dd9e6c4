"""Notices that the computing thread of a worker has fallen silent: memory readings and waiting do not count as life."""

import time
from collections import deque
from collections.abc import Callable
from statistics import median

from pipelines.jobs import events
from pipelines.jobs.events import Event

TICK_SECONDS = 0.5
"""How often silence is measured. Two ticks are the most that one adds: a machine that slept was not silent."""
QUIET_SECONDS = 10.0
"""Silence after which a job is said to make no progress, and after which a request to stop it is not waited for."""
_LEAST_SECONDS, _USUAL_GAPS = 120.0, 10
"""A worker is replaced after the longer of two minutes and ten usual gaps between signs of life."""
_SILENT_SECONDS, _SILENT_GAPS = 30.0, 5
"""The work of one of several workers is also given to another after the longer of these: it may be slow, or gone."""
_GAPS = 50
"""So many of the latest gaps are usual."""

LIFE = (
    events.Started,
    events.Planned,
    events.Progress,
    events.Preview,
    events.Segment,
    events.Degraded,
    events.Crewed,
    events.Heartbeat,
)
"""Events that only the computing thread causes."""


class Watchdog:
    """Measures the silence of one run of a job. Holds some gaps."""

    def __init__(
        self, stuck_seconds: float | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stuck_seconds = stuck_seconds
        self._now = now
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._last_tick = now()
        self.silent_seconds = 0.0

    def hear(self, event: Event) -> None:
        """Note an event of the job."""
        if isinstance(event, LIFE):
            self._gaps.append(self.silent_seconds)
            self.silent_seconds = 0.0

    def tick(self) -> None:
        """Count the time since the last tick as silence; time in which this process did not run is not counted."""
        now = self._now()
        self.silent_seconds += min(now - self._last_tick, 2 * TICK_SECONDS)
        self._last_tick = now

    @property
    def limit_seconds(self) -> float:
        """How long a silence may last."""
        if self._stuck_seconds is not None:
            return self._stuck_seconds
        return max(_LEAST_SECONDS, _USUAL_GAPS * median(self._gaps) if self._gaps else 0.0)

    @property
    def is_silent(self) -> bool:
        """Whether the silence is longer than usual, though not too long for a worker that computes."""
        usual = _SILENT_GAPS * median(self._gaps) if self._gaps else 0.0
        return self.silent_seconds >= min(self.limit_seconds, max(_SILENT_SECONDS, usual))

    @property
    def is_stuck(self) -> bool:
        """Whether the silence is too long for a worker that computes."""
        return self.silent_seconds >= self.limit_seconds
