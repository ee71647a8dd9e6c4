"""The engine `propainter`: fills holes with the published networks."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from memory.budget import Budget
from memory.compute import compute_device
from memory.ladder import Effort, Ladder, Rung, standard_rungs
from memory.plan import Cost
from pipelines.errors import BadInput
from pipelines.inpainting.deep.filled import DeepFilled
from pipelines.inpainting.deep.reading import fills_samples
from pipelines.inpainting.engine import Filled, InpaintEngine
from pipelines.inpainting.propainter.canvas import Canvas
from pipelines.inpainting.propainter.context import ProPainterNetworks
from pipelines.inpainting.propainter.deep_results import deep_frames
from pipelines.inpainting.propainter.inputs import marks_nothing, read_results, read_work
from pipelines.inpainting.propainter.memory_plan import ON_DEMAND, Workload, fit_configuration
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.inpainting.propainter.streaming import Chain, Painted, Recipe
from pipelines.masks.reading import open_job_masks, read_pixels, settings_of
from pipelines.masks.resize import paste_back
from pipelines.settings import InpaintSettings
from pipelines.spans import Span
from pipelines.stages import RunContext
from pipelines.video.clock.timeline import constant
from pipelines.video.colour.samples import chroma_steps
from pipelines.video.info import VideoInfo
from pipelines.vision.types import Pixels, Size
from pipelines.weights.locate import find
from presets.choose import Choice

_SCALES = (0.75, 0.5)
"""Shares of the work size that are tried last, when everything that keeps the result has been tried."""
_CORRELATE_ON_DEMAND = Rung(
    "correlate on demand",
    "close",
    "Correlations are computed on demand instead of all at once.",
    lambda effort: None if effort.tile_px else replace(effort, tile_px=1),
)


class ProPainterEngine(InpaintEngine):
    """The engine `propainter`: the published networks in our pipeline, or run exactly as the published system does."""

    name = "propainter"
    network = True

    def __init__(self, video: VideoInfo, settings: InpaintSettings) -> None:
        if video.images:
            # An image sequence has the frame rate of the settings.
            video = replace(video, timeline=constant(video.frames, Fraction(str(settings.save_fps))))
        super().__init__(video, settings)

    def check(self, run: RunContext) -> None:
        """Check that the weights are installed and that masks, if required, mark something.

        Raises BadInput, WeightsMissing, and the errors of `open_masks`.
        """
        settings = self.settings
        find(self.name, settings.weights)
        if marks_nothing(run):
            return
        if not settings.reference_output:
            super().check(run)
        elif settings.outpaints:
            raise BadInput(
                "The published system does not take a mask when it extends the picture.",
                "Leave out --mask or --reference-output.",
                "mask.extends",
            )
        elif not settings.follows:
            open_job_masks(run)

    def batches(self, choice: Choice) -> tuple[int, ...]:
        """Return the number of frame pairs that `fit` found to fit."""
        return (choice.number("batch_frames"),)

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Decide work size, precision, kind of correlation, number of cached encoded frames and of pairs per batch."""
        schedule = schedule_of(self.settings, self.video.frames)
        return fit_configuration(
            Workload(self.video, self.settings, schedule, device, self.around()), choice, budget
        )

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        """Return what is left after the chain's own recovery, which loses no work: restarting it, at a lower size."""
        if prepass:
            return super().rungs(prepass=True)
        fixed = self.settings.reference_output or self.settings.outpaints
        rungs = standard_rungs(scales=() if fixed else _SCALES)
        return tuple(rung for rung in rungs if rung.name in ("retry", "lower resolution"))

    def halo(self, run: RunContext) -> int:
        """Return the frames whose flows and pixels are completed beside a stretch."""
        return schedule_of(settings_of(run), len(run.frames)).halo

    def work_size(self, run: RunContext) -> Size:
        """Return the size at which frames are painted, without the padding for the networks."""
        return canvas_of(run).work.whole

    def size(self, run: RunContext) -> Size:
        """Return the source's size, larger if it is outpainted; or the size that the published system gives."""
        return canvas_of(replace(run, effort=None)).output

    def picture(self, run: RunContext, index: int) -> Pixels:
        """Read input frame `index`, placed as in the result."""
        with closing(read_pixels(run, index, index + 1)) as frames:
            return canvas_of(replace(run, effort=None)).before(next(frames))

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Filled | DeepFilled]:
        """Fill frames `[start, stop)`. Loads the networks, and releases them when it is closed."""
        canvas = canvas_of(run)
        with closing(_painted(run, canvas, Span(start, stop))) as frames:
            painted = (canvas.cropped(frame) for frame in frames)
            if fills_samples(self.video, self.settings):
                yield from deep_frames(run, canvas, painted, start, stop)
                return
            if canvas.published:
                for index, fill in enumerate(painted, start):
                    before, after = canvas.resized(fill.before), canvas.resized(fill.after)
                    yield Filled(index, before, after, canvas.large(fill.mask), canvas.large(fill.invented))
                return
            with closing(read_results(run, canvas, start, stop)) as results:
                for index, (fill, (frame, hole)) in enumerate(zip(painted, results, strict=True), start):
                    before = canvas.before(frame)
                    after = paste_back(before, fill.after, hole)
                    yield Filled(index, before, after, hole, canvas.large(fill.invented) & hole)


