"""The task `inpaint` with the published networks."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from memory.budget import Budget
from memory.ladder import Rung, standard_rungs
from memory.plan import Cost
from pipelines.errors import BadInput
from pipelines.inpainting.pipeline import FillPipeline, around_the_engine
from pipelines.inpainting.propainter.engine import ProPainter, schedule_of
from pipelines.inpainting.propainter.inputs import marks_nothing
from pipelines.inpainting.propainter.memory_plan import Workload, fit_configuration
from pipelines.masks.reading import open_job_masks, settings_of
from pipelines.settings import InpaintSettings, Settings
from pipelines.stages import RunContext, Stage
from pipelines.tracking.prepass import check_marks
from pipelines.video.info import VideoInfo
from pipelines.video.timeline import constant
from pipelines.weights.locate import find
from presets.choose import Choice

_SCALES = (0.75, 0.5)


class ProPainterPipeline(FillPipeline):
    """The task with the published networks, as they are or as the published system runs them."""

    network = True

    def __init__(self, settings: InpaintSettings) -> None:
        super().__init__(settings, ProPainter())

    def probe_inputs(self, inputs: tuple[Path, ...], settings: Settings) -> VideoInfo:
        """The first input; a folder of images at the rate that was asked for."""
        video = super().probe_inputs(inputs, settings)
        if not video.images:
            return video
        return replace(video, timeline=constant(video.frames, Fraction(str(self._settings.save_fps))))

    def batches(self, choice: Choice) -> tuple[int, ...]:
        """As many pairs of frames as were found to fit."""
        return (choice.number("batch_frames"),)

    def fit(
        self, video: VideoInfo, settings: Settings, choice: Choice, budget: Budget, device: str
    ) -> tuple[Choice, Cost]:
        """Size, digits, how correlations are had, how many frames stay encoded, how many pairs are computed at once."""
        return fit_configuration(self._question(video, settings, device), choice, budget)

    def _question(self, video: VideoInfo, settings: Settings, device: str) -> Workload:
        schedule = schedule_of(self._settings, video.frames)
        return Workload(video, self._settings, schedule, device, around_the_engine(video, settings))

    def rungs(self, stage: Stage) -> tuple[Rung, ...]:
        """The chain goes down by itself, and loses nothing; what is left is to begin it anew, and smaller."""
        if stage is not self._fill:
            return super().rungs(stage)
        fixed = self._settings.reference_output or self._settings.outpaints
        rungs = standard_rungs(scales=() if fixed else _SCALES)
        return tuple(rung for rung in rungs if rung.name in ("retry", "lower resolution"))

    def check_masks(self, run: RunContext) -> None:
        """Weights that are there; masks, where there must be any, that mark something.

        Raises BadInput, WeightsMissing, and what `open_masks` raises.
        """
        settings = settings_of(run)
        find(self.engine, settings.weights)
        if marks_nothing(run):
            return
        if not settings.reference_output:
            check_marks(run)
        elif settings.outpaints:
            raise BadInput(
                "The published system looks at no mask where it makes the picture larger.",
                "Leave --mask away, or --reference-output.",
            )
        elif not settings.follows:
            open_job_masks(run)
