"""What is to be removed, as a part of every task that asks for it: followed from hints, or marked by masks."""

from collections.abc import Callable

from pipelines.inpainting.given import mask_settings_of, masks_given
from pipelines.inpainting.hinted import hints_of
from pipelines.inpainting.masks import refuse_useless
from pipelines.inpainting.tracks import MaskStage, WalkStage, lost_frames
from pipelines.settings import MaskSettings
from pipelines.spans import Span, runs
from pipelines.stages import Assignment, Stage

_LOST_NAMED = 5


def tracking_stages(settings: MaskSettings) -> tuple[Stage, ...]:
    """The prepasses that follow the object; none where nothing is to be followed."""
    if not settings.follows:
        return ()
    back, on = WalkStage(backward=True), WalkStage(backward=False)
    return back, on, MaskStage(on, back)


def check_marks(job: Assignment) -> None:
    """Hints within the picture, and masks that mark something.

    Raises BadInput, and what `open_masks` raises.
    """
    settings = mask_settings_of(job)
    if settings.follows:
        hints_of(job)
    if not settings.track and (len(job.inputs) > 1 or not settings.follows):
        refuse_useless(masks_given(job), job.frames)


def lost_stretches(job: Assignment, warn: Callable[[str, str], None]) -> list[Span]:
    """Where the object was lost, as spans, in order; the user is told."""
    frames = lost_frames(job) if mask_settings_of(job).follows else ()
    groups = runs(Span(frame, frame + 1) for frame in frames)
    lost = [Span(group[0].start, group[-1].stop) for group in groups]
    if lost:
        warn("object_lost", _lost_words(lost))
    return lost


def _lost_words(lost: list[Span]) -> str:
    named = ", ".join(f"{span.start} to {span.stop - 1}" for span in lost[:_LOST_NAMED])
    more = f" and {len(lost) - _LOST_NAMED} more times" if len(lost) > _LOST_NAMED else ""
    where = f"The object was lost on frames {named}{more}"
    return f"{where}: mark it there too (paint it, or give one more --box), then run again."
