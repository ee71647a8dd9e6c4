"""Which faces of a source, and which of a driving, are meant, and by what they are found."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.onnx_landmarks import LANDMARKS, OnnxDetector, find_files
from pipelines.animation.faces.selection import (
    CascadeDetector,
    FaceDetector,
    UserBox,
    Which,
    find_faces,
    find_reference,
)
from pipelines.animation.faces.track import DETECT_EVERY
from pipelines.animation.liveportrait.inputs import Read
from pipelines.errors import WeightsMissing
from pipelines.settings import AnimateSettings, SourceFace
from pipelines.spans import Span
from pipelines.stages import Pixels

MAX_DETECTIONS = 120
"""How many frames of a video are looked at, each `LOOK_EVERY` frames from the last, before there is no face on it."""


def faces_by(settings: SourceFace) -> Literal["builtin", "insightface"]:
    """What finds faces: where that is left open, the published models where all that landmarks need is there."""
    if settings.faces != "auto":
        return settings.faces
    files = find_files(settings.weights)
    return "insightface" if files and LANDMARKS in files else "builtin"


@dataclass(frozen=True)
class FaceFinder:
    """How the faces of one side are found, and which of them are meant."""

    detector: FaceDetector
    which: Which
    flag: str
    """How the user gives a box instead."""
    landmarks: OnnxDetector | None

    def on_picture(self, picture: Pixels) -> list[FaceBox]:
        """The faces of a picture. Raises BadInput where there are none."""
        return find_faces(picture, self.detector, self.which, self.flag)

    def on_video(self, read: Read, frames: Span) -> tuple[int, list[FaceBox]]:
        """The first frame that shows a face, and the faces there. Holds a frame. Raises BadInput where none does."""
        last = frames.start + 1 if isinstance(self.detector, UserBox) else frames.stop
        with closing(_sample_frames(read, frames.start, last)) as looks:
            reference, _ = find_reference(looks, self.detector, "largest", self.flag)
        with closing(read(reference, reference + 1)) as reference_frame:
            return reference, self.on_picture(next(reference_frame))


def source_finder(settings: SourceFace, scale: float) -> FaceFinder:
    """For a source `scale` times as large as it was given.

    Raises WeightsMissing where published models are asked for that are not there.
    """
    return _build_finder(settings, settings.source_box, settings.face, "--source-box", scale)


def driving_finder(settings: AnimateSettings) -> FaceFinder:
    """For the driving. Raises WeightsMissing where published models are asked for that are not there."""
    return _build_finder(settings, settings.driving_box, settings.driving_face, "--driving-box", 1.0)


def _build_finder(settings: SourceFace, box: str | None, which: str, flag: str, scale: float) -> FaceFinder:
    landmarks = _load_published(settings) if faces_by(settings) == "insightface" else None
    detector: FaceDetector = landmarks or CascadeDetector()
    if box:
        detector = UserBox(FaceBox.from_rectangle(*(float(number) * scale for number in box.split(","))))
    selected: Which = which if which in ("largest", "all") else int(which)  # type: ignore[assignment]
    return FaceFinder(detector, "largest" if box else selected, flag, landmarks)


def _load_published(settings: SourceFace) -> OnnxDetector:
    files = find_files(settings.weights)
    if not files or LANDMARKS not in files:
        raise WeightsMissing(
            "The published face models are not all here: their files, landmark.onnx, onnxruntime and consent.",
            "`pip install -r requirements-faces.txt`, see `doctor` for the rest, or --faces builtin.",
        )
    return OnnxDetector(files)


def _sample_frames(read: Read, start: int, stop: int) -> Generator[tuple[int, Pixels]]:
    """The frames of the looks, as many as are looked at."""
    stop = min(stop, start + MAX_DETECTIONS * DETECT_EVERY)
    with closing(read(start, stop)) as frames:
        for index, frame in enumerate(frames, start):
            if (index - start) % DETECT_EVERY == 0:
                yield index, frame
