"""The engine `flowwarp` of the task: a picture warped after a driving video."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.animation.engine import Animated, PortraitEngine
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
from pipelines.animation.inputs import PortraitInputs, read_picture, read_pixels
from pipelines.animation.side_by_side import row_sizes
from pipelines.animation.stage import read_figures
from pipelines.animation.warp.flow_warp import FlowWarp
from pipelines.animation.warp.motion_limits import MotionExtent
from pipelines.errors import BadInput
from pipelines.settings import AnimateSettings
from pipelines.spec import task_spec
from pipelines.stages import RunContext, Stage, Warn
from pipelines.video.reader import bounded_decoder, held_bytes
from pipelines.vision.types import Pixels, Size
from pipelines.weights.catalog import PUBLISHED
from presets.choose import Choice

_PROCESS_BYTES = 175 * MIB
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


class WarpEngine(PortraitEngine):
    """The engine `flowwarp`."""

    name = FlowWarp.name

    def __init__(self, inputs: PortraitInputs, settings: AnimateSettings) -> None:
        super().__init__(inputs, settings)
        self._detections = FaceDetections(inputs.driving, self._detect_fast)
        self._known: _Prepared | None = None

    def check_inputs(self, inputs: PortraitInputs) -> None:
        """A picture and a video that moves. Raises BadInput."""
        if inputs.source.kind != "picture":
            raise BadInput(
                "The built-in engine animates a picture, not a video.",
                f"Give a picture as the source, {_INSTEAD}.",
            )
        if inputs.driving.kind == "template":
            raise BadInput(
                "The built-in engine cannot follow a motion template: it bends the portrait by what it sees.",
                f"Give the driving video itself, {_INSTEAD}.",
            )
        if not inputs.driving.moves:
            raise BadInput(
                "The driving is a single picture: there is no motion that the built-in engine could follow.",
                f"Give a driving video, {_INSTEAD}.",
            )

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Where the driving face is."""
        return (self._detections,)

    def check(self, run: RunContext) -> None:
        """A face on the source, and one on the driving. Raises BadInput."""
        self._prepared(run)

    @property
    def size(self) -> Size:
        """The source's, up to what the quality allows."""
        video, by_quality = self.inputs.source.video, task_spec("animate").tables().quality
        longest = int(by_quality[self.settings.quality].values()["max_side_px"])
        height, width = limit_size(video.height, video.width, longest)
        return width, height

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """The size of the result is the source's, whatever the driving's; decoder, source, warp and encoder."""
        video, (width, height) = self.video, self.size
        values = {**choice.values, "work_width": width, "work_height": height}
        if self.settings.side_by_side:
            row = row_sizes([(width, height), (video.width, video.height), (width, height)], height)
            width, height = sum(size[0] for size in row), row[0][1]
        decoder = bounded_decoder(video, self.settings.decoder)
        per_pixel = held_bytes(video, decoder) / (video.width * video.height)
        fixed = _PROCESS_BYTES + width * height * _FILM_PIXEL_BYTES
        cost = Cost(host=Load(fixed=fixed, per_pixel=per_pixel, per_window_pixel=3))
        return replace(choice, values=values), cost

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)`: the source, bent. Holds some frames of each."""
        found, driving = self._prepared(run), self.inputs.driving
        track = _track(run, found)
        warp = FlowWarp(found.source, found.boxes, found.first, track)
        read = _Passing(partial(read_pixels, run, driving))
        with closing(warp.frames(read, run.frames, start, stop)) as bent:
            for index, frame in enumerate(bent, start):
                figures = frame.extent.shift, frame.extent.degrees, frame.presence
                yield Animated(index, found.source, read.last, frame.pixels, figures)

    def _detect_fast(self, run: RunContext) -> DetectFast:
        """Looks for faces about as large as the driving's is on the reference."""
        return partial(detect_fast, size=self._prepared(run).box.size)

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Faces, how much motion was asked for, and where there was none to follow."""
        found = self._prepared(run)
        track = _track(run, found)
        asked, rested = MotionExtent(), 0
        for figures in read_figures(run):
            shift, degrees, _ = figures.max(axis=0).tolist()
            asked = asked.merged(MotionExtent(shift, degrees))
            rested += int(np.count_nonzero(figures[:, 2] == 0))
        warn("preview", _preview())
        told = ("size", self._made_smaller()), ("motion", asked.warning()), ("face", absence_warning(track))
        for code, sentence in told:
            if sentence:
                warn(code, sentence)
        return {
            "preview": True,
            "faces_by": self._driving_detector.name,
            "faces": len(found.boxes),
            "reference_frame": found.reference,
            "frames_at_rest": rested,
            "gone": [[span.start, span.stop] for span in track.gone],
            "most_shift_eye_distances": round(asked.shift, 3),
            "most_turn_degrees": round(asked.degrees, 1),
        }

    def _made_smaller(self) -> str | None:
        video, (width, height) = self.inputs.source.video, self.size
        if (width, height) == (video.width, video.height):
            return None
        return (
            f"The portrait of {video.width} x {video.height} pixels was made smaller, to {width} x {height}: that is "
            "the most of this quality. A higher --quality keeps more."
        )

    def _prepared(self, run: RunContext) -> _Prepared:
        if self._known is None:
            self._known = self._found(run)
        return self._known

    def _found(self, run: RunContext) -> _Prepared:
        settings, inputs = self.settings, self.inputs
        picture, size = read_picture(inputs.source), self.size
        boxes = find_faces(
            picture, source_detector(settings, picture), parse_which(settings.face), "--source-box"
        )
        if size != picture.shape[1::-1]:
            share = size[0] / picture.shape[1]
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
            boxes = [FaceBox(b.x * share, b.y * share, b.size * share, b.votes) for b in boxes]
        reference, box = find_reference(
            self._inspected(run), self._driving_detector, parse_which(settings.driving_face), "--driving-box"
        )
        with closing(read_pixels(run, inputs.driving, reference, reference + 1)) as frames:
            first = next(frames)
        return _Prepared(picture, boxes, reference, first, box)

    def _inspected(self, run: RunContext) -> Generator[tuple[int, Pixels]]:
        """The first frames that are searched for a face; with a given box the first alone, for which it is meant."""
        looks = 1 if self.settings.driving_box else _MOST_LOOKED_AT
        frames, driving = run.frames, self.inputs.driving
        stop = min(frames.stop, frames.start + (looks - 1) * DETECT_EVERY + 1)
        with closing(read_pixels(run, driving, frames.start, stop)) as pixels:
            for index, frame in enumerate(pixels, frames.start):
                if (index - frames.start) % DETECT_EVERY == 0:
                    yield index, frame

    @property
    def _driving_detector(self) -> FaceDetector:
        box = self.settings.driving_box
        return UserBox(parse_box(box)) if box else CascadeDetector()


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


def _preview() -> str:
    network = PUBLISHED["liveportrait"]
    return (
        "This is a preview by the built-in engine, which bends the portrait: heads do not turn, and nothing new comes "
        f"into sight. {network.title} draws each frame anew: it needs weights of {network.about_bytes / 1e6:.0f} MB "
        f"(`python -m pipelines weights {network.model} --fetch`), and a card to be quick."
    )
