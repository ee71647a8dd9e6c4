"""The engine `liveportrait`: its passes, what it refuses before them, and what it reports after them."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memory.budget import Budget
from memory.ladder import Rung, standard_rungs
from memory.plan import Cost, Load
from memory.probe import probe_hardware
from memory.units import GIB, MIB
from pipelines.animation.engine import Animated, PortraitEngine
from pipelines.animation.faces.crop import CROP_PX
from pipelines.animation.faces.selection import absence_warning
from pipelines.animation.faces.track import MOST_FACES
from pipelines.animation.inputs import PortraitInputs
from pipelines.animation.liveportrait import memory_cost
from pipelines.animation.liveportrait.detection_stages import DetectionStage, LandmarkStage
from pipelines.animation.liveportrait.face_finder import faces_by
from pipelines.animation.liveportrait.inputs import source_size
from pipelines.animation.liveportrait.motion_stage import MotionStage
from pipelines.animation.liveportrait.networks import LivePortrait
from pipelines.animation.liveportrait.rendering import Rendering, driving_record
from pipelines.animation.liveportrait.scene import Scene
from pipelines.animation.motion.templates import write_template_file
from pipelines.animation.stage import read_figures
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage, Warn
from pipelines.video.reader import bounded_decoder, held_bytes
from pipelines.vision.types import Size
from pipelines.weights.locate import find
from presets.choose import Choice

_INSTALL = "Install the published face models (requirements-faces.txt), or leave eye and lip options off."


BATCH_VARIABLE = "LIVE_PORTRAIT_BATCH_SIZE"

_HELD_FRAMES = {58: 200, 29: 100, 14: 50, 0: 25}
"""Cut-outs and drawn frames that wait, by the host's GiB."""
_HELD_BYTES = MIB
"""A drawn cut-out, and a cut-out to be looked at."""
_ENCODER_PIXEL_BYTES = 170
_READERS = 3
"""The source twice at the most, and the driving."""


