"""A crew whose one member is the GPU that a Hugging Face Space lends for the length of a call (ZeroGPU).

Each call computes as much of a stretch as fits into the seconds that it may have. What it publishes stays; what it
could not do is done by the next one.
"""

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import dataclass, field

from pipelines.engines.preload import preload
from pipelines.errors import Sentence, WorkerDied
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.calls import Calls, Lent
from pipelines.runtime.crew import (
    REPLIES,
    Compute,
    Idle,
    Less,
    Lost,
    Open,
    Order,
    Ready,
    Said,
    Until,
    Warm,
    spans_of,
)
from pipelines.spans import Span
from pipelines.workers.children import kill_tree
from pipelines.workers.space_call import Call

log = logging.getLogger(__name__)

_ONLY = 1
_BEAT_SECONDS = 4.0
_STOP_SECONDS = 10.0
"""How long a call may take to end at its next frame, before nobody waits for it."""
_MOST_BUSY, _BUSY_SECONDS = 5, 10.0
"""How often no GPU may be free, each time after a minute's wait in `spaces`, and the rest in between."""


@dataclass
class _Made:
    """A call that was made, and what became of it. Times are of the crew's clock."""

    began: float | None = None
    first: float = 0.0
    last: float = 0.0
    frames: int = 0
    published: list[Span] = field(default_factory=list)
    is_done: bool = False
    has_failed: bool = False
    error: Exception | None = None

    def hear(self, said: Said, lent: Lent, now: float) -> None:
        """Note how far the call is."""
        match said:
            case events.Progress(frame=frame):
                self.first = self.first or now
                self.last, self.frames = now, frame + 1 - lent.spans[0].start
            case events.Segment(start=start, stop=stop):
                self.first = self.first or now
                self.last, self.frames = now, stop - lent.spans[0].start
                self.published.append(Span(start, stop))
            case Idle():
                self.is_done = True
            case events.Failed():
                self.has_failed = True


