"""Planning of a job: probe the video and the machine, choose a preset, solve for window and batch.

All of it happens before the first frame is computed; `estimate` stops there.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from memory.devices import Device, fix_threads, limit_device
from memory.plan import Budget, Cost, Load, Plan, correct, make_plan
from memory.probe import Hardware, probe_disk, probe_hardware, schedulable_cores
from pipelines.engines.availability import resolve
from pipelines.engines.registry import open_pipeline
from pipelines.engines.run_time import expected_seconds
from pipelines.errors import BadInput, NotEnoughDisk, NotEnoughMemory, Sentence
from pipelines.jobs.events import Facts, Planned
from pipelines.jobs.job import Job
from pipelines.jobs.record import Decision, JobRecord
from pipelines.runtime.crew import Slot
from pipelines.settings import Settings
from pipelines.settings.devices import device_for, torch_name
from pipelines.spans import Span
from pipelines.spec import engine_spec, settings_model, task_spec
from pipelines.stages import Pipeline, RunContext
from pipelines.video.info import VideoInfo
from presets.choose import Choice, VideoFacts, choose


@dataclass(frozen=True)
class Preparation:
    """Everything that is decided before the first frame of a run."""

    pipeline: Pipeline
    video: VideoInfo
    frames: Span
    choice: Choice
    cost: Cost
    plan: Plan
    budget: Budget
    device: str = "cpu"
    """Torch's name of the device that the engine computes on."""
    slots: tuple[Slot, ...] = (Slot("cpu"),)
    """Where several workers may compute: each GPU that the settings allow, or the CPU."""
    threads: int = 0
    """Threads of networks on the CPU; 0: those of the machine."""

    def context(self, job: Job, record: JobRecord) -> RunContext:
        """Return what is needed to compute a span of `job`."""
        return RunContext(
            job.folder,
            self.video,
            self.frames,
            record.settings,
            self.choice,
            self.plan,
            tuple(given.path for given in record.inputs),
            self.device,
            fingerprints=record.fingerprints,
            threads=self.threads,
        )

    def settle(self) -> None:
        """Keep this process to the limit of the device, and a network on the CPU to its threads. Loads torch for it."""
        if self.budget.vram_limit_bytes:
            limit_device(self.budget.vram_limit_bytes, self.device)
        if self.pipeline.engine.network and self.device == "cpu" and self.threads:
            fix_threads(self.threads)

    def shared(self, workers: int, held_bytes: int) -> tuple[int, Plan]:
        """How many of `workers` fit into the budget beside the `held_bytes` of this process, and the plan of each.

        Preset and choice stay, so that the result does; without a network smaller windows are chosen where they help.
        At least one, with this plan.
        """
        engine, plan, budget = self.pipeline.engine, self.plan, self.budget
        windows: tuple[int, ...] = (plan.window_frames,)
        if not engine.network:
            windows = tuple(n for n in engine.windows(self.choice) if n <= plan.window_frames) or windows
        for count in range(workers, 1, -1):
            beside = -(-count // len(self.slots))
            part = replace(
                budget,
                host_bytes=max(0, budget.host_bytes - held_bytes) // count,
                device_bytes=budget.device_bytes // beside,
            )
            shared = make_plan(
                self.cost,
                pixels=self.video.width * self.video.height,
                frames=len(self.frames),
                budget=part,
                window=windows,
                batch=(plan.batch_frames,),
                disk_bytes=plan.disk_bytes,
            )
            if shared.risk != "cannot":
                return count, shared
        return 1, plan

    def corrected(self, measured_host_bytes: int, measured_device_bytes: int) -> "Preparation":
        """Return the same decision with its memory prediction corrected by what the first windows held.

        If that exceeds the budget, risk and reason say so; window and batch stay as they are.
        """
        plan, pixels = self.plan, self.video.width * self.video.height
        cost = correct(
            self.cost,
            plan,
            pixels=pixels,
            measured_host_bytes=measured_host_bytes,
            measured_device_bytes=measured_device_bytes,
        )
        corrected_plan = make_plan(
            cost,
            pixels=pixels,
            frames=len(self.frames),
            budget=self.budget,
            window=(plan.window_frames,),
            batch=(plan.batch_frames,),
            disk_bytes=plan.disk_bytes,
        )
        return replace(self, cost=cost, plan=corrected_plan)

    @property
    def decision(self) -> Decision:
        """The part that a resume must reuse."""
        return Decision(preset=dict(self.choice.values), plan=self.plan.to_json(), threads=self.threads)

    @property
    def lacks_disk(self) -> bool:
        """Whether the run needs more disk space than there is."""
        return self.budget.disk_bytes is not None and self.plan.disk_bytes > self.budget.disk_bytes

    @property
    def shortage(self) -> dict[str, int]:
        """What a run that does not fit needs most, and what there is of it, in bytes."""
        plan = self.plan
        pairs = [
            (plan.predicted_host_bytes, plan.budget_host_bytes),
            (plan.predicted_device_bytes, plan.budget_device_bytes),
        ]
        if self.lacks_disk:
            pairs = [(plan.disk_bytes, self.budget.disk_bytes or 0)]
        needed, have = max(pairs, key=lambda pair: pair[0] - pair[1])
        return {"needed_bytes": needed, "have_bytes": have}

    def require_room(self) -> None:
        """Raise NotEnoughMemory or NotEnoughDisk for a plan that does not fit."""
        if self.plan.risk != "cannot":
            return
        no_room = NotEnoughDisk if self.lacks_disk else NotEnoughMemory
        raise no_room(
            self.plan.reason,
            "Finished spans are kept: free some space or raise the limit, then resume.",
            "disk.plan" if self.lacks_disk else "memory.plan",
            **self.shortage,
        )

    @property
    def damage(self) -> Sentence | None:
        """What cannot be read of a damaged video; None where it is whole."""
        video = self.video
        if not video.damage:
            return None
        words, missing = video.damage.splitlines()[0], video.missing_frames
        skipped = f"{missing} frames" if missing else "some frames"
        return Sentence(
            f"The file is damaged ({words}): {skipped} cannot be read and are skipped.",
            "damaged" if missing else "damaged_some",
            missing=missing,
            damage_key=video.damage.key,
            **video.damage.values,
        )

    def planned(self, job: str, frames_kept: int) -> Planned:
        """Make the event that reports the preparation."""
        plan, choice = self.plan, self.choice
        return Planned(
            job=job,
            facts=_facts(self.video),
            engine=self.pipeline.engine.name,
            frames=len(self.frames),
            frames_kept=frames_kept,
            window_frames=plan.window_frames,
            batch_frames=plan.batch_frames,
            predicted_host_bytes=plan.predicted_host_bytes,
            predicted_device_bytes=plan.predicted_device_bytes,
            budget_host_bytes=plan.budget_host_bytes,
            budget_device_bytes=plan.budget_device_bytes,
            disk_bytes=plan.disk_bytes,
            predicted_seconds=self._seconds(len(self.frames) - frames_kept),
            risk=plan.risk,
            reason=plan.reason,
            preset=choice.preset,
            preset_reason=choice.reason,
        )

    def _seconds(self, frames: int) -> float | None:
        pipeline, kind = self.pipeline, self.device.partition(":")[0]
        spec = engine_spec(pipeline.task, pipeline.engine.name)
        return expected_seconds(spec, kind, frames, self._work, schedulable_cores())

    @property
    def _work(self) -> int:
        """Work per frame, in the unit of the engine's `Pace`: pixels computed, or gigaflops of a network."""
        values, width, height = self.choice.values, self.video.width, self.video.height
        if "gigaflops" in values:
            return self.choice.number("gigaflops")
        if "work_width" in values:
            width, height = self.choice.number("work_width"), self.choice.number("work_height")
        return width * height


def prepare(
    task: str,
    inputs: tuple[Path, ...],
    settings: Settings,
    jobs_dir: Path,
    *,
    held_bytes: int = 0,
    kept: Decision | None = None,
) -> Preparation:
    """Probe, choose and plan; the first of `inputs` is the video. `held_bytes` is what our processes already hold.

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
    device_index = (device.index if device else None) if engine.network else _device_index(settings.device)
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
    )
    others = pipeline.other_bytes()
    left = replace(budget, host_bytes=max(0, budget.host_bytes - others))
    choice, cost = engine.fit(choice, left, device.kind if device else "cpu")
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
    """Return where workers may compute together: every CUDA device, unless the settings name one."""
    if device is None or device.kind != "cuda" or ":" in settings.device:
        return (Slot(torch_name(device)),)
    return tuple(
        Slot(torch_name(each), (("CUDA_VISIBLE_DEVICES", each.uuid or str(each.index)),))
        for each in hardware.devices
        if each.kind == "cuda"
    )


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
    return planned.model_copy(update={"facts": facts})


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


def _device_index(device: str) -> int | None:
    """Return the index of the visible device that `--device` names; None for the CPU."""
    if device == "cpu":
        return None
    return int(device.partition(":")[2] or 0)


def _facts(video: VideoInfo) -> Facts:
    return Facts(
        name=video.path.name,
        container=video.container,
        codec=video.codec,
        width=video.width,
        height=video.height,
        frames=video.frames,
        seconds=video.seconds,
        frame_rate=str(video.frame_rate),
        variable_frame_rate=video.timeline.vfr,
        rotation=video.rotation,
        sound=video.audio.codec if video.audio else None,
        damage=video.damage,
        damage_key=video.damage.key if video.damage else "",
        damage_values=video.damage.values if video.damage else {},
        missing_frames=video.missing_frames,
        bit_depth=video.bit_depth,
        dynamic_range=video.dynamic_range,
    )