class LivePortraitEngine(PortraitEngine):
    """The engine `liveportrait`. Holds the networks, and what was found out of its inputs."""

    name = "liveportrait"
    network = True

    def __init__(self, inputs: PortraitInputs, settings: AnimateSettings) -> None:
        super().__init__(inputs, settings)
        self._scene_found: Scene | None = None
        self._rendering: Rendering | None = None
        self._networks: LivePortrait | None = None

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Where faces are, their landmarks, how they move."""
        landmarks = (LandmarkStage(self._scene),) if faces_by(self.settings) == "insightface" else ()
        return (DetectionStage(self._scene), *landmarks, MotionStage(self._scene, self.networks))

    def check(self, run: RunContext) -> None:
        """Weights, and a face wherever one is needed. Raises BadInput, WeightsMissing."""
        find(self.name, self.settings.weights)
        scene, options = self._scene(run), self.settings
        opens = options.retargets or (options.flag_source_video_eye_retargeting and scene.kind.source_video)
        if opens and not scene.has_landmarks:
            raise BadInput("Nothing tells how open the eyes and lips are.", _INSTALL)
        if options.face == "all" and not scene.pastes:
            raise BadInput(
                "Several faces can only be animated where each is put back into the source.",
                "Leave crop, stitching and paste back on, or choose one face.",
            )
        scene.find_faces()

    @property
    def size(self) -> Size:
        """The source's where faces are put back into it, that of a crop otherwise."""
        options, video = self.settings, self.inputs.source.video
        if options.flag_do_crop and options.flag_stitching and options.flag_pasteback:
            return source_size(video.width, video.height, options)
        return CROP_PX, CROP_PX

    def windows(self, choice: Choice) -> Sequence[int]:
        """As many as the host's memory is made for, or fewer."""
        return range(1, choice.number("held_frames") + 1)

    def batches(self, choice: Choice) -> Sequence[int]:
        """What was asked for, or what the card is made for; or fewer."""
        return range(1, choice.number("batch_frames") + 1)

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Frames that wait by the host, a batch as asked; the size is that of the result. Raises BadInput."""
        width, height = self.size
        gib = probe_hardware().limited(self.settings.ram_limit_gb).host.total_bytes / GIB
        held = max(frames for least, frames in _HELD_FRAMES.items() if gib >= least)
        values = {"held_frames": held, "work_width": width, "work_height": height, **choice.values}
        if (asked := self._asked_batch()) is not None:
            values["batch_frames"] = asked
        elif device == "cpu":
            # A processor computes one frame after the other in any case.
            values["batch_frames"] = 1
        return replace(choice, values=values), self._cost(device)

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        """Networks that only inspect go first, then batches and windows are halved; none changes the result notably."""
        return standard_rungs(drop_idle=None if prepass else self._drop_idle)

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)`. Holds windows of cut-outs and drawn frames, never the video."""
        if self._rendering is None:
            self._rendering = Rendering(self._scene(run), self.networks(run), run)
        self.networks(run).release("motion")
        with closing(self._rendering.frames(run, start, stop)) as frames:
            yield from frames

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Which faces there were, by what they were found, and where the driving's was gone."""
        scene, rested = self._scene(run), 0
        for figures in read_figures(run):
            rested += int(np.count_nonzero(figures[:, 0] == 0))
        for code, sentence in self._sentences(run, scene):
            warn(code, sentence)
        gone = [
            {
                "of": "driving" if one.media is scene.driving else "source",
                "frames": [[span.start, span.stop] for span in scene.track(number).gone],
            }
            for number, one in enumerate(scene.tracked)
        ]
        return {
            "faces_by": scene.source_finder.detector.name,
            "faces_licence": scene.source_finder.detector.licence,
            "faces": len(scene.source_views),
            "driving_cropped": scene.crops_driving,
            "frames_at_rest": rested,
            "gone": gone,
        }

    def _sentences(self, run: RunContext, scene: Scene) -> Generator[tuple[str, str]]:
        """What the user should know of the result, each with a code."""
        given, (width, height) = self.inputs.source.video, (scene.source.width, scene.source.height)
        if scene.source.scale < 1:
            yield (
                "size",
                f"The source of {given.width} x {given.height} pixels was made smaller, to {width} x {height}. "
                "A larger --source-max-dim keeps more.",
            )
        if self.settings.flag_normalize_lip and not scene.has_landmarks:
            yield (
                "landmarks",
                f"The source's lips were not closed first: nothing tells how open they are. {_INSTALL}",
            )
        for number, one in enumerate(scene.tracked):
            sentence = absence_warning(scene.track(number))
            if sentence and one.media is scene.driving:
                yield "face", sentence
            elif sentence:
                yield (
                    "face",
                    "A face of the source is not seen on some frames, which are left as they are: "
                    "the report tells which.",
                )

    def products(self, run: RunContext) -> dict[str, Path]:
        """The driving's motion as a template. Holds the rows of one span."""
        scene, path = self._scene(run), run.folder / "template.npz"
        record = driving_record(scene, self.networks(run))
        spans = run.spans if scene.kind.driving_video else [Span(run.frames.start, run.frames.start + 1)]
        write_template_file(
            path,
            self.inputs.driving.video.frame_rate,
            sum(map(len, spans)),
            lambda: (record.between(span.start, span.stop) for span in spans),
        )
        return {"template": path}

    def networks(self, run: RunContext) -> LivePortrait:
        """The networks, on what the job computes on. Raises WeightsMissing."""
        if self._networks is None:
            self._networks = LivePortrait(self.settings.weights, device=run.device)
        return self._networks

    def _drop_idle(self) -> bool:
        """Free the networks that only inspect; returns whether there were any."""
        return self._networks is not None and self._networks.release("motion")

    def _scene(self, run: RunContext) -> Scene:
        if self._scene_found is None:
            self._scene_found = Scene(run, self.inputs)
        return self._scene_found

    def _asked_batch(self) -> int | None:
        """The batch that was asked for, by a setting or by the environment. Raises BadInput."""
        said = os.environ.get(BATCH_VARIABLE)
        if self.settings.batch_size is not None or not said:
            return self.settings.batch_size
        if not said.isdigit() or not 1 <= int(said) <= 256:
            raise BadInput(
                f"{BATCH_VARIABLE} is {said!r}, which is no number of frames.",
                "Set it to 1 to 256, or not at all.",
            )
        return int(said)

    def _cost(self, device: str) -> Cost:
        """The networks; decoders, frames that wait, and the encoder of the result's size."""
        cost = memory_cost.cost(on_gpu=device != "cpu", half=device == "cuda")
        video, settings = self.video, self.settings
        decoder = bounded_decoder(video, settings.decoder)
        width, height = self.size
        waits = 3 if self.inputs.source.kind == "video" else 0
        host = Load(
            fixed=cost.host.fixed + width * height * _ENCODER_PIXEL_BYTES,
            per_pixel=_READERS * held_bytes(video, decoder) / (video.width * video.height),
            per_window_frame=_HELD_BYTES * (MOST_FACES if self.settings.face == "all" else 1),
            per_window_pixel=waits,
            per_batch_frame=cost.host.per_batch_frame,
            per_batch_pixel=waits,
        )
        return Cost(host, cost.device)
