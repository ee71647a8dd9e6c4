"""The engine `flowwarp`: warps a picture along the optical flow of a driving video."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.animation.engine import Animated, PortraitEngine
from pipelines.animation.faces.alignment import fit, measure_symmetry
from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import limit_size
from pipelines.animation.faces.selection import (
    CascadeDetector,
    FaceDetector,
    UserBox,
    find_faces,
    find_reference,
    parse_box,
    parse_which,
    source_detector,
)
from pipelines.animation.faces.track import DETECT_EVERY
from pipelines.animation.inputs import (
    PortraitInputs,
    picture_bytes,
    read_opacity,
    read_picture,
    read_pixels,
)
from pipelines.animation.side_by_side import row_sizes
from pipelines.animation.stage import read_figures
from pipelines.animation.takes.detection_stage import DrivingSearch, FaceDetections, read_detections
from pipelines.animation.takes.rest import KEPT, cut_warning, find_rests, seconds_of
from pipelines.animation.takes.shot_stage import Shots, ShotStage, read_rows, read_shots
from pipelines.animation.takes.takes import Take, Takes, make_takes
from pipelines.animation.warp.flow_warp import FlowWarp, first_needed
from pipelines.animation.warp.motion_limits import MotionExtent
from pipelines.animation.warp.restraint import HELD, restraint_warning
from pipelines.errors import BadInput, Sentence
from pipelines.settings import AnimateSettings
from pipelines.spec import task_spec
from pipelines.stages import RunContext, Stage, Warn
from pipelines.video.encoding.encodings import chosen_codec, encoding
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
    opacity: Pixels | None
    """Of the source, `(H, W)`; None where it is opaque, or the codec keeps no transparency."""


class WarpEngine(PortraitEngine):
    """The engine `flowwarp`."""

    name = FlowWarp.name

    def __init__(self, inputs: PortraitInputs, settings: AnimateSettings) -> None:
        super().__init__(inputs, settings)
        self._shot_stage = ShotStage(inputs.driving)
        self._detections = FaceDetections(inputs.driving, self._search)
        self._cached: _Prepared | None = None
        self._cached_shots: Shots | None = None
        self._cached_takes: Takes | None = None
        self._last_warp: tuple[Take, FlowWarp] | None = None

    def check_inputs(self, inputs: PortraitInputs) -> None:
        """Raise BadInput unless the source is a picture and the driving a video."""
        if inputs.source.kind != "picture":
            raise BadInput(
                "The built-in engine animates pictures, not videos.",
                f"Give a picture as the source, {_INSTEAD}.",
                "warp.needs_picture",
            )
        if inputs.driving.kind == "template":
            raise BadInput(
                "The built-in engine cannot use a motion template: it needs the pixels of the driving video.",
                f"Give the driving video itself, {_INSTEAD}.",
                "warp.no_template",
            )
        if not inputs.driving.moves:
            raise BadInput(
                "The driving is a single picture, but the built-in engine needs motion.",
                f"Give a driving video, {_INSTEAD}.",
                "warp.needs_motion",
            )

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Measurements of the driving for cuts, then detection of faces in every shot."""
        return (self._shot_stage, self._detections)

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

    @property
    def keeps_transparency(self) -> bool:
        """Whether the codec has an alpha channel, and the result is not one of three panels."""
        return encoding(chosen_codec(self.settings.codec, None), 0).alpha and not self.settings.side_by_side

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
        prepared, parts = self._prepared(run), list(self._takes(run).between(start, stop))
        first = parts[0][0]
        begin = first_needed(start, first.frames) if first.track else start
        with closing(read_pixels(run, self.inputs.driving, begin, stop)) as pixels:
            read = _InTurn(pixels)
            for take, part in parts:
                if take.track is None:
                    for index, driving in enumerate(read(part.start, part.stop), part.start):
                        yield _at_rest(index, prepared, driving)
                    continue
                with closing(
                    self._warp(run, take).frames(read, take.frames, part.start, part.stop)
                ) as frames:
                    for index, frame in enumerate(frames, part.start):
                        extent = frame.extent
                        figures = extent.shift, extent.degrees, frame.presence, frame.mouth, extent.growth
                        yield Animated(
                            index, prepared.source, read.last, frame.pixels, figures, frame.opacity
                        )

    def _warp(self, run: RunContext, take: Take) -> FlowWarp:
        """Return the warp for a take, by its reference frame; keeps that of the last take."""
        if take.track is None:
            raise ValueError("nothing is followed in this take")
        if self._last_warp is None or self._last_warp[0] is not take:
            prepared, reference = self._prepared(run), take.track.reference
            self._last_warp = None
            pixels = prepared.first if reference == prepared.reference else self._frame(run, reference)
            self._last_warp = (
                take,
                FlowWarp(prepared.source, prepared.boxes, pixels, take.track, prepared.opacity),
            )
        return self._last_warp[1]

    def _frame(self, run: RunContext, index: int) -> Pixels:
        with closing(read_pixels(run, self.inputs.driving, index, index + 1)) as frames:
            return next(frames)

    def _search(self, run: RunContext) -> DrivingSearch:
        """Return how the driving face is searched; its shots are known by then."""
        prepared = self._prepared(run)
        return DrivingSearch(
            self._shots(run).spans, prepared.reference, self._driving_detector, CascadeDetector()
        )

    def _shots(self, run: RunContext) -> Shots:
        if self._cached_shots is None:
            self._cached_shots = read_shots(run)
        return self._cached_shots

    def _takes(self, run: RunContext) -> Takes:
        if self._cached_takes is None:
            prepared, which = self._prepared(run), parse_which(self.settings.driving_face)
            first = prepared.reference, prepared.box
            self._cached_takes = make_takes(self._shots(run), read_detections(run), first, which)
        return self._cached_takes

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Report the faces, the extent of the driving motion, its cuts, and where the portrait holds still."""
        prepared, takes = self._prepared(run), self._takes(run)
        extent, held = MotionExtent(), 0
        for figures in read_figures(run):
            shift, degrees, _, _, growth = figures.max(axis=0).tolist()
            extent = extent.merged(MotionExtent(shift, degrees, growth))
            held += int(np.count_nonzero(figures[:, 3] < HELD))
        presences = (figures[:, 2] for figures in read_figures(run))
        rests = find_rests(takes, presences, read_rows(run), run.frames)
        seconds = seconds_of(self.inputs.driving.video.timeline)
        symmetries = [measure_symmetry(fit(prepared.source, box), prepared.source) for box in prepared.boxes]
        warn("preview", _preview())
        for code, sentence in (
            ("size", self._size_warning()),
            ("motion", extent.warning()),
            ("cut", cut_warning(takes.cuts, seconds)),
            ("face", rests.warning(seconds)),
            ("mouth", restraint_warning(symmetries, held, len(run.frames))),
        ):
            if sentence:
                warn(code, sentence)
        tracks = [take.track for take in takes.takes if take.track]
        return {
            "preview": True,
            "faces_by": self._driving_detector.name,
            "faces": len(prepared.boxes),
            "reference_frame": tracks[0].reference if tracks else None,
            **rests.summary(seconds),
            "frames_with_mouth_held": held,
            "symmetry": [round(symmetry, 3) for symmetry in symmetries],
            "cut_count": len(takes.cuts),
            "cuts": [{"frame": cut, "seconds": round(seconds(cut), 3)} for cut in takes.cuts[:KEPT]],
            "gone": [[span.start, span.stop] for span in takes.gone],
            "most_shift_eye_distances": round(extent.shift, 3),
            "most_turn_degrees": round(extent.degrees, 1),
            "most_growth_percent": round(extent.growth_percent, 1),
        }

    def _size_warning(self) -> str | None:
        video, (width, height) = self.inputs.source.video, self.size
        if (width, height) == (video.width, video.height):
            return None
        return Sentence(
            f"The portrait was reduced from {video.width} x {video.height} to {width} x {height} pixels, the limit of "
            "this quality. Raise --quality to keep more detail.",
            "portrait_reduced",
            width=width,
            height=height,
        )

    def _prepared(self, run: RunContext) -> _Prepared:
        if self._cached is None:
            self._cached = self._prepare(run)
        return self._cached

    def _prepare(self, run: RunContext) -> _Prepared:
        picture, boxes = self._source(run)
        which = parse_which(self.settings.driving_face)
        reference, box = find_reference(self._inspected(run), self._driving_detector, which, "--driving-box")
        return _Prepared(picture, boxes, reference, self._frame(run, reference), box, self._opacity())

    def _opacity(self) -> Pixels | None:
        """Read the opacity of the source in the size of the result, where the codec keeps it."""
        opacity = read_opacity(self.inputs.source, self.size) if self.keeps_transparency else None
        if opacity is None or self.size == opacity.shape[::-1]:
            return opacity
        return cv2.resize(opacity, self.size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)

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


def _at_rest(index: int, prepared: _Prepared, driving: Pixels) -> Animated:
    """Return a frame on which nobody is followed."""
    figures = 0.0, 0.0, 0.0, 1.0, 0.0
    return Animated(index, prepared.source, driving, prepared.source.copy(), figures, prepared.opacity)


class _InTurn:
    """Hands out frames that are read in order, part by part, and remembers the last one."""

    def __init__(self, pixels: Iterator[Pixels]) -> None:
        self._pixels = pixels
        self.last: Pixels | None = None

    def __call__(self, start: int, stop: int) -> Generator[Pixels]:
        for _ in range(start, stop):
            self.last = next(self._pixels)
            yield self.last


def _preview() -> str:
    network = PUBLISHED["liveportrait"]
    return Sentence(
        "This is a preview: the built-in engine only warps the portrait, so the head does not turn and nothing hidden "
        f"appears. {network.title} renders every frame: it needs weights ({network.about_bytes / 1e6:.0f} MB, "
        f"`python -m pipelines weights {network.model} --fetch`) and, to be fast, a GPU.",
        "preview",
        title=network.title,
    )
