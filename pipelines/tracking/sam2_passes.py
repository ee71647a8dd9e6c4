"""Following by SAM 2 over the frames of a video: the masks of any frames, from any start.

What the network remembers depends on all the frames that it has seen. So that a walk need not begin at the first hint
each time, it begins a new session at every `RESTART_FRAMES`-th frame, from what is kept anyway: the hints nearby, and
the masks of the frames that are looked back to.
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

_BEHIND, _AHEAD = 2, 1
"""Hints before and after the frames of a session that it is told of, besides those among them."""

StoredMasks = Callable[[Span], Sequence[Mask] | None]
"""The masks of these frames as they are kept, or None where not all of them are."""
SeenFrame = tuple[int, Pixels, Mask]


def no_stored_masks(frames: Span) -> None:
    """No mask is kept."""
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
    """The object on frames `[start, stop)` of a walk that begins at `origin`, the frame of a hint; in order.

    With masks `kept` of the frames before a post, the walk is entered there; the masks are the same. Holds a session,
    the hints that it is told of, and the squares and masks of the frames that are looked back to.
    """
    if start >= stop:
        return
    post, before = _restart_point(segmenter, origin, start, kept)
    tail: deque[SeenFrame] = deque(maxlen=segmenter.looks_back)
    session: Session | None = None
    begin = post - len(before)
    with closing(frames_from(begin, stop)) as frames:
        for frame, pixels in enumerate(frames, begin):
            square = segmenter.square(pixels)
            if frame < post:
                tail.append((frame, square, before[frame - begin]))
                continue
            if session is None or (frame - origin) % RESTART_FRAMES == 0:
                told = _session_prompts(
                    prompts, frame, frame - (frame - origin) % RESTART_FRAMES + RESTART_FRAMES
                )
                session = _start_session(segmenter, frames_from, told, tail, pixels.shape[:2])
            item = session.step(frame, square)
            tail.append((frame, square, item.mask))
            if frame >= start:
                yield item


def _restart_point(
    segmenter: Segmenter, origin: int, start: int, kept: StoredMasks
) -> tuple[int, Sequence[Mask]]:
    """The last post at or before `start` that can be begun at, and the masks before it; else the origin."""
    for post in range(start - (start - origin) % RESTART_FRAMES, origin, -RESTART_FRAMES):
        masks = kept(Span(max(origin, post - segmenter.looks_back), post))
        if masks is not None:
            return post, masks
    return origin, ()


def _session_prompts(prompts: Mapping[int, ObjectPrompt], start: int, stop: int) -> dict[int, ObjectPrompt]:
    """The hints that a session of frames `[start, stop)` is told of."""
    before = sorted(frame for frame in prompts if frame < start)[-_BEHIND:]
    slices_in = sorted(frame for frame in prompts if start <= frame < stop)
    after = sorted(frame for frame in prompts if frame >= stop)[:_AHEAD]
    return {frame: prompts[frame] for frame in (*before, *slices_in, *after)}


def _start_session(
    segmenter: Segmenter,
    frames_from: Frames,
    prompts: Mapping[int, ObjectPrompt],
    tail: Sequence[SeenFrame] | deque[SeenFrame],
    shape: tuple[int, int],
) -> Session:
    session = Session(segmenter, shape)
    for frame, prompt in prompts.items():
        with closing(frames_from(frame, frame + 1)) as frames:
            session.mark(frame, segmenter.square(next(frames)), prompt)
    for frame, square, mask in tail:
        session.remember(frame, square, mask)
    return session


def reversed_frames(frames_from: Frames, whole: Span) -> Frames:
    """The frames of `whole` the other way round: frame `k` is `k` frames before the last. Holds `CHUNK_FRAMES`."""

    def frames(start: int, stop: int) -> Generator[Pixels]:
        last = whole.start + whole.stop
        for high in range(last - start, last - stop, -CHUNK_FRAMES):
            with closing(frames_from(max(last - stop, high - CHUNK_FRAMES), high)) as chunk:
                yield from reversed(list(chunk))

    return frames
