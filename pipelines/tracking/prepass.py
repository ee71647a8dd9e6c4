"""The tracking prepass that tasks share: its stages, its memory, and the check of masks and prompts."""

from collections.abc import Callable
from pathlib import Path

from memory.plan import Load
from memory.probe import probe_hardware
from memory.units import MIB
from pipelines.errors import Sentence
from pipelines.masks.bundle import mask_size
from pipelines.masks.memory_cost import prompt_bytes, reading_bytes
from pipelines.masks.reading import mask_path, mask_settings_of, open_job_masks
from pipelines.masks.sequence import reject_unusable
from pipelines.masks.target_size import TargetSize
from pipelines.settings import MaskSettings
from pipelines.settings.devices import device_for
from pipelines.spans import Span, runs
from pipelines.stages import RunContext
from pipelines.tracking.job_prompts import read_prompts
from pipelines.tracking.reuse import reuse_results
from pipelines.tracking.sam2_model import find_segmenter
from pipelines.tracking.sam2_stages import Sam2BackwardStage, Sam2MaskStage
from pipelines.tracking.stages import MaskStage, PassStage, lost_frames
from pipelines.video.info import VideoInfo

_LOST_NAMED = 5
"""Stretches that the warning about a lost object lists."""
_FOLLOWING_BYTES = 60 * MIB
"""Host memory of the built-in tracker for any video, as it works at a fixed size: measured at 50 to 60 MiB."""
_NETWORK_BYTES = 1400 * MIB
"""Host memory of SAM 2.1 tiny with torch on the CPU at 1024 x 1024: measured at 1250 to 1400 MiB."""


Tracking = tuple[Sam2BackwardStage, Sam2MaskStage] | tuple[PassStage, PassStage, MaskStage] | tuple[()]


def tracking_stages(settings: MaskSettings) -> Tracking:
    """Return the prepass stages that track the object; none if nothing is to be tracked."""
    if not settings.follows:
        return ()
    if settings.tracker == "sam2":
        before = Sam2BackwardStage()
        return before, Sam2MaskStage(before)
    backward, forward = PassStage(backward=True), PassStage(backward=False)
    return backward, forward, MaskStage(forward, backward)


def tracking_load(settings: MaskSettings) -> Load:
    """Return what tracking holds on the host."""
    if not settings.follows:
        return Load()
    return Load(fixed=_NETWORK_BYTES if settings.tracker == "sam2" else _FOLLOWING_BYTES)


def mask_bytes(inputs: tuple[Path, ...], video: VideoInfo, settings: MaskSettings, *, readers: int) -> int:
    """Estimate what reading the masks or painted prompts among a job's inputs holds; the first input is the video."""
    if settings.follows and settings.track:
        return sum(prompt_bytes(path, video) for path in inputs[1:])
    return sum(reading_bytes(path, video, readers=readers) for path in inputs[1:])


def check_marks(run: RunContext) -> None:
    """Check prompts, masks and the tracking network before a job starts, and reuse finished tracking results.

    Raises BadInput, WeightsMissing, WeightsBroken, and the errors of `open_masks`.
    """
    settings = mask_settings_of(run)
    if settings.follows:
        if settings.tracker == "sam2":
            find_segmenter(settings.weights)
            device_for(settings, probe_hardware())
        read_prompts(run)
        reuse_results(run, settings, tracking_stages(settings))
    if _has_mask(run):
        reject_unusable(open_job_masks(run), run.frames)


def mask_reading(run: RunContext, warn: Callable[[str, str], None]) -> str | None:
    """Return how the given mask was read, None without one; warn the user where brightness did not decide."""
    if not _has_mask(run):
        return None
    masks = open_job_masks(run)
    if not masks.by_brightness:
        warn("mask_reading", masks.reading)
    return masks.reading


def stretched(run: RunContext) -> tuple[Sentence, ...]:
    """Return a sentence where the given mask is stretched to the video, nothing where it is not."""
    settings = mask_settings_of(run)
    if not settings.scale_mask or not _has_mask(run):
        return ()
    path, video = mask_path(run).expanduser(), run.video
    size = mask_size(path, video.frames)
    if size is None or TargetSize(path, video).fits(*size):
        return ()
    width, height = size
    said = Sentence(
        f"The mask of {width} x {height} pixels was stretched to the {video.width} x {video.height} of the video.",
        "mask_stretched",
        width=width,
        height=height,
        video_width=video.width,
        video_height=video.height,
    )
    return (said,)


def _has_mask(run: RunContext) -> bool:
    """Whether the job was given a mask, and not only prompts."""
    settings = mask_settings_of(run)
    return not settings.track and (len(run.inputs) > 1 or not settings.follows)


def lost_stretches(run: RunContext, warn: Callable[[str, str], None]) -> list[Span]:
    """Return the spans on which the object was lost, in order, and warn the user of them."""
    frames = lost_frames(run) if mask_settings_of(run).follows else ()
    groups = runs(Span(frame, frame + 1) for frame in frames)
    lost = [Span(group[0].start, group[-1].stop) for group in groups]
    if lost:
        warn("object_lost", _lost_message(lost))
    return lost


def _lost_message(lost: list[Span]) -> str:
    named = ", ".join(
        f"{span.start} to {span.stop - 1}" if len(span) > 1 else f"{span.start}"
        for span in lost[:_LOST_NAMED]
    )
    more = f" and {len(lost) - _LOST_NAMED} more times" if len(lost) > _LOST_NAMED else ""
    where = f"The object was lost on frames {named}{more}"
    return Sentence(
        f"{where}. Mark it there too (on the page, or with another --box), then run again.",
        "lost",
        where=_neutral(lost),
    )


def _neutral(lost: list[Span]) -> str:
    """Write stretches without words of a language: `12–19, 30, …`."""
    listed = [
        f"{span.start}–{span.stop - 1}" if len(span) > 1 else f"{span.start}" for span in lost[:_LOST_NAMED]
    ]
    return ", ".join([*listed, *(["…"] if len(lost) > _LOST_NAMED else [])])
