"""Scene of a whole job: which faces there are, and where they are on every frame."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import DrivingWindow, Matrix, Square
from pipelines.animation.faces.track import DETECT_EVERY, MOST_FACES, RECORD, FaceTrack, Records, follow_face
from pipelines.animation.inputs import PortraitInputs, settings_of
from pipelines.animation.liveportrait.driving_parts import DrivingPart, make_parts, part_at, whole
from pipelines.animation.liveportrait.face_finder import FaceFinder, driving_finder, source_finder
from pipelines.animation.liveportrait.face_views import (
    LANDMARK_COLUMNS,
    FaceView,
    LandmarkView,
    StillView,
    TrackView,
)
from pipelines.animation.liveportrait.frame_records import FrameRecords
from pipelines.animation.liveportrait.inputs import InputFrames, open_inputs
from pipelines.animation.liveportrait.targets import InputKinds
from pipelines.animation.motion.keypoints import Floats
from pipelines.animation.takes.shot_stage import read_shots
from pipelines.spans import Span
from pipelines.stages import RunContext

DETECTIONS, LANDMARKS = "state/looks", "state/landmarks"
"""Folders in which the detection passes keep their rows."""
DETECTION_COLUMNS = MOST_FACES * len(RECORD.names or ())
"""Numbers per video and frame."""


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """Face to track through a video, by its box on the first frame that shows it."""

    media: InputFrames
    reference: int
    box: FaceBox


class Scene:
    """Faces of source and driving, detected on demand. Holds pictures, and some bytes per detection."""

    def __init__(self, run: RunContext, media: PortraitInputs) -> None:
        """Open the inputs. Raises BadInput, WeightsMissing for published face models, and the errors of `probe`."""
        self.run, self.frames, self.options = run, run.frames, settings_of(run)
        self.inputs = open_inputs(run, media)
        self.source, self.driving = self.inputs.source, self.inputs.driving
        template = self.inputs.template
        moves = len(template.motions) > 1 if template else self.driving is not None and self.driving.moves
        self.kind = InputKinds(self.source.moves, moves)
        self.source_finder = source_finder(self.options, self.source.scale)
        self.driving_finder = driving_finder(self.options)

    def find_faces(self) -> None:
        """Find every face that is needed and that no pass has to detect first. Raises BadInput where one is missing."""
        if not self.source.moves:
            _ = self.source_views
        if self.driving is not None and not self.driving.moves:
            _ = self.driving_view
        _ = self.tracked

    @property
    def crops_source(self) -> bool:
        """Whether faces are cropped from the source."""
        return self.options.flag_do_crop

    @property
    def pastes(self) -> bool:
        """Whether crops are pasted back into the source."""
        return self.crops_source and self.options.flag_stitching and self.options.flag_pasteback

    @property
    def crops_driving(self) -> bool:
        """Whether the face is cropped from the driving: on request, and always where that is not square."""
        driving = self.driving
        return driving is not None and (self.options.flag_crop_driving_video or not driving.is_square)

    @property
    def has_landmarks(self) -> bool:
        """Whether landmarks can be detected."""
        return self.source_finder.landmarks is not None

    @property
    def _views_source(self) -> bool:
        """Whether positions of the source's faces, or the openness of their eyes and lips, are needed."""
        options = self.options
        opens = options.retargets or options.flag_normalize_lip or options.flag_source_video_eye_retargeting
        return self.crops_source or (opens and self.has_landmarks)

    @property
    def _views_driving(self) -> bool:
        """Whether position or openness of the driving face is needed."""
        return self.crops_driving or (self.options.retargets and self.has_landmarks)

    @cached_property
    def source_views(self) -> tuple[FaceView | None, ...]:
        """Each face of the source; a single None where frames are used uncropped. Raises BadInput without a face."""
        return self._views(self.source, self.source_finder) if self._views_source else (None,)

    @cached_property
    def driving_view(self) -> FaceView | None:
        """The driving face; None where frames are used uncropped. Raises BadInput without a face."""
        if self.driving is None or not self._views_driving:
            return None
        return self._views(self.driving, self.driving_finder)[0]

    @property
    def begins_anew(self) -> bool:
        """Whether motion starts anew at cuts: it is relative to a frame of a video."""
        return self.options.flag_relative_motion and self.driving is not None and self.driving.moves

    @cached_property
    def parts(self) -> tuple[DrivingPart, ...]:
        """Parts of the driving between its cuts; one where motion does not start anew."""
        return make_parts(read_shots(self.run)) if self.begins_anew else whole(self.frames)

    def driving_window(self, frame: int) -> Matrix | None:
        """Return the matrix from a driving frame to its crop, one for each part; None where it is not cropped.

        A part that shows no face is cropped as the one before it, or as the first that shows one.
        """
        if not self.crops_driving or self.driving_view is None:
            return None
        return self._windows[part_at(self.parts, frame)]

    @cached_property
    def _windows(self) -> dict[DrivingPart, Matrix]:
        squares = [self._window(part.frames) for part in self.parts]
        found = [square for square in squares if square is not None]
        last = found[0] if found else DrivingWindow(self.options).square
        windows: dict[DrivingPart, Matrix] = {}
        for part, square in zip(self.parts, squares, strict=True):
            last = square or last
            windows[part] = last.to_crop()
        return windows

    def _window(self, frames: Span) -> Square | None:
        view, window, shown = self.driving_view, DrivingWindow(self.options), False
        if view is None:
            return None
        # Boxes are detected on some frames, landmarks on every one.
        step = DETECT_EVERY if isinstance(view, TrackView) else 1
        stop = frames.stop if self.driving and self.driving.moves else frames.start + 1
        first = frames.start + (self.frames.start - frames.start) % step
        for frame in range(first, stop, step):
            if view.presence(frame) > 0:
                window.add(view.square(frame))
                shown = True
        return window.square if shown else None

    def presence(self, frame: int) -> float:
        """Return how far the driving face is there: 1, 0 where it is gone, less than 1 beside that and before cuts."""
        view = self.driving_view
        by_view = 1.0 if view is None else view.presence(frame)
        return min(by_view, part_at(self.parts, frame).presence(frame))

    def first_of(self, part: DrivingPart) -> int:
        """Return the frame from which the motion of a part starts."""
        view, frames = self.driving_view, part.frames
        if part == self.parts[0] and self.driving_start < frames.stop:
            return self.driving_start
        shown = (
            frame for frame in range(frames.start, frames.stop) if view is None or view.presence(frame) == 1
        )
        return next(shown, frames.start)

    @property
    def cuts(self) -> list[int]:
        """Frames on which the driving is followed anew."""
        return [part.frames.start for part in self.parts[1:] if not part.mixed and self._drives(part)]

    def _drives(self, part: DrivingPart) -> bool:
        """Tell whether a part shows a face; any does where none is detected."""
        view, frames = self.driving_view, part.frames
        return view is None or any(view.presence(frame) > 0 for frame in range(frames.start, frames.stop))

    @property
    def moving(self) -> tuple[FaceView | None, ...]:
        """Faces of videos, whose motion is estimated frame by frame: the driving's, then the source's."""
        driving = (self.driving_view,) if self.driving and self.driving.moves else ()
        return (*driving, *(self.source_views if self.source.moves else ()))

    @property
    def driving_start(self) -> int:
        """First driving frame that shows a face, from which relative motion starts."""
        return next(
            (face.reference for face in self.tracked if face.media is self.driving), self.frames.start
        )

    @property
    def source_start(self) -> int:
        """First source frame that shows a face."""
        return next((face.reference for face in self.tracked if face.media is self.source), self.frames.start)

    # -- tracked faces ----------------------------------------------------------------------

    @cached_property
    def tracked(self) -> tuple[TrackedFace, ...]:
        """Faces that are tracked through videos, the source's first. Raises BadInput where a video shows none."""
        faces: list[TrackedFace] = []
        for media, finder in self.searched:
            reference, boxes = finder.on_video(media.read, self.frames)
            faces += [TrackedFace(media, reference, box) for box in boxes]
        return tuple(faces)

    @property
    def searched(self) -> list[tuple[InputFrames, FaceFinder]]:
        """Videos in which faces are detected, each with its finder."""
        videos = [(self.source, self.source_finder)] if self.source.moves and self._views_source else []
        if self.driving is not None and self.driving.moves and self._views_driving:
            videos.append((self.driving, self.driving_finder))
        return videos

    def found_in(self, media: InputFrames) -> list[FaceBox]:
        """Return the faces of a video as they were found on the first frame that shows them."""
        return [face.box for face in self.tracked if face.media is media]

    def _views(self, media: InputFrames, finder: FaceFinder) -> tuple[FaceView, ...]:
        if media.picture is not None:
            boxes = finder.on_picture(media.picture)
            return tuple(StillView.of(media.picture, box, finder.landmarks) for box in boxes)
        return tuple(self._view(number) for number, face in enumerate(self.tracked) if face.media is media)

    def _view(self, number: int) -> FaceView:
        track = self.track(number)
        if not self.has_landmarks:
            return TrackView(track)
        return LandmarkView(track, FrameRecords(self.run, LANDMARKS), number * LANDMARK_COLUMNS)

    def track(self, number: int) -> FaceTrack:
        """Return the track of a face, from detections that are complete."""
        face = self.tracked[number]
        first = [media for media, _ in self.searched].index(face.media) * DETECTION_COLUMNS
        detections = (
            _unpack(row[first : first + DETECTION_COLUMNS])
            for span, rows in FrameRecords(self.run, DETECTIONS).blocks()
            for row in rows[(self.frames.start - span.start) % DETECT_EVERY :: DETECT_EVERY]
        )
        return follow_face(detections, self.frames, face.box, face.reference)


def _unpack(numbers: Floats) -> Records:
    """Unpack the detections of one frame."""
    records = np.zeros(MOST_FACES, RECORD)
    for record, values in zip(records, numbers.reshape(MOST_FACES, -1), strict=True):
        record["x"], record["y"], record["size"], record["votes"] = values
    return records
