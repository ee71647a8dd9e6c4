"""Walks over the frames of a video, forwards from hints or backwards: the records of any frames, from any start.

A walk depends on all the frames since its hint. So that it need not begin there each time, it forgets at every
`POST_FRAMES`-th frame, counted from the end of the video that it comes from, all that this frame and its record do not
tell; there it can begin anew.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing

import numpy as np

from pipelines.spans import Span
from pipelines.tracking.background import FrameNeighbours, FrameSource
from pipelines.tracking.csrt import RECORD, Follower, Records, State
from pipelines.tracking.target import Seed

Seeds = Mapping[int, Seed]
"""The object as each hint shows it, by frame."""
Known = Callable[[int], np.void | None]
"""The record of a frame, as far as it is known."""

POST_FRAMES = 240


def unknown(frame: int) -> None:
    """No record is known."""
    return


def follow(
    footage: FrameSource,
    seeds: Seeds,
    start: int,
    stop: int,
    *,
    backward: bool = False,
    known: Known = unknown,
) -> Generator[Records]:
    """Records `(1,)` of frames `[start, stop)`, the last first if `backward`; trust 0 where no hint leads to.

    With the record `known` of the last post before them the walk begins there, else at their hint; the records are
    the same. Reads the frames' neighbours. Holds what `FrameSource.scenes` holds, and a tracker.
    """
    order = range(stop - 1, start - 1, -1) if backward else range(start, stop)
    if not order:
        return
    origin = _origin(footage.whole, seeds, order, known)
    for _ in order if origin is None else order[: max(0, (origin - order[0]) * order.step)]:
        yield np.zeros(1, RECORD)
    if origin is None:
        return
    follower: Follower | None = None
    walked = (start, origin + 1) if backward else (origin, stop)
    with closing(footage.scenes(*walked, backward=backward)) as scenes:
        for scene in scenes:
            frame = scene.view.index
            if frame in seeds:
                follower = Follower(scene, seeds[frame])
            elif follower is None:
                follower = _from_post(scene, seeds, order.step, known)
            else:
                follower.step(scene)
            if _steps(footage.whole, frame, order.step) % POST_FRAMES == POST_FRAMES - 1:
                follower.forget()
            if frame in order:
                yield follower.record


def _from_post(scene: FrameNeighbours, seeds: Seeds, step: int, known: Known) -> Follower:
    frame = scene.view.index
    hint, record = hint_behind(seeds, frame, step), known(frame)
    if hint is None or record is None:
        raise ValueError(f"no walk begins at frame {frame}")
    return Follower(scene, seeds[hint], State.of(record))


def hint_behind(seeds: Seeds, frame: int, step: int) -> int | None:
    """The frame of the hint that leads to `frame` in a walk with `step` 1 or -1, or None."""
    return max(
        (hint for hint in seeds if hint * step <= frame * step), key=lambda hint: hint * step, default=None
    )


def _origin(whole: Span, seeds: Seeds, order: range, known: Known) -> int | None:
    """Where a walk over `order` begins: at the last post before it, at its hint, or at the first hint on the way."""
    hint = hint_behind(seeds, order[0], order.step)
    if hint is None:
        return min(
            (seed for seed in seeds if seed in order), key=lambda seed: seed * order.step, default=None
        )
    posts = _steps(whole, order[0], order.step) // POST_FRAMES
    post = (whole.start if order.step > 0 else whole.stop - 1) + order.step * (posts * POST_FRAMES - 1)
    return post if posts and (post - hint) * order.step > 0 and known(post) is not None else hint


def _steps(whole: Span, frame: int, step: int) -> int:
    """How many steps `frame` is into a walk over `whole`."""
    return frame - whole.start if step > 0 else whole.stop - 1 - frame
