"""Tracking passes with SAM 2 over a video: the masks of any frames, from any start.

The network's memory depends on all frames that it has seen. So that a pass need not begin at the first prompt each
time, it starts a new session at every `RESTART_FRAMES`-th frame from data that is stored anyway: nearby prompts,
and the masks of the frames in memory. A later run can begin there and gives the same masks.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing

from pipelines.spans import Span
from pipelines.tracking.background import CHUNK_FRAMES, Frames
from pipelines.tracking.fusion import Tracked
from pipelines.tracking.prompts import ObjectPrompt
from pipelines.tracking.sam2_model import Segmenter, Session
from pipelines.vision.types import Mask, Pixels

RESTART_FRAMES = 240
"""Distance between restart points: a span begins by re-tracking fewer frames than this."""

_BEHIND, _AHEAD = 2, 1
"""Prompts before and after the frames of a session that it uses, besides those among them."""

StoredMasks = Callable[[Span], Sequence[Mask] | None]
"""Reads the stored masks of a span of frames; None unless all are stored."""
SeenFrame = tuple[int, Pixels, Mask]
"""Index, network input and mask of a frame in memory."""


def no_stored_masks(frames: Span) -> None:
    """Return None: no mask is stored."""
    return


def track_pass(
    segmenter: Segmenter,
    frames_from: Frames,
    prompts: Mapping[int, ObjectPrompt],
    origin: int,
    start: int,
    stop: int,
    kept: StoredMasks = no_stored_masks,
) -> Generator[Tracked]:
    """Track the object over frames `[start, stop)` of a pass that begins at `origin`, a prompt's frame; in order.

    The pass begins at the last restart point before which masks are `kept`; the result is the same. Holds a
    session, its prompts, and the inputs and masks of the frames in memory.
    """
    if start >= stop:
        return
    restart, before = _restart_point(segmenter, origin, start, kept)
    recent: deque[SeenFrame] = deque(maxlen=segmenter.memory_frames)
    session: Session | None = None
    begin = restart - len(before)
    with closing(frames_from(begin, stop)) as frames:
        for frame, pixels in enumerate(frames, begin):
            resized = segmenter.resized(pixels)
            if frame < restart:
                recent.append((frame, resized, before[frame - begin]))
                continue
            if session is None or (frame - origin) % RESTART_FRAMES == 0:
                nearby = _session_prompts(
                    prompts, frame, frame - (frame - origin) % RESTART_FRAMES + RESTART_FRAMES
                )
                session = _start_session(segmenter, frames_from, nearby, recent, pixels.shape[:2])
            item = session.step(frame, resized)
            recent.append((frame, resized, item.mask))
            if frame >= start:
                yield item


def _restart_point(
    segmenter: Segmenter, origin: int, start: int, kept: StoredMasks
) -> tuple[int, Sequence[Mask]]:
    """Return the last usable restart point at or before `start` and the masks before it; else the origin."""
    for restart in range(start - (start - origin) % RESTART_FRAMES, origin, -RESTART_FRAMES):
        masks = kept(Span(max(origin, restart - segmenter.memory_frames), restart))
        if masks is not None:
            return restart, masks
    return origin, ()


def _session_prompts(prompts: Mapping[int, ObjectPrompt], start: int, stop: int) -> dict[int, ObjectPrompt]:
    """Select the prompts that a session over frames `[start, stop)` uses."""
    before = sorted(frame for frame in prompts if frame < start)[-_BEHIND:]
    within = sorted(frame for frame in prompts if start <= frame < stop)
    after = sorted(frame for frame in prompts if frame >= stop)[:_AHEAD]
    return {frame: prompts[frame] for frame in (*before, *within, *after)}


def _start_session(
    segmenter: Segmenter,
    frames_from: Frames,
    prompts: Mapping[int, ObjectPrompt],
    recent: Sequence[SeenFrame] | deque[SeenFrame],
    shape: tuple[int, int],
) -> Session:
    """Start a session with `prompts` and the frames just before it."""
    session = Session(segmenter, shape)
    for frame, prompt in prompts.items():
        with closing(frames_from(frame, frame + 1)) as frames:
            session.add_prompt(frame, segmenter.resized(next(frames)), prompt)
    for frame, resized, mask in recent:
        session.add_mask(frame, resized, mask)
    return session


def reversed_frames(frames_from: Frames, span: Span) -> Frames:
    """Return the frames of `span` in reverse order, the last one as its first. Holds `CHUNK_FRAMES`."""

    def frames(start: int, stop: int) -> Generator[Pixels]:
        last = span.start + span.stop
        for high in range(last - start, last - stop, -CHUNK_FRAMES):
            with closing(frames_from(max(last - stop, high - CHUNK_FRAMES), high)) as chunk:
                yield from reversed(list(chunk))

    return frames
