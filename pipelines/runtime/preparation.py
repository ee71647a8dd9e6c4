"""Everything that is decided before the first frame of a run, and what follows from it."""

from dataclasses import dataclass, replace

from memory.compute import is_on_host
from memory.devices import fix_threads, limit_device
from memory.plan import Budget, Cost, Plan, correct, make_plan
from memory.probe import probe_hardware, schedulable_cores
from memory.slot import Slot
from pipelines.engines.run_time import expected_seconds, lent_frame_seconds
from pipelines.errors import NotEnoughDisk, NotEnoughMemory, Sentence
from pipelines.jobs.events import Facts, Planned
from pipelines.jobs.job import Job
from pipelines.jobs.record import Decision, JobRecord
from pipelines.runtime.neighbours import Taken
from pipelines.settings.devices import device_for
from pipelines.spans import Span
from pipelines.spec import engine_spec
from pipelines.stages import Pipeline, RunContext, uses_network
from pipelines.video.info import VideoInfo
from presets.choose import Choice


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

    def settle(self, beside_bytes: int = 0) -> None:
        """Keep this process to the limit of the device, and a network on the CPU to its threads. Loads torch for it.

        `beside_bytes` of the limit are for others.
        """
        if limit := self.budget.vram_limit_bytes:
            limit_device(max(1, limit - beside_bytes), self.device)
        if self.pipeline.engine.network and is_on_host(self.device) and self.threads:
            fix_threads(self.threads)

    def shared(self, workers: int, held_bytes: int) -> tuple[int, Plan]:
        """How many of `workers` fit into the budget beside the `held_bytes` of this process, and the plan of each.

        Preset and choice stay, so that the result does; without a network smaller windows are chosen where they help.
        At least one, with this plan.
        """
        plan, budget = self.plan, self.budget
        for count in range(workers, 1, -1):
            beside = -(-count // len(self.slots))
            part = replace(
                budget,
                host_bytes=max(0, budget.host_bytes - held_bytes) // count,
                device_bytes=budget.device_bytes // beside,
            )
            shared = self._within(part)
            if shared.risk != "cannot":
                return count, shared
        return 1, plan

    def beside(self, taken: Taken) -> "Preparation | None":
        """Return the same decision for a run beside others; None where it does not fit beside what they have taken.

        As with `shared`, nothing that changes the result is decided anew.
        """
        left = self.budget.less(taken.host_bytes, taken.device_bytes, taken.disk_bytes, taken.ram_limit_gb)
        plan = self._within(left)
        return None if plan.risk == "cannot" else replace(self, plan=plan, budget=left)

    def _within(self, budget: Budget) -> Plan:
        """Plan with less; of windows only smaller ones are tried, and none where they might change the result."""
        engine, plan = self.pipeline.engine, self.plan
        windows: tuple[int, ...] = (plan.window_frames,)
        if not engine.network:
            windows = tuple(n for n in engine.windows(self.choice) if n <= plan.window_frames) or windows
        return make_plan(
            self.cost,
            pixels=self.video.width * self.video.height,
            frames=len(self.frames),
            budget=budget,
            window=windows,
            batch=(plan.batch_frames,),
            disk_bytes=plan.disk_bytes,
        )

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
    def uses_gpu(self) -> bool:
        """Whether any stage computes on a GPU here."""
        pipeline = self.pipeline
        if not any(uses_network(stage, pipeline) for stage in pipeline.stages):
            return False
        return device_for(pipeline.engine.settings, probe_hardware()) is not None

    @property
    def lent_frame_seconds(self) -> float | None:
        """What a frame is predicted to take on a GPU that is lent call by call; None where nothing is known."""
        spec = engine_spec(self.pipeline.task, self.pipeline.engine.name)
        return lent_frame_seconds(spec, self._work)

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