def canvas_of(run: RunContext) -> Canvas:
    """Return the canvas of the job: its sizes, and where frames lie on it."""
    video, scale = run.video, run.effort.scale if run.effort else 1.0
    size = run.choice.number("work_width"), run.choice.number("work_height")
    if scale != 1.0:
        size = int(size[0] * scale), int(size[1] * scale)
    settings = settings_of(run)
    steps = chroma_steps(video.layout) if fills_samples(video, settings) else (1, 1)
    return Canvas.of((video.width, video.height), settings, size, steps)


def schedule_of(settings: InpaintSettings, frames: int) -> Schedule:
    """Return the order of work for a number of frames."""
    return Schedule(frames, settings.subvideo_length, settings.neighbor_length, settings.ref_stride)


def _painted(run: RunContext, canvas: Canvas, span: Span) -> Generator[Painted]:
    settings, first = settings_of(run), run.frames.start
    networks = load_networks(settings.weights, run.device)
    recipe = Recipe(
        schedule_of(settings, len(run.frames)),
        settings.raft_iter,
        run.plan.batch_frames,
        run.choice.number("cached_frames"),
    )
    chain = Chain(
        lambda start, stop: read_work(run, canvas, first + start, first + stop),
        networks,
        _ladder(run, networks),
        recipe,
        Span(span.start - first, span.stop - first),
        canvas.flow_mask,
        run.check_interrupt,
    )
    yield from chain.frames()


def _ladder(run: RunContext, networks: ProPainterNetworks) -> Ladder:
    """Return what the chain tries when it runs out of GPU memory; its state is in host memory and survives that."""
    precisions = {str(run.choice.values["precision"]), run.effort.precision if run.effort else "float32"}
    effort = Effort(
        run.plan.window_frames,
        run.plan.batch_frames,
        tile_px=1 if run.choice.values["correlation"] == ON_DEMAND else None,
        precision="float16" if "float16" in precisions else "float32",
    )
    may_halve = compute_device(networks.device).has_float16 and not settings_of(run).reference_output
    rungs = standard_rungs(
        min_window=effort.window,
        precisions=("float16",) if may_halve else (),
        drop_idle=networks.leave_alone,
    )
    harmless = [rung for rung in rungs if rung.change != "changes"]
    return Ladder(effort, [*harmless, _CORRELATE_ON_DEMAND, *rungs[len(harmless) :]], on_step=run.on_step)


def load_networks(folder: Path | None, device: str) -> ProPainterNetworks:
    """Load the three networks to `device` (torch's name). Raises WeightsMissing, WeightsBroken."""
    from pipelines.nets.propainter.flow_completion import load_flow_completion
    from pipelines.nets.propainter.generator import load_generator
    from pipelines.nets.raft.model import load_raft

    paths = find("propainter", folder)
    return ProPainterNetworks(
        load_raft(paths["raft-things.pth"], device),
        load_flow_completion(paths["recurrent_flow_completion.pth"], device),
        load_generator(paths["ProPainter.pth"], device),
        device,
    )