class SpaceCrew:
    """One member, on the GPU that `call` is lent; a call computes as much as fits into the seconds it may have.

    `context_of` returns the context of the click that asked for a job: without one nobody's quota pays, and the job
    pauses.
    """

    def __init__(
        self,
        call: Call,
        context_of: Callable[[str], Context | None],
        device: str,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call, self._context_of, self._device, self._now = call, context_of, device, now
        self._said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._hired = False
        self._open: Open | None = None
        self._calls: dict[str, Calls] = {}
        self._limits: dict[int, int] = {}
        self._over, self._again = threading.Event(), threading.Event()
        self._less = False
        self._busy = 0
        self._thread: threading.Thread | None = None
        self._fork: int | None = None
        self._waits = False
        self._last_beat = now()

    def hire(self) -> int | None:
        """Return the number of the one member, the first time."""
        if self._hired:
            return None
        self._hired = True
        return _ONLY

    def device(self, member: int) -> str:
        """Return the name of the GPU that is lent."""
        return self._device

    def tell(self, member: int, order: Order) -> None:
        """Give the member an order."""
        match order:
            case Warm():
                preload()  # each call is a fork of this process: what that has loaded costs no seconds of a GPU
                self._said.put(Ready())
            case Open():
                # Each call opens the job; here nothing is verified that the run has read itself.
                self._open = order
                self._said.put(Ready())
            case Compute():
                self._start(order)
            case Until(number=number, frame=frame):
                self._limits[number] = min(frame, self._limits.get(number, frame))
            case Less() if not self._less:  # asked again, a call could do no more
                self._less = True
                self._again.set()

    def poll(self, timeout_seconds: float) -> Iterator[tuple[int, Said]]:
        """Wait until the member says something, at most so long, and yield all that was said, in its order."""
        with contextlib.suppress(queue.Empty):
            yield _ONLY, self._said.get(timeout=timeout_seconds)
            while True:
                yield _ONLY, self._said.get_nowait()
        # Waiting for a GPU is no silence; `spaces` gives it up by itself.
        if self._waits and self._open and self._now() - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = self._now()
            yield _ONLY, events.Heartbeat(job=Job(self._open.folder).id)

    def kill(self, member: int) -> None:
        """End the call at once."""
        self.close(at_once=True)
        self._said.put(Lost("was ended"))

    def close(self, *, at_once: bool = False) -> None:
        """End the call: at its next frame, or at once."""
        self._over.set()
        if at_once and (fork := self._fork):
            kill_tree(fork)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(0 if at_once else _STOP_SECONDS)

    # -- calls -----------------------------------------------------------------------------------------------

    def _start(self, order: Compute) -> None:
        assert self._open, "a job is opened before it is computed"
        if self._thread:  # it has said that it is idle, and ends at this moment
            self._thread.join()
        context = self._context_of(Job(self._open.folder).id)
        if context is None:
            self._pause("paused.token")
            return
        self._thread = threading.Thread(
            # A copy, since a context serves one thread at a time.
            target=context.copy().run,
            args=(self._work, order, self._open),
            name="call on a lent GPU",
            daemon=True,
        )
        self._thread.start()

    def _work(self, order: Compute, opening: Open) -> None:
        """Make calls until the spans of an order are computed, or the job cannot go on."""
        calls = self._calls.setdefault(order.stage, Calls(opening.frame_seconds, order.halo))
        left = spans_of(order)
        try:
            while left := [span for span in left if span.start < self._limits.get(order.number, span.stop)]:
                lent = calls.next(left)
                made = self._make(opening, order.stage, lent)
                left = [span for span in left if span not in made.published]
                if made.began is not None and made.frames:
                    calls.measured(made.first - made.began, made.last - made.began, made.frames)
                if self._over.is_set() or not (made.is_done or self._goes_on(made, lent, calls)):
                    return
                if made.is_done:
                    calls.done()
                    self._busy = 0
            self._said.put(Idle(number=order.number))
        except Exception as error:
            log.exception("calls on a lent GPU")
            self._said.put(Lost(f"failed: {error}"))

    def _make(self, opening: Open, stage: str, lent: Lent) -> _Made:
        """Make one call and pass on what it says."""
        made, self._waits = _Made(), True
        self._again.clear()  # it begins with less already
        spans = tuple((span.start, span.stop) for span in lent.spans)
        log.info("asking for %d s of a GPU for %d frames of %s", lent.seconds, lent.frames, stage)
        try:
            with contextlib.closing(
                self._call(os.fspath(opening.folder), opening.plan, stage, spans, self._less, lent.seconds)
            ) as answers:
                for answer in answers:
                    if pid := answer.get("pid"):
                        made.began, self._fork, self._waits = self._now(), pid, False
                    if said := answer.get("said"):
                        self._pass_on(REPLIES.validate_json(said), made, lent)
                    if self._over.is_set() or self._again.is_set():
                        break
        except Exception as error:  # noqa: BLE001  of Gradio, of `spaces`, or of its requests
            log.info("the call was ended: %s: %s", _title(error), error)
            made.error = error
        finally:
            self._fork, self._waits = None, False
        return made

    def _pass_on(self, said: Said, made: _Made, lent: Lent) -> None:
        made.hear(said, lent, self._now())
        if not isinstance(said, Ready | Idle):  # those are the crew's to say
            self._said.put(said)

    # -- what goes wrong -------------------------------------------------------------------------------------

    def _goes_on(self, made: _Made, lent: Lent, calls: Calls) -> bool:
        """Whether another call is made after one that was not done; else the run is told why."""
        if made.has_failed:
            return False
        if self._again.is_set():
            return True
        title, words = _title(made.error), str(made.error)
        if "illegal duration" in title:
            return calls.refused(lent) or self._pause("paused.quota")
        if "quota" in title or "credits" in title:
            return self._pause("paused.quota")
        if "Expired" in words:
            return self._pause("paused.token")
        if "queue timeout" in title or "No GPU" in words:
            self._busy += 1
            return (self._busy < _MOST_BUSY and not self._over.wait(_BUSY_SECONDS)) or self._pause(
                "paused.busy"
            )
        if "aborted" not in words:
            self._said.put(Lost(f"failed: {title}: {words}" if title else f"failed: {words}"))
            return False
        return self._goes_on_after_end(made, lent, calls)

    def _goes_on_after_end(self, made: _Made, lent: Lent, calls: Calls) -> bool:
        """Whether another call is made after the fork was ended, by the end of its seconds or by itself."""
        job = Job(self._open.folder).id if self._open else ""
        at = lent.spans[0].start + made.frames
        if not calls.cut_short(lent):
            error = WorkerDied(
                f"The GPU was taken away after {lent.seconds} s, before frames {lent.spans[0].start} to "
                f"{lent.spans[0].stop - 1} were computed.",
                "Finished spans are kept. Try a lower --quality, then resume.",
                "lent.too_short",
                seconds=lent.seconds,
                first=lent.spans[0].start,
                last=lent.spans[0].stop - 1,
            )
            self._said.put(events.Failed.of(job, error))
            return False
        sentence = (
            f"The GPU was taken away at frame {at}, after at most {lent.seconds} s; it is asked for again."
        )
        self._said.put(
            events.Warned.of(
                job, "worker_died", Sentence(sentence, "lent_taken", frame=at, seconds=lent.seconds)
            )
        )
        return True

    def _pause(self, key: str) -> bool:
        """Let the job pause; returns False: no further call is made."""
        job = Job(self._open.folder).id if self._open else ""
        self._said.put(events.Paused(job=job, message=_PAUSED[key], key=key))
        return False


_PAUSED = {
    "paused.quota": "The GPU time that you may use for now is used up. Resume the job when there is some again; it "
    "goes on where it was.",
    "paused.token": "The Space no longer knows who asked for the job. Reload the page and resume it; it goes on where "
    "it was.",
    "paused.busy": "No GPU was free for several minutes. Resume the job later; it goes on where it was.",
}


def _title(error: Exception | None) -> str:
    """What `spaces` calls its errors; empty for others."""
    return str(getattr(error, "title", ""))
