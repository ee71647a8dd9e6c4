"""The engine `liveportrait`: its passes, its checks before them, and its report after them."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory.budget import Budget
from memory.compute import compute_device, is_on_host
from memory.ladder import Rung, standard_rungs
from memory.plan import Cost, Load
from memory.probe import probe_hardware
from memory.units import GIB, MIB
from pipelines.animation.engine import Animated, PortraitEngine
from pipelines.animation.faces.crop import CROP_PX, limit_size
from pipelines.animation.faces.track import MOST_FACES
from pipelines.animation.inputs import PortraitInputs, picture_bytes
from pipelines.animation.liveportrait import memory_cost
from pipelines.animation.liveportrait.detection_stages import DetectionStage, LandmarkStage
from pipelines.animation.liveportrait.driving_parts import rests_of_parts
from pipelines.animation.liveportrait.face_finder import faces_by
from pipelines.animation.liveportrait.inputs import source_size
from pipelines.animation.liveportrait.motion_stage import MotionStage
from pipelines.animation.liveportrait.networks import LivePortrait
from pipelines.animation.liveportrait.rendering import Rendering, driving_record
from pipelines.animation.liveportrait.scene import Scene
from pipelines.animation.motion.templates import write_template_file
from pipelines.animation.stage import read_figures
from pipelines.animation.takes.rest import KEPT, cut_warning, seconds_of
from pipelines.animation.takes.shot_stage import ShotStage
from pipelines.errors import BadInput, Sentence
from pipelines.settings import AnimateSettings
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage, Warn
from pipelines.video.encoding.encodings import held_pixel_bytes
from pipelines.video.reader import bounded_decoder, held_bytes
from pipelines.vision.types import Size
from pipelines.weights.locate import find
from presets.choose import Choice

_INSTALL = "Install the published face models (requirements-faces.txt), or turn the eye and lip options off."


BATCH_VARIABLE = "LIVE_PORTRAIT_BATCH_SIZE"
"""Environment variable with the batch size, if `--batch-size` is not given."""

_HELD_FRAMES = {58: 200, 29: 100, 14: 50, 0: 25}
"""Most crops and rendered frames in the queue, by the host's memory in GiB (the host tiers of presets/tiers.toml)."""
_HELD_BYTES = MIB
"""A rendered crop, and a crop waiting to be inspected."""
_PASTE_PIXEL_BYTES = 145
"""Bytes per pixel that pasting into samples holds, for a face as large as the frame: measured at 126, and the samples
before and after."""
_REDUCE_PIXEL_BYTES = 25
"""Bytes per pixel of a deep source that reducing its frames holds: three planes of 16 bits, and their colours."""
_READERS = 3
"""Open decoders: at most two of the source, and one of the driving."""


