"""Search for the selected faces of source and driving."""

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
from pipelines.vision.types import Pixels

MAX_DETECTIONS = 120
"""Frames of a video, `DETECT_EVERY` apart, that are searched before it counts as one without a face."""


def faces_by(settings: SourceFace) -> Literal["builtin", "insightface"]:
    """Resolve the detector: where it is left open, the published models if all that landmarks need is installed."""
    if settings.faces != "auto":
        return settings.faces
    files = find_files(settings.weights)
    return "insightface" if files and LANDMARKS in files else "builtin"


@dataclass(frozen=True)
class FaceFinder:
    """Detector of the faces of source or driving, and the selection among them."""

    detector: FaceDetector
    which: Which
    flag: str
    """Option by which the user can give a box instead."""
    landmarks: OnnxDetector | None

    def on_picture(self, picture: Pixels) -> list[FaceBox]:
        """Find the faces of a picture. Raises BadInput where there are none."""
        return find_faces(picture, self.detector, self.which, self.flag)

    def on_video(self, read: Read, frames: Span) -> tuple[int, list[FaceBox]]:
        """Find the first frame that shows a face, and its faces. Holds a frame. Raises BadInput where no frame does."""
        stop = frames.start + 1 if isinstance(self.detector, UserBox) else frames.stop
        with closing(_sample_frames(read, frames.start, stop)) as samples:
            reference, _ = find_reference(samples, self.detector, "largest", self.flag)
        with closing(read(reference, reference + 1)) as reference_frame:
            return reference, self.on_picture(next(reference_frame))


def source_finder(settings: SourceFace, scale: float) -> FaceFinder:
    """Make the finder for a source that is `scale` times as large as the given file.

    Raises WeightsMissing where published models are chosen and not installed.
    """
    return _build_finder(settings, settings.source_box, settings.face, "--source-box", scale)


def driving_finder(settings: AnimateSettings) -> FaceFinder:
    """Make the finder for the driving. Raises WeightsMissing where published models are chosen and not installed."""
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
            "The published face models are incomplete: they need their files, landmark.onnx, onnxruntime and consent.",
            "Run `pip install -r requirements-faces.txt` and see `doctor` for the rest, or use --faces builtin.",
            "weights.faces",
        )
    return OnnxDetector(files)


def _sample_frames(read: Read, start: int, stop: int) -> Generator[tuple[int, Pixels]]:
    """Yield the numbered frames to search, `MAX_DETECTIONS` at most."""
    stop = min(stop, start + MAX_DETECTIONS * DETECT_EVERY)
    with closing(read(start, stop)) as frames:
        for index, frame in enumerate(frames, start):
            if (index - start) % DETECT_EVERY == 0:
                yield index, frame
