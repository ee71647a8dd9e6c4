"""What is to be removed, as a part of every task that asks for it: followed from hints, or marked by masks."""

from collections.abc import Callable

from memory.plan import Load
from memory.units import MIB
from pipelines.masks.reading import mask_settings_of, open_job_masks
from pipelines.masks.sequence import reject_unusable
from pipelines.settings import MaskSettings
from pipelines.spans import Span, runs
from pipelines.stages import RunContext
from pipelines.tracking.job_prompts import read_prompts
from pipelines.tracking.reuse import reuse_results
from pipelines.tracking.sam2_model import find_segmenter
from pipelines.tracking.sam2_stages import Sam2BackwardStage, Sam2MaskStage, device_of
from pipelines.tracking.stages import MaskStage, PassStage, lost_frames

_LOST_NAMED = 5
_FOLLOWING_BYTES = 60 * MIB
"""What following holds of any video, as it looks at it made small: measured at 50 to 60 MiB."""
_NETWORK_BYTES = 1400 * MIB
"""SAM 2.1 tiny with torch on the CPU, at its work size of 1024 x 1024: measured at 1250 to 1400 MiB."""


Tracking = tuple[Sam2BackwardStage, Sam2MaskStage] | tuple[PassStage, PassStage, MaskStage] | tuple[()]


def tracking_stages(settings: MaskSettings) -> Tracking:
    """The prepasses that follow the object; none where nothing is to be followed."""
    if not settings.follows:
        return ()
    if settings.tracker == "sam2":
        before = Sam2BackwardStage()
        return before, Sam2MaskStage(before)
    back, on = PassStage(backward=True), PassStage(backward=False)
    return back, on, MaskStage(on, back)


def tracking_load(settings: MaskSettings) -> Load:
    """What following holds on the host."""
    if not settings.follows:
        return Load()
    return Load(fixed=_NETWORK_BYTES if settings.tracker == "sam2" else _FOLLOWING_BYTES)


def check_marks(run: RunContext) -> None:
    """Hints within the picture, masks that mark something, the network if one is to follow.

    What another job has followed already for the same question is taken over.
    Raises BadInput, WeightsMissing, WeightsBroken, and what `open_masks` raises.
    """
    settings = mask_settings_of(run)
    if settings.follows:
        if settings.tracker == "sam2":
            find_segmenter(settings.weights)
            device_of(settings)
        read_prompts(run)
        reuse_results(run, settings, tracking_stages(settings))
    if not settings.track and (len(run.inputs) > 1 or not settings.follows):
        reject_unusable(open_job_masks(run), run.frames)


def lost_stretches(run: RunContext, warn: Callable[[str, str], None]) -> list[Span]:
    """Where the object was lost, as spans, in order; the user is told."""
    frames = lost_frames(run) if mask_settings_of(run).follows else ()
    groups = runs(Span(frame, frame + 1) for frame in frames)
    lost = [Span(group[0].start, group[-1].stop) for group in groups]
    if lost:
        warn("object_lost", _lost_words(lost))
    return lost


def _lost_words(lost: list[Span]) -> str:
    named = ", ".join(
        f"{span.start} to {span.stop - 1}" if len(span) > 1 else f"{span.start}"
        for span in lost[:_LOST_NAMED]
    )
    more = f" and {len(lost) - _LOST_NAMED} more times" if len(lost) > _LOST_NAMED else ""
    where = f"The object was lost on frames {named}{more}"
    return f"{where}: mark it there too (on the page, or by one more --box), then run again."