class LivePortraitEngine(PortraitEngine):
    """The engine `liveportrait`. Holds the networks, and what it has found in the inputs."""

    name = "liveportrait"
    network = True

    def __init__(self, inputs: PortraitInputs, settings: AnimateSettings) -> None:
        super().__init__(inputs, settings)
        self._cached_scene: Scene | None = None
        self._rendering: Rendering | None = None
        self._networks: LivePortrait | None = None

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Cuts of the driving, face detection, landmarks (with the published face models), and motion."""
        driving = self.inputs.driving
        begins_anew = self.settings.flag_relative_motion and driving.kind == "video" and driving.moves
        cuts = (ShotStage(driving),) if begins_anew else ()
        landmarks = (LandmarkStage(self._scene),) if faces_by(self.settings) == "insightface" else ()
        return (*cuts, DetectionStage(self._scene), *landmarks, MotionStage(self._scene, self.networks))

    def check(self, run: RunContext) -> None:
        """Check that weights are installed and all required faces are found. Raises BadInput, WeightsMissing."""
        find(self.name, self.settings.weights)
        scene, options = self._scene(run), self.settings
        retargets = options.retargets or (
            options.flag_source_video_eye_retargeting and scene.kind.source_video
        )
        if retargets and not scene.has_landmarks:
            raise BadInput(
                "Eye and lip options need face landmarks, which are not available.",
                _INSTALL,
                "weights.landmarks",
            )
        if options.face == "all" and not scene.pastes:
            raise BadInput(
                "Several faces can only be animated if each is pasted back into the source.",
                "Turn crop, stitching and paste-back on, or choose one face.",
                "face.several_unpasted",
            )
        scene.find_faces()

    @property
    def size(self) -> Size:
        """The source's size if faces are pasted back into it, otherwise that of a crop."""
        options, video = self.settings, self.inputs.source.video
        if self.reduced is not None:
            return source_size(video.width, video.height, options)
        return CROP_PX, CROP_PX

    @property
    def reduced(self) -> Size | None:
        """The source's size up to the largest that is set, if faces are pasted back into it."""
        options, video = self.settings, self.inputs.source.video
        if not (options.flag_do_crop and options.flag_stitching and options.flag_pasteback):
            return None
        height, width = limit_size(video.height, video.width, options.source_max_dim)
        return width, height

    def windows(self, choice: Choice) -> Sequence[int]:
        """Return all lengths up to the number of queued frames that suits the host."""
        return range(1, choice.number("held_frames") + 1)

    def batches(self, choice: Choice) -> Sequence[int]:
        """Return all sizes up to the requested one, or the one that suits the GPU."""
        return range(1, choice.number("batch_frames") + 1)

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Decide the number of queued frames by the host's memory, the largest batch, and the work size.

        Raises BadInput for an invalid batch size in the environment.
        """
        width, height = self.size
        gib = probe_hardware().limited(self.settings.ram_limit_gb).host.total_bytes / GIB
        held = max(frames for least, frames in _HELD_FRAMES.items() if gib >= least)
        values = {"held_frames": held, "work_width": width, "work_height": height, **choice.values}
        if (batch := self._requested_batch()) is not None:
            values["batch_frames"] = batch
        elif is_on_host(device):
            # A CPU is no faster with more than one frame at a time.
            values["batch_frames"] = 1
        return replace(choice, values=values), self._cost(device)

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        """Return the unloading of networks that only inspect, then smaller batches and windows.

        None of them changes the result visibly.
        """
        return standard_rungs(drop_idle=None if prepass else self._drop_idle)

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Render frames `[start, stop)`. Holds windows of crops and rendered frames, never the video."""
        if self._rendering is None:
            self._rendering = Rendering(self._scene(run), self.networks(run), run)
        self.networks(run).release("motion")
        with closing(self._rendering.frames(run, start, stop)) as frames:
            yield from frames

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Report the faces, how they were found, and where they were not visible."""
        scene = self._scene(run)
        rests = rests_of_parts(scene.parts, (figures[:, 0] for figures in read_figures(run)), run.frames)
        cuts = scene.cuts
        seconds = seconds_of(self.video.timeline)
        for code, sentence in self._warnings(run, scene):
            warn(code, sentence)
        for code, told in (("cut", cut_warning(cuts, seconds)), ("face", rests.warning(seconds))):
            if told:
                warn(code, told)
        gone = [
            {
                "of": "driving" if face.media is scene.driving else "source",
                "frames": [[span.start, span.stop] for span in scene.track(number).gone],
            }
            for number, face in enumerate(scene.tracked)
        ]
        return {
            "faces_by": scene.source_finder.detector.name,
            "faces_licence": scene.source_finder.detector.licence,
            "faces": len(scene.source_views),
            "driving_cropped": scene.crops_driving,
            **rests.summary(seconds),
            "cut_count": len(cuts),
            "cuts": [{"frame": cut, "seconds": round(seconds(cut), 3)} for cut in cuts[:KEPT]],
            "gone": gone,
        }

    def _warnings(self, run: RunContext, scene: Scene) -> Generator[tuple[str, str]]:
        """Yield warnings about the result: code and sentence."""
        video, (width, height) = self.inputs.source.video, (scene.source.width, scene.source.height)
        if scene.source.scale < 1:
            yield (
                "size",
                Sentence(
                    f"The source was reduced from {video.width} x {video.height} to {width} x {height} pixels. "
                    "Raise --source-max-dim to keep more detail.",
                    "source_reduced",
                    width=width,
                    height=height,
                ),
            )
        if self.settings.flag_normalize_lip and not scene.has_landmarks:
            yield (
                "landmarks",
                Sentence(
                    "The source's lips were not closed first, because that needs face landmarks, "
                    "which are not available. "
                    f"{_INSTALL}",
                    "lips_not_closed",
                ),
            )
        for number, face in enumerate(scene.tracked):
            if face.media is not scene.driving and scene.track(number).gone:
                yield (
                    "face",
                    Sentence(
                        "A face of the source is not visible in some frames, which are left unchanged; "
                        "the report lists them.",
                        "source_face_gone",
                    ),
                )

    def products(self, run: RunContext) -> dict[str, Path]:
        """Write the driving motion as a template. Holds the rows of one span."""
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
        """Return the networks, loaded to the job's device at first use. Raises WeightsMissing."""
        if self._networks is None:
            self._networks = LivePortrait(self.settings.weights, device=run.device)
        return self._networks

    def _drop_idle(self) -> bool:
        """Unload the networks that only inspect; returns whether any were loaded."""
        return self._networks is not None and self._networks.release("motion")

    def _scene(self, run: RunContext) -> Scene:
        if self._cached_scene is None:
            self._cached_scene = Scene(run, self.inputs)
        return self._cached_scene

    def _requested_batch(self) -> int | None:
        """Return the batch size from the settings or the environment, if any. Raises BadInput."""
        value = os.environ.get(BATCH_VARIABLE)
        if self.settings.batch_size is not None or not value:
            return self.settings.batch_size
        if not value.isdigit() or not 1 <= int(value) <= 256:
            raise BadInput(
                f"{BATCH_VARIABLE} is {value!r}, which is not a batch size.",
                "Set it to a number from 1 to 256, or unset it.",
            )
        return int(value)

    def _cost(self, device: str) -> Cost:
        """Return the cost of networks, decoders, queued frames, and the encoder at the size of the result."""
        cost = memory_cost.cost(on_gpu=not is_on_host(device), half=compute_device(device).prefers_float16)
        video, settings = self.video, self.settings
        decoder = bounded_decoder(video, settings.decoder)
        width, height = self.size
        queued = 3 if self.inputs.source.kind == "video" else 0  # bytes per pixel of a source frame
        encoder = held_pixel_bytes(self.codec) + (_PASTE_PIXEL_BYTES if self.keeps_samples else 0)
        # Both are read before the first frame is made.
        shown = self.inputs.source.video
        limit = source_size(shown.width, shown.height, settings)
        decoding = max(picture_bytes(self.inputs.source, limit), picture_bytes(self.inputs.driving))
        pictures = 3 * self.inputs.driving.pixels if self.inputs.driving.kind == "picture" else 0
        host = Load(
            fixed=cost.host.fixed + pictures + max(width * height * encoder, decoding),
            per_pixel=(_READERS + self.keeps_samples)
            * held_bytes(video, decoder)
            / (video.width * video.height)
            + (
                _REDUCE_PIXEL_BYTES
                if self.keeps_samples and self.reduced != (shown.width, shown.height)
                else 0
            ),
            per_window_frame=_HELD_BYTES * (MOST_FACES if self.settings.face == "all" else 1),
            per_window_pixel=queued,
            per_batch_frame=cost.host.per_batch_frame,
            per_batch_pixel=queued,
        )
        return Cost(host, cost.device)
