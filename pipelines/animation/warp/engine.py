"""The engine `flowwarp`: warps a picture along the optical flow of a driving video."""

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
from pipelines.animation.inputs import PortraitInputs, picture_bytes, read_picture, read_pixels
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
_RESULT_PIXEL_BYTES = 150
"""Bytes per pixel of the result that the encoder and the warp hold: measured at 105 to 150."""
_MOST_INSPECTED = 64
"""Frames at the start of the driving video in which a face is searched, one every `DETECT_EVERY`."""
_INSTEAD = "or use --engine liveportrait, which supports it"


@dataclass(frozen=True)
class _Prepared:
    """Faces of source and driving, the same for all spans of a job. Holds the source twice and one driving frame."""

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
        self._cached: _Prepared | None = None

    def check_inputs(self, inputs: PortraitInputs) -> None:
        """Raise BadInput unless the source is a picture and the driving a video."""
        if inputs.source.kind != "picture":
            raise BadInput(
                "The built-in engine animates pictures, not videos.",
                f"Give a picture as the source, {_INSTEAD}.",
            )
        if inputs.driving.kind == "template":
            raise BadInput(
                "The built-in engine cannot use a motion template: it needs the pixels of the driving video.",
                f"Give the driving video itself, {_INSTEAD}.",
            )
        if not inputs.driving.moves:
            raise BadInput(
                "The driving is a single picture, but the built-in engine needs motion.",
                f"Give a driving video, {_INSTEAD}.",
            )

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Detection of the driving face."""
        return (self._detections,)

    def check(self, run: RunContext) -> None:
        """Check that source and driving show a face. Raises BadInput."""
        self._prepared(run)

    @property
    def size(self) -> Size:
        """The source's size, up to the limit of the quality."""
        video, by_quality = self.inputs.source.video, task_spec("animate").tables().quality
        longest = int(by_quality[self.settings.quality].values()["max_side_px"])
        height, width = limit_size(video.height, video.width, longest)
        return width, height

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Decide the work size by the source, and return the cost of decoder, source, warp and encoder."""
        video, (width, height) = self.video, self.size
        values = {**choice.values, "work_width": width, "work_height": height}
        if self.settings.side_by_side:
            row = row_sizes([(width, height), (video.width, video.height), (width, height)], height)
            width, height = sum(size[0] for size in row), row[0][1]
        decoder = bounded_decoder(video, self.settings.decoder)
        per_pixel = held_bytes(video, decoder) / (video.width * video.height)
        # The source has been decoded before the first frame is made.
        decoding = picture_bytes(self.inputs.source, self.size)
        fixed = _PROCESS_BYTES + max(width * height * _RESULT_PIXEL_BYTES, decoding)
        cost = Cost(host=Load(fixed=fixed, per_pixel=per_pixel, per_window_pixel=3))
        return replace(choice, values=values), cost

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Warp the source for frames `[start, stop)`. Holds a few frames of source and driving."""
        prepared, driving = self._prepared(run), self.inputs.driving
        track = _track(run, prepared)
        warp = FlowWarp(prepared.source, prepared.boxes, prepared.first, track)
        read = _LastFrameReader(partial(read_pixels, run, driving))
        with closing(warp.frames(read, run.frames, start, stop)) as frames:
            for index, frame in enumerate(frames, start):
                figures = frame.extent.shift, frame.extent.degrees, frame.presence
                yield Animated(index, prepared.source, read.last, frame.pixels, figures)

    def _detect_fast(self, run: RunContext) -> DetectFast:
        """Return a detector for faces about as large as the driving face in the reference frame."""
        return partial(detect_fast, size=self._prepared(run).box.size)

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Report the faces, the extent of the driving motion, and where the driving face was not visible."""
        prepared = self._prepared(run)
        track = _track(run, prepared)
        extent, rested = MotionExtent(), 0
        for figures in read_figures(run):
            shift, degrees, _ = figures.max(axis=0).tolist()
            extent = extent.merged(MotionExtent(shift, degrees))
            rested += int(np.count_nonzero(figures[:, 2] == 0))
        warn("preview", _preview())
        for code, sentence in (
            ("size", self._size_warning()),
            ("motion", extent.warning()),
            ("face", absence_warning(track)),
        ):
            if sentence:
                warn(code, sentence)
        return {
            "preview": True,
            "faces_by": self._driving_detector.name,
            "faces": len(prepared.boxes),
            "reference_frame": prepared.reference,
            "frames_at_rest": rested,
            "gone": [[span.start, span.stop] for span in track.gone],
            "most_shift_eye_distances": round(extent.shift, 3),
            "most_turn_degrees": round(extent.degrees, 1),
        }

    def _size_warning(self) -> str | None:
        video, (width, height) = self.inputs.source.video, self.size
        if (width, height) == (video.width, video.height):
            return None
        return (
            f"The portrait was reduced from {video.width} x {video.height} to {width} x {height} pixels, the limit of "
            "this quality. Raise --quality to keep more detail."
        )

    def _prepared(self, run: RunContext) -> _Prepared:
        if self._cached is None:
            self._cached = self._prepare(run)
        return self._cached

    def _prepare(self, run: RunContext) -> _Prepared:
        settings, inputs = self.settings, self.inputs
        picture, boxes = self._source(run)
        reference, box = find_reference(
            self._inspected(run), self._driving_detector, parse_which(settings.driving_face), "--driving-box"
        )
        with closing(read_pixels(run, inputs.driving, reference, reference + 1)) as frames:
            first = next(frames)
        return _Prepared(picture, boxes, reference, first, box)

    def _source(self, run: RunContext) -> tuple[Pixels, list[FaceBox]]:
        """Read the source at the size of the result, and find its faces.

        The file is decoded no larger than needed. If no face is found, all its pixels are searched, which may show a
        smaller one, provided that the plan's memory suffices. Raises BadInput.
        """
        source, size = self.inputs.source, self.size
        picture = read_picture(source, size)
        try:
            boxes = self._faces_on(picture)
        except BadInput:
            whole_bytes = _PROCESS_BYTES + picture_bytes(source)
            if picture.shape[1] == source.video.width or whole_bytes > run.plan.budget_host_bytes:
                raise
            del picture
            picture = read_picture(source)
            boxes = self._faces_on(picture)
        if size != picture.shape[1::-1]:
            boxes = [box.scaled(size[0] / picture.shape[1]) for box in boxes]
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        return picture, boxes

    def _faces_on(self, picture: Pixels) -> list[FaceBox]:
        settings = self.settings
        detector = source_detector(settings, picture, self.inputs.source.video.width)
        return find_faces(picture, detector, parse_which(settings.face), "--source-box")

    def _inspected(self, run: RunContext) -> Generator[tuple[int, Pixels]]:
        """Yield the frames in which a face is searched; only the first if the user gave the box of its face."""
        count = 1 if self.settings.driving_box else _MOST_INSPECTED
        frames, driving = run.frames, self.inputs.driving
        stop = min(frames.stop, frames.start + (count - 1) * DETECT_EVERY + 1)
        with closing(read_pixels(run, driving, frames.start, stop)) as pixels:
            for index, frame in enumerate(pixels, frames.start):
                if (index - frames.start) % DETECT_EVERY == 0:
                    yield index, frame

    @property
    def _driving_detector(self) -> FaceDetector:
        box = self.settings.driving_box
        return UserBox(parse_box(box)) if box else CascadeDetector()


class _LastFrameReader:
    """Reader that remembers the last frame it returned."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self.last: Pixels | None = None

    def __call__(self, start: int, stop: int) -> Generator[Pixels]:
        with closing(self._read(start, stop)) as frames:
            for frame in frames:
                self.last = frame
                yield frame


def _track(run: RunContext, prepared: _Prepared) -> FaceTrack:
    return follow_face(read_detections(run), run.frames, prepared.box, prepared.reference)


def _preview() -> str:
    network = PUBLISHED["liveportrait"]
    return (
        "This is a preview: the built-in engine only warps the portrait, so the head does not turn and nothing hidden "
        f"appears. {network.title} renders every frame: it needs weights ({network.about_bytes / 1e6:.0f} MB, "
        f"`python -m pipelines weights {network.model} --fetch`) and, to be fast, a GPU."
    )
