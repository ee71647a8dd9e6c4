"""Walks over the frames of a video, forwards from hints or backwards: the records of any frames, from any start.

A walk depends on all the frames since its hint. So that it need not begin there each time, it forgets at every
`RESTART_FRAMES`-th frame, counted from the end of the video that it comes from, all that this frame and its record do
not tell; there it can begin anew.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing

import numpy as np

from pipelines.spans import Span
from pipelines.tracking.background import FrameNeighbours, FrameSource
from pipelines.tracking.csrt import RECORD, ObjectTracker, Records, State
from pipelines.tracking.target import Target

Targets = Mapping[int, Target]
"""The object as each hint shows it, by frame."""
Known = Callable[[int], np.void | None]
"""The record of a frame, as far as it is known."""

RESTART_FRAMES = 240


def no_record(frame: int) -> None:
    """No record is known."""
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
    """Records `(1,)` of frames `[start, stop)`, the last first if `backward`; trust 0 where no hint leads to.

    With the record `known` of the last post before them the walk begins there, else at their hint; the records are
    the same. Reads the frames' neighbours. Holds what `FrameSource.neighbourhoods` holds, and a tracker.
    """
    order = range(stop - 1, start - 1, -1) if backward else range(start, stop)
    if not order:
        return
    origin = _origin(source.whole, targets, order, known)
    for _ in order if origin is None else order[: max(0, (origin - order[0]) * order.step)]:
        yield np.zeros(1, RECORD)
    if origin is None:
        return
    follower: ObjectTracker | None = None
    walked = (start, origin + 1) if backward else (origin, stop)
    with closing(source.neighbourhoods(*walked, backward=backward)) as neighbourhoods:
        for neighbours in neighbourhoods:
            frame = neighbours.current.index
            if frame in targets:
                follower = ObjectTracker(neighbours, targets[frame])
            elif follower is None:
                follower = _restarted(neighbours, targets, order.step, known)
            else:
                follower.step(neighbours)
            if _steps(source.whole, frame, order.step) % RESTART_FRAMES == RESTART_FRAMES - 1:
                follower.forget()
            if frame in order:
                yield follower.record


def _restarted(neighbours: FrameNeighbours, targets: Targets, step: int, known: Known) -> ObjectTracker:
    frame = neighbours.current.index
    prompt, record = prompt_behind(targets, frame, step), known(frame)
    if prompt is None or record is None:
        raise ValueError(f"no walk begins at frame {frame}")
    return ObjectTracker(neighbours, targets[prompt], State.of(record))


def prompt_behind(targets: Targets, frame: int, step: int) -> int | None:
    """The frame of the hint that leads to `frame` in a walk with `step` 1 or -1, or None."""
    return max(
        (prompt for prompt in targets if prompt * step <= frame * step),
        key=lambda prompt: prompt * step,
        default=None,
    )


def _origin(whole: Span, targets: Targets, order: range, known: Known) -> int | None:
    """Where a walk over `order` begins: at the last post before it, at its hint, or at the first hint on the way."""
    prompt = prompt_behind(targets, order[0], order.step)
    if prompt is None:
        return min(
            (target for target in targets if target in order),
            key=lambda target: target * order.step,
            default=None,
        )
    posts = _steps(whole, order[0], order.step) // RESTART_FRAMES
    post = (whole.start if order.step > 0 else whole.stop - 1) + order.step * (posts * RESTART_FRAMES - 1)
    return post if posts and (post - prompt) * order.step > 0 and known(post) is not None else prompt


def _steps(whole: Span, frame: int, step: int) -> int:
    """How many steps `frame` is into a walk over `whole`."""
    return frame - whole.start if step > 0 else whole.stop - 1 - frame
