"""The task with the built-in engine: a picture bent after a driving video."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from memory.budget import Budget
from memory.plan import Cost, Load
from pipelines.animation.engine import Animated, Size
from pipelines.animation.faces.cascade import FaceBox, detect_fast
from pipelines.animation.faces.crop import limit_size
from pipelines.animation.faces.detection_stage import DetectFast, FaceDetections, read_detections
from pipelines.animation.faces.selection import (
    CascadeDetector,
    FaceDetector,
    UserBox,
    absence_warning,
    find_faces,
    find_reference,
    parse_box,
    parse_which,
    source_detector,
)
from pipelines.animation.faces.track import DETECT_EVERY, FaceTrack, follow_face
from pipelines.animation.inputs import PortraitInputs, inputs_of, read_picture, read_pixels, settings_of
from pipelines.animation.pipeline import AnimatePipeline, Warn
from pipelines.animation.side_by_side import row_sizes
from pipelines.animation.stage import read_figures
from pipelines.animation.warp.engine import FlowWarp
from pipelines.animation.warp.motion_limits import MotionExtent
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings, Settings
from pipelines.stages import Pixels, RunContext, Stage
from pipelines.video.info import VideoInfo
from pipelines.video.reader import choose_decoder, held_bytes
from pipelines.weights.catalog import PUBLISHED
from presets.choose import Choice
from presets.tiers import own_tiers

_MIB = 2**20
_PROCESS_BYTES = 175 * _MIB
_FILM_PIXEL_BYTES = 150
"""What the encoder and what bends the portrait hold a pixel of the film: measured at 105 to 150."""
_MOST_LOOKED_AT = 64
"""Looks at the driving video until one shows a face."""
_INSTEAD = "or --engine liveportrait, which takes it"


@dataclass(frozen=True)
class _Prepared:
    """What is found on both, for all spans of a job. Holds the source twice and one driving frame."""

    source: Pixels
    boxes: list[FaceBox]
    reference: int
    first: Pixels
    box: FaceBox


class WarpEngine:
    """The animator `flowwarp`. Holds what it found of the last job that it was asked for."""

    name = FlowWarp.name

    def __init__(self, quality: str) -> None:
        self._longest = own_tiers().animate.quality[quality].max_side_px
        self._looks = FaceDetections(self._glance)
        self._known: tuple[Path, _Prepared] | None = None

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Where the driving face is."""
        return (self._looks,)

    def check_roles(self, roles: PortraitInputs) -> None:
        """A picture and a video that moves. Raises BadInput."""
        if roles.source.kind != "picture":
            raise BadInput(
                "The built-in engine animates a picture, not a video.",
                f"Give a picture as the source, {_INSTEAD}.",
            )
        if roles.driving.kind == "template":
            raise BadInput(
                "The built-in engine cannot follow a motion template: it bends the portrait by what it sees.",
                f"Give the driving video itself, {_INSTEAD}.",
            )
        if not roles.driving.moves:
            raise BadInput(
                "The driving is a single picture: there is no motion that the built-in engine could follow.",
                f"Give a driving video, {_INSTEAD}.",
            )

    def check(self, run: RunContext) -> None:
        """A face on the source, and one on the driving. Raises BadInput."""
        self._prepared(run)

    def size(self, run: RunContext) -> Size:
        """The source's, up to what the quality allows."""
        return self.size_of(inputs_of(run))

    def size_of(self, roles: PortraitInputs) -> Size:
        """The same of source and driving that no job has yet."""
        video = roles.source.video
        height, width = limit_size(video.height, video.width, self._longest)
        return width, height

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)`: the source, bent. Holds some frames of each."""
        found, driving = self._prepared(run), inputs_of(run).driving
        track = _track(run, found)
        warp = FlowWarp(found.source, found.boxes, found.first, track)
        read = _Passing(partial(read_pixels, run, driving))
        with closing(warp.frames(read, run.frames, start, stop)) as bent:
            for index, frame in enumerate(bent, start):
                figures = frame.extent.shift, frame.extent.degrees, frame.presence
                yield Animated(index, found.source, read.last, frame.pixels, figures)

    def _glance(self, run: RunContext) -> DetectFast:
        """Looks for faces about as large as the driving's is on the reference."""
        return partial(detect_fast, size=self._prepared(run).box.size)

    def told(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Faces, how much motion was asked for, and where there was none to follow."""
        found = self._prepared(run)
        track = _track(run, found)
        asked, rested = MotionExtent(), 0
        for figures in read_figures(run):
            shift, degrees, _ = figures.max(axis=0).tolist()
            asked = asked.merged(MotionExtent(shift, degrees))
            rested += int(np.count_nonzero(figures[:, 2] == 0))
        warn("preview", _preview())
        told = (
            ("size", self._made_smaller(run)),
            ("motion", asked.warning()),
            ("face", absence_warning(track)),
        )
        for code, sentence in told:
            if sentence:
                warn(code, sentence)
        return {
            "preview": True,
            "faces_by": _driving_faces(run).name,
            "faces": len(found.boxes),
            "reference_frame": found.reference,
            "frames_at_rest": rested,
            "gone": [[span.start, span.stop] for span in track.gone],
            "most_shift_eye_distances": round(asked.shift, 3),
            "most_turn_degrees": round(asked.degrees, 1),
        }

    def _made_smaller(self, run: RunContext) -> str | None:
        video, (width, height) = inputs_of(run).source.video, self.size(run)
        if (width, height) == (video.width, video.height):
            return None
        return (
            f"The portrait of {video.width} x {video.height} pixels was made smaller, to {width} x {height}: that is "
            "the most of this quality. A higher --quality keeps more."
        )

    def _prepared(self, run: RunContext) -> _Prepared:
        if self._known is None or self._known[0] != run.folder:
            self._known = run.folder, self._found(run)
        return self._known[1]

    def _found(self, run: RunContext) -> _Prepared:
        settings, roles = settings_of(run), inputs_of(run)
        picture, size = read_picture(roles.source), self.size(run)
        boxes = find_faces(
            picture, source_detector(settings, picture), parse_which(settings.face), "--source-box"
        )
        if size != picture.shape[1::-1]:
            share = size[0] / picture.shape[1]
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
            boxes = [FaceBox(b.x * share, b.y * share, b.size * share, b.votes) for b in boxes]
        reference, box = find_reference(
            _looked_at(run), _driving_faces(run), parse_which(settings.driving_face), "--driving-box"
        )
        with closing(read_pixels(run, roles.driving, reference, reference + 1)) as frames:
            first = next(frames)
        return _Prepared(picture, boxes, reference, first, box)


class WarpPipeline(AnimatePipeline):
    """The task with the built-in engine."""

    def __init__(self, settings: AnimateSettings) -> None:
        self._bending = WarpEngine(settings.quality)
        super().__init__(settings, self._bending)

    def fit(
        self, video: VideoInfo, settings: Settings, choice: Choice, budget: Budget, device: str
    ) -> tuple[Choice, Cost]:
        """The size of the result is the source's, whatever the driving's."""
        width, height = self._bending.size_of(self.roles)
        values = {**choice.values, "work_width": width, "work_height": height}
        return replace(choice, values=values), self.cost(video, settings)

    def cost(self, video: VideoInfo, settings: Settings) -> Cost:
        """The driving's decoder; the source, what bends it, and the encoder of its size."""
        decoder = choose_decoder(video, luma_only=True) if settings.decoder == "auto" else settings.decoder
        width, height = self._bending.size_of(self.roles)
        if self._settings.side_by_side:
            row = row_sizes([(width, height), (video.width, video.height), (width, height)], height)
            width, height = sum(size[0] for size in row), row[0][1]
        film = width * height * _FILM_PIXEL_BYTES
        per_pixel = held_bytes(video, decoder) / (video.width * video.height)
        return Cost(host=Load(fixed=_PROCESS_BYTES + film, per_pixel=per_pixel, per_window_pixel=3))


class _Passing:
    """A reader that remembers the frame it has just given."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self.last: Pixels | None = None

    def __call__(self, start: int, stop: int) -> Generator[Pixels]:
        with closing(self._read(start, stop)) as frames:
            for frame in frames:
                self.last = frame
                yield frame


def _track(run: RunContext, found: _Prepared) -> FaceTrack:
    return follow_face(read_detections(run), run.frames, found.box, found.reference)


def _looked_at(run: RunContext) -> Generator[tuple[int, Pixels]]:
    """The first frames that are looked at; with a box that is given the first alone, for which it is meant."""
    looks = 1 if settings_of(run).driving_box else _MOST_LOOKED_AT
    frames, driving = run.frames, inputs_of(run).driving
    stop = min(frames.stop, frames.start + (looks - 1) * DETECT_EVERY + 1)
    with closing(read_pixels(run, driving, frames.start, stop)) as pixels:
        for index, frame in enumerate(pixels, frames.start):
            if (index - frames.start) % DETECT_EVERY == 0:
                yield index, frame


def _driving_faces(run: RunContext) -> FaceDetector:
    box = settings_of(run).driving_box
    return UserBox(parse_box(box)) if box else CascadeDetector()


def _preview() -> str:
    network = PUBLISHED["liveportrait"]
    return (
        "This is a preview by the built-in engine, which bends the portrait: heads do not turn, and nothing new comes "
        f"into sight. {network.title} draws each frame anew: it needs weights of {network.about_bytes / 1e6:.0f} MB "
        f"(`python -m pipelines weights {network.model} --fetch`), and a card to be quick."
    )
