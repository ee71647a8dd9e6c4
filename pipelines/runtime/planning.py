"""Planning of a job: probe the video and the machine, choose a preset, solve for window and batch.

All of it happens before the first frame is computed; `estimate` stops there.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from memory.compute import CPU
from memory.devices import Device
from memory.plan import Budget, Load, Plan, make_plan
from memory.probe import Hardware, probe_disk, probe_hardware, schedulable_cores
from memory.slices import has_slices
from memory.slot import Slot
from pipelines.engines.availability import resolve
from pipelines.engines.registry import open_pipeline
from pipelines.errors import BadInput
from pipelines.jobs.events import Planned
from pipelines.jobs.record import Decision
from pipelines.runtime.calls import seconds_in_all
from pipelines.runtime.preparation import Preparation
from pipelines.settings import Settings
from pipelines.settings.devices import asked_index, device_for, torch_name
from pipelines.spans import Span
from pipelines.spec import settings_model, task_spec
from pipelines.stages import RunContext
from pipelines.video.info import VideoInfo
from presets.choose import VideoFacts, choose


def prepare(
    task: str,
    inputs: tuple[Path, ...],
    settings: Settings,
    jobs_dir: Path,
    *,
    held_bytes: int = 0,
    held_device_bytes: int = 0,
    kept: Decision | None = None,
) -> Preparation:
    """Probe, choose and plan; the first of `inputs` is the video.

    `held_bytes` is what our processes already hold, `held_device_bytes` what those of other jobs do on the device.

    A decision of an earlier start (`kept`) is reused, and only compared with today's budget.

    Raises the errors of `probe` for a video that cannot be read, BadInput for an empty time range. A plan that does
    not fit is returned as such, with the reason.
    """
    pipeline = open_pipeline(task, inputs, settings)
    engine, video = pipeline.engine, pipeline.video
    frames = pipeline.frames(range_of(video, settings))
    hardware, disk = probe_hardware(), probe_disk(jobs_dir)
    pixels = video.width * video.height
    facts = VideoFacts(video.width, video.height, len(frames), video.seconds)
    device = device_for(settings, hardware) if engine.network else None
    # An engine without a network uses no GPU; the preset only names the one there is.
    device_index = (device.index if device else None) if engine.network else asked_index(settings)
    choice = choose(
        hardware.limited(settings.ram_limit_gb, settings.vram_limit_gb),
        facts,
        task_spec(task).tables(),
        settings.quality,
        settings.preset,
        device_index=device_index,
        network=engine.network,
    )
    if kept:
        choice = replace(choice, values=kept.preset)
    vram_limits = [gb for gb in (settings.vram_limit_gb, choice.vram_limit_gb) if gb is not None]
    budget = Budget.of(
        hardware,
        disk,
        device_index=device_index,
        ram_limit_gb=settings.ram_limit_gb,
        vram_limit_gb=min(vram_limits, default=None),
        held_bytes=held_bytes,
        held_device_bytes=held_device_bytes,
    )
    others = pipeline.other_bytes()
    left = replace(budget, host_bytes=max(0, budget.host_bytes - others))
    choice, cost = engine.fit(choice, left, device.kind if device else CPU)
    cost = replace(cost, host=cost.host + Load(fixed=others))
    windows, batches = engine.windows(choice), engine.batches(choice)
    if kept:
        plan = _kept_plan(kept)
        windows, batches = (plan.window_frames,), (plan.batch_frames,)
    plan = make_plan(
        cost,
        pixels=pixels,
        frames=len(frames),
        budget=budget,
        window=windows,
        batch=batches,
        disk_bytes=pipeline.disk_bytes(frames),
    )
    slots, threads = _slots(settings, hardware, device), kept.threads if kept else schedulable_cores()
    return Preparation(
        pipeline, video, frames, choice, cost, plan, budget, torch_name(device), slots, threads
    )


def _slots(settings: Settings, hardware: Hardware, device: Device | None) -> tuple[Slot, ...]:
    """Return where workers may compute together: every device that can be seen alone, unless the settings name one."""
    if device is None or not device.alone or ":" in settings.device:
        return (Slot(torch_name(device)),)
    return tuple(Slot(torch_name(each), each.alone) for each in hardware.devices if each.alone)


def _kept_plan(kept: Decision) -> Plan:
    try:
        return Plan.from_json(kept.plan)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            "The job was planned by another version, whose plan cannot be read.",
            "Run it again with --force.",
            "job.other_version",
        ) from error


def estimate(task: str, inputs: tuple[Path, ...], settings: Settings, jobs_dir: Path) -> Planned:
    """Estimate what a run would do, and the memory, time and disk space it would take.

    Raises the errors of `prepare`, BadInput for an unknown task, WeightsMissing, WeightsBroken.
    """
    model = settings_model(task)
    settings = model.model_validate(settings.model_dump(include=set(model.model_fields)))
    prepared = prepare(task, inputs, resolve(task, settings).settings, jobs_dir)
    planned = prepared.planned(job="", frames_kept=0)
    facts = planned.facts.model_copy(update={"other_sizes": prepared.pipeline.other_sizes()})
    return planned.model_copy(update={"facts": facts, "gpu_seconds": _gpu_seconds(prepared, jobs_dir)})


def _gpu_seconds(prepared: Preparation, jobs_dir: Path) -> int | None:
    """Return what a run asks for of a GPU that is lent call by call; None where there is none, or nothing is known."""
    pipeline, frame_seconds = prepared.pipeline, prepared.lent_frame_seconds
    if not has_slices() or not prepared.uses_gpu or frame_seconds is None:
        return None
    run = RunContext(
        jobs_dir,
        prepared.video,
        prepared.frames,
        pipeline.engine.settings,
        prepared.choice,
        prepared.plan,
        device=prepared.device,
    )
    return seconds_in_all(run.spans, frame_seconds, pipeline.engine.halo(run))


def range_of(video: VideoInfo, settings: Settings) -> Span:
    """Return the frames from `start` up to, not including, `end`, both in seconds. Raises BadInput if there is none."""

    def index_at(seconds: float | None, otherwise: int) -> int:
        # A decimal is exact as written: 1.001 s is 1001/1000 s, not the nearest float.
        return otherwise if seconds is None else video.timeline.first_at(Fraction(str(seconds)))

    start = index_at(settings.start, 0)
    span = Span(start, max(start, index_at(settings.end, video.frames)))
    if not span:
        begin, end = settings.start or 0, settings.end or video.seconds
        raise BadInput(
            f"There is no frame between {begin:g} s and {end:g} s: the video is {video.seconds:g} s long.",
            "Choose --start and --end within the video.",
            "part.empty",
            start_seconds=begin,
            end_seconds=end,
            length_seconds=video.seconds,
        )
    return span
