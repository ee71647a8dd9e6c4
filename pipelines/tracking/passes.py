"""Tracking passes over a video, forwards or backwards from prompts: the records of any frames, from any start.

A pass depends on all frames since its prompt. So that it need not begin there each time, at every
`RESTART_FRAMES`-th frame, counted from the end of the video at which the pass begins, the tracker is reset to what
that frame and its record contain; a later run can begin there and gives the same records.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing

import numpy as np

from pipelines.spans import Span
from pipelines.tracking.background import FrameNeighbours, FrameSource
from pipelines.tracking.csrt import RECORD, ObjectTracker, Records, State
from pipelines.tracking.target import Target

Targets = Mapping[int, Target]
"""The target of each prompt, by frame."""
Known = Callable[[int], np.void | None]
"""Looks up the stored record of a frame; None if there is none."""

RESTART_FRAMES = 240
"""Distance between restart points: a span begins by re-tracking fewer frames than this."""


def no_record(frame: int) -> None:
    """Return None: no record is stored."""
    return


def pass_records(
    source: FrameSource,
    targets: Targets,
    start: int,
    stop: int,
    *,
    backward: bool = False,
    known: Known = no_record,
) -> Generator[Records]:
    """Yield records `(1,)` of frames `[start, stop)`, the last first if `backward`.

    Frames that the pass reaches before any prompt have confidence 0. The pass begins at the last restart point
    whose record is `known`, else at the prompt; the records are the same. Holds what `FrameSource.neighbourhoods`
    holds, and a tracker.
    """
    order = range(stop - 1, start - 1, -1) if backward else range(start, stop)
    if not order:
        return
    origin = _origin(source.span, targets, order, known)
    for _ in order if origin is None else order[: max(0, (origin - order[0]) * order.step)]:
        yield np.zeros(1, RECORD)
    if origin is None:
        return
    tracker: ObjectTracker | None = None
    read = (start, origin + 1) if backward else (origin, stop)
    with closing(source.neighbourhoods(*read, backward=backward)) as neighbourhoods:
        for neighbours in neighbourhoods:
            frame = neighbours.current.index
            if frame in targets:
                tracker = ObjectTracker(neighbours, targets[frame])
            elif tracker is None:
                tracker = _restarted(neighbours, targets, order.step, known)
            else:
                tracker.step(neighbours)
            if _steps(source.span, frame, order.step) % RESTART_FRAMES == RESTART_FRAMES - 1:
                tracker.reset_to_record()
            if frame in order:
                yield tracker.record


def _restarted(neighbours: FrameNeighbours, targets: Targets, step: int, known: Known) -> ObjectTracker:
    """Create the tracker at a restart point from the stored record."""
    frame = neighbours.current.index
    prompt, record = prompt_behind(targets, frame, step), known(frame)
    if prompt is None or record is None:
        raise ValueError(f"no tracking pass can begin at frame {frame}")
    return ObjectTracker(neighbours, targets[prompt], State.of(record))


def prompt_behind(targets: Targets, frame: int, step: int) -> int | None:
    """Return the frame of the last prompt at or before `frame` in a pass with `step` 1 or -1, or None."""
    return max(
        (prompt for prompt in targets if prompt * step <= frame * step),
        key=lambda prompt: prompt * step,
        default=None,
    )


def _origin(span: Span, targets: Targets, order: range, known: Known) -> int | None:
    """Return where a pass over `order` begins: the last restart point before it, its prompt, or the first one in it."""
    prompt = prompt_behind(targets, order[0], order.step)
    if prompt is None:
        return min(
            (target for target in targets if target in order),
            key=lambda target: target * order.step,
            default=None,
        )
    restarts = _steps(span, order[0], order.step) // RESTART_FRAMES
    restart = (span.start if order.step > 0 else span.stop - 1) + order.step * (restarts * RESTART_FRAMES - 1)
    return (
        restart if restarts and (restart - prompt) * order.step > 0 and known(restart) is not None else prompt
    )


def _steps(span: Span, frame: int, step: int) -> int:
    """Count the steps from the beginning of a pass over `span` to `frame`."""
    return frame - span.start if step > 0 else span.stop - 1 - frame
