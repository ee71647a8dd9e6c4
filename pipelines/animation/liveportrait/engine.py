"""The animator `liveportrait`: which passes there are, what is refused before them, what is told after them."""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from pipelines.animation.engine import Animated, Size
from pipelines.animation.faces.crop import CROP_PX
from pipelines.animation.faces.selection import absence_warning
from pipelines.animation.inputs import PortraitInputs, inputs_of
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
from pipelines.stages import RunContext, Stage
from pipelines.weights.locate import find

Warn = Callable[[str, str], None]
T = TypeVar("T")

_INSTALL = "Install the published face models (requirements-faces.txt), or leave eye and lip options off."


class LivePortraitEngine:
    """Animates by LivePortrait's networks. Holds them, and what was found out of the last job that it was asked for."""

    name = "liveportrait"

    def __init__(self, settings: AnimateSettings) -> None:
        self._settings = settings
        self._scenes = _Last[Scene]()
        self._drawings = _Last[Rendering]()
        self._engines = _Last[LivePortrait]()

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Where faces are, their landmarks, how they move."""
        landmarks = (LandmarkStage(self._scene),) if faces_by(self._settings) == "insightface" else ()
        return (DetectionStage(self._scene), *landmarks, MotionStage(self._scene, self.networks))

    def check_roles(self, roles: PortraitInputs) -> None:
        """All kinds are taken."""

    def check(self, run: RunContext) -> None:
        """Weights, and a face wherever one is needed. Raises BadInput, WeightsMissing."""
        find(self.name, self._settings.weights)
        scene, options = self._scene(run), self._settings
        opens = options.retargets or (options.flag_source_video_eye_retargeting and scene.kind.source_video)
        if opens and not scene.has_landmarks:
            raise BadInput("Nothing tells how open the eyes and lips are.", _INSTALL)
        if options.face == "all" and not scene.pastes:
            raise BadInput(
                "Several faces can only be animated where each is put back into the source.",
                "Leave crop, stitching and paste back on, or choose one face.",
            )
        scene.find_faces()

    def size(self, run: RunContext) -> Size:
        """The source's where faces are put back into it, that of a cut-out otherwise."""
        return self.size_of(inputs_of(run))

    def size_of(self, roles: PortraitInputs) -> Size:
        """The same of source and driving that no job has yet."""
        options, video = self._settings, roles.source.video
        if options.flag_do_crop and options.flag_stitching and options.flag_pasteback:
            return source_size(video.width, video.height, options)
        return CROP_PX, CROP_PX

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)`. Holds windows of cut-outs and drawn frames, never the video."""
        drawing = self._drawings.of(run, lambda: Rendering(self._scene(run), self.networks(run), run))
        self.networks(run).release("motion")
        with closing(drawing.frames(run, start, stop)) as frames:
            yield from frames

    def told(self, run: RunContext, warn: Warn) -> dict[str, Any]:
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
        given, (width, height) = inputs_of(run).source.video, (scene.source.width, scene.source.height)
        if scene.source.scale < 1:
            yield (
                "size",
                f"The source of {given.width} x {given.height} pixels was made smaller, to {width} x {height}. "
                "A larger --source-max-dim keeps more.",
            )
        if self._settings.flag_normalize_lip and not scene.has_landmarks:
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

    def write_template(self, run: RunContext, path: Path) -> None:
        """Write the driving's motion as a template. Holds the rows of one span."""
        roles, scene = inputs_of(run), self._scene(run)
        record = driving_record(scene, self.networks(run))
        spans = run.spans if scene.kind.driving_video else [Span(run.frames.start, run.frames.start + 1)]
        frames = sum(map(len, spans))
        write_template_file(
            path,
            roles.driving.video.frame_rate,
            frames,
            lambda: (record.between(span.start, span.stop) for span in spans),
        )

    def networks(self, run: RunContext) -> LivePortrait:
        """The networks, on what the job computes on. Raises WeightsMissing."""
        return self._engines.of(run, lambda: LivePortrait(self._settings.weights, device=run.device))

    def drop_idle(self) -> bool:
        """Let go of the networks that only look; says whether there were any."""
        return self._engines.value is not None and self._engines.value.release("motion")

    def _scene(self, run: RunContext) -> Scene:
        return self._scenes.of(run, lambda: Scene(run))


class _Last(Generic[T]):
    """What was made for one job, until another is asked for."""

    def __init__(self) -> None:
        self.value: T | None = None
        self._folder: Path | None = None

    def of(self, run: RunContext, make: Callable[[], T]) -> T:
        """That of `run`."""
        if self.value is None or self._folder != run.folder:
            # The last one goes first: two would not fit.
            self.value = None
            self.value, self._folder = make(), run.folder
        return self.value
