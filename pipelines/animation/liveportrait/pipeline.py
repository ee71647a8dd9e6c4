"""The task with LivePortrait's networks, over videos of any length."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from memory.budget import Budget
from memory.ladder import Rung, standard_rungs
from memory.plan import GIB, Cost, Load
from memory.probe import probe_hardware
from pipelines.animation.faces.track import MOST_FACES
from pipelines.animation.liveportrait import memory_cost
from pipelines.animation.liveportrait.engine import LivePortraitEngine, Warn
from pipelines.animation.pipeline import AnimatePipeline
from pipelines.errors import BadInput
from pipelines.jobs.events import Outputs
from pipelines.settings import AnimateSettings, Settings
from pipelines.stages import RunContext, Stage
from pipelines.video.info import VideoInfo
from pipelines.video.reader import choose_decoder, held_bytes
from presets.choose import Choice

BATCH_VARIABLE = "LIVE_PORTRAIT_BATCH_SIZE"

_HELD_FRAMES = {58: 200, 29: 100, 14: 50, 0: 25}
"""Cut-outs and drawn frames that wait, by the host's GiB."""
_HELD_BYTES = 2**20
"""A drawn cut-out, and a cut-out to be looked at."""
_ENCODER_PIXEL_BYTES = 170
_READERS = 3
"""The source twice at the most, and the driving."""


class LivePortraitPipeline(AnimatePipeline):
    """The task with the published networks: looks at faces and motion first, then draws in batches."""

    network = True

    def __init__(self, settings: AnimateSettings) -> None:
        self._streaming = LivePortraitEngine(settings)
        super().__init__(settings, self._streaming)

    def windows(self, choice: Choice) -> Sequence[int]:
        """As many as the host's memory is made for, or fewer."""
        return range(1, choice.number("held_frames") + 1)

    def batches(self, choice: Choice) -> Sequence[int]:
        """What was asked for, or what the card is made for; or fewer."""
        return range(1, choice.number("batch_frames") + 1)

    def fit(
        self, video: VideoInfo, settings: Settings, choice: Choice, budget: Budget, device: str
    ) -> tuple[Choice, Cost]:
        """Frames that wait by the host, a batch as asked; the size is that of the result. Raises BadInput."""
        width, height = self._streaming.size_of(self.roles)
        gib = probe_hardware().limited(settings.ram_limit_gb).host.total_bytes / GIB
        held = max(frames for least, frames in _HELD_FRAMES.items() if gib >= least)
        values = {"held_frames": held, "work_width": width, "work_height": height, **choice.values}
        if (asked := self._asked_batch()) is not None:
            values["batch_frames"] = asked
        elif device == "cpu":
            # A processor computes one frame after the other in any case.
            values["batch_frames"] = 1
        return replace(choice, values=values), self._cost(video, settings, device)

    def rungs(self, stage: Stage) -> tuple[Rung, ...]:
        """Networks that only look go first, then batches and windows are halved; none changes the result notably."""
        return standard_rungs(drop_idle=self._streaming.drop_idle if stage is self._film else None)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """The film or picture, the report, and the driving's motion as a template."""
        outputs = super().join(run, segments, warn)
        template = run.folder / "template.npz"
        self._streaming.write_template(run, template)
        return outputs.model_copy(update={"template": template})

    def _asked_batch(self) -> int | None:
        """The batch that was asked for, by a setting or by the environment. Raises BadInput."""
        said = os.environ.get(BATCH_VARIABLE)
        if self._settings.batch_size is not None or not said:
            return self._settings.batch_size
        if not said.isdigit() or not 1 <= int(said) <= 256:
            raise BadInput(
                f"{BATCH_VARIABLE} is {said!r}, which is no number of frames.",
                "Set it to 1 to 256, or not at all.",
            )
        return int(said)

    def _cost(self, video: VideoInfo, settings: Settings, device: str) -> Cost:
        """The networks; decoders, frames that wait, and the encoder of the result's size."""
        cost = memory_cost.cost(on_gpu=device != "cpu", half=device == "cuda")
        decoder = choose_decoder(video, luma_only=True) if settings.decoder == "auto" else settings.decoder
        width, height = self._streaming.size_of(self.roles)
        waits = 3 if self.roles.source.kind == "video" else 0
        host = Load(
            fixed=cost.host.fixed + width * height * _ENCODER_PIXEL_BYTES,
            per_pixel=_READERS * held_bytes(video, decoder) / (video.width * video.height),
            per_window_frame=_HELD_BYTES * (MOST_FACES if self._settings.face == "all" else 1),
            per_window_pixel=waits,
            per_batch_frame=cost.host.per_batch_frame,
            per_batch_pixel=waits,
        )
        return Cost(host, cost.device)
