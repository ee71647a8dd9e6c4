"""What is found out once for a whole job: which faces there are, and where they are on every frame."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.crop import DrivingWindow, Matrix
from pipelines.animation.faces.track import DETECT_EVERY, MOST_FACES, RECORD, FaceTrack, Records, follow_face
from pipelines.animation.inputs import settings_of
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
from pipelines.stages import RunContext

DETECTIONS, LANDMARKS = "state/looks", "state/landmarks"
"""Where the passes that look for faces keep their rows."""
DETECTION_COLUMNS = MOST_FACES * len(RECORD.names or ())
"""Of one side."""


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face that is followed: where it is on the first frame of a video that shows it."""

    media: InputFrames
    reference: int
    box: FaceBox


class Scene:
    """The faces of both sides of a job, looked for when they are first asked for. Holds pictures, and bytes a look."""

    def __init__(self, run: RunContext) -> None:
        """Raises BadInput, WeightsMissing where published face models are asked for, and the errors of `probe`."""
        self.run, self.frames, self.options = run, run.frames, settings_of(run)
        self.inputs = open_inputs(run)
        self.source, self.driving = self.inputs.source, self.inputs.driving
        template = self.inputs.template
        moves = len(template.motions) > 1 if template else self.driving is not None and self.driving.moves
        self.kind = InputKinds(self.source.moves, moves)
        self.source_finder = source_finder(self.options, self.source.scale)
        self.driving_finder = driving_finder(self.options)

    def find_faces(self) -> None:
        """Look for every face that is needed, as far as no pass comes before. Raises BadInput where one is not."""
        if not self.source.moves:
            _ = self.source_views
        if self.driving is not None and not self.driving.moves:
            _ = self.driving_view
        _ = self.tracked

    @property
    def crops_source(self) -> bool:
        """Whether faces are cut out of the source."""
        return self.options.flag_do_crop

    @property
    def pastes(self) -> bool:
        """Whether what is drawn goes back into the source."""
        return self.crops_source and self.options.flag_stitching and self.options.flag_pasteback

    @property
    def crops_driving(self) -> bool:
        """Whether the face is cut out of the driving: as asked, and always where that is not square."""
        driving = self.driving
        return driving is not None and (self.options.flag_crop_driving_video or not driving.is_square)

    @property
    def has_landmarks(self) -> bool:
        """Whether landmarks can be found."""
        return self.source_finder.landmarks is not None

    @property
    def _views_source(self) -> bool:
        """Whether it matters where the source's faces are, or how open their eyes and lips are."""
        options = self.options
        opens = options.retargets or options.flag_normalize_lip or options.flag_source_video_eye_retargeting
        return self.crops_source or (opens and self.has_landmarks)

    @property
    def _views_driving(self) -> bool:
        """The same of the driving's face."""
        return self.crops_driving or (self.options.retargets and self.has_landmarks)

    @cached_property
    def source_views(self) -> tuple[FaceView | None, ...]:
        """Each face of the source; one None where a frame is taken as it is. Raises BadInput without a face."""
        return self._views(self.source, self.source_finder) if self._views_source else (None,)

    @cached_property
    def driving_view(self) -> FaceView | None:
        """The driving's face; None where a frame is taken as it is. Raises BadInput without a face."""
        if self.driving is None or not self._views_driving:
            return None
        return self._views(self.driving, self.driving_finder)[0]

    @cached_property
    def driving_window(self) -> Matrix | None:
        """From a driving frame to its one cut-out for all frames; None where it is not cut."""
        view = self.driving_view
        if not self.crops_driving or view is None:
            return None
        window = DrivingWindow(self.options)
        # Boxes are looked for now and then, landmarks on every frame.
        step = DETECT_EVERY if isinstance(view, TrackView) else 1
        stop = self.frames.stop if self.driving and self.driving.moves else self.frames.start + 1
        for frame in range(self.frames.start, stop, step):
            if view.presence(frame) > 0:
                window.add(view.square(frame))
        return window.square.to_crop()

    @property
    def moving(self) -> tuple[FaceView | None, ...]:
        """The faces of videos, whose motion is looked at frame by frame: the driving's, then the source's."""
        driving = (self.driving_view,) if self.driving and self.driving.moves else ()
        return (*driving, *(self.source_views if self.source.moves else ()))

    @property
    def driving_start(self) -> int:
        """The first driving frame that shows a face, which relative motion starts from."""
        return next((one.reference for one in self.tracked if one.media is self.driving), self.frames.start)

    @property
    def source_start(self) -> int:
        """The first source frame that shows a face."""
        return next((one.reference for one in self.tracked if one.media is self.source), self.frames.start)

    # -- faces that are followed -----------------------------------------------------------------------------

    @cached_property
    def tracked(self) -> tuple[TrackedFace, ...]:
        """The faces that are followed over videos, the source's first. Raises BadInput where a video shows none."""
        found: list[TrackedFace] = []
        for media, finder in self.searched:
            reference, boxes = finder.on_video(media.read, self.frames)
            found += [TrackedFace(media, reference, box) for box in boxes]
        return tuple(found)

    @property
    def searched(self) -> list[tuple[InputFrames, FaceFinder]]:
        """The videos on which faces are looked for, and by what."""
        searched_media = (
            [(self.source, self.source_finder)] if self.source.moves and self._views_source else []
        )
        if self.driving is not None and self.driving.moves and self._views_driving:
            searched_media.append((self.driving, self.driving_finder))
        return searched_media

    def _views(self, media: InputFrames, finder: FaceFinder) -> tuple[FaceView, ...]:
        if media.picture is not None:
            boxes = finder.on_picture(media.picture)
            return tuple(StillView.of(media.picture, box, finder.landmarks) for box in boxes)
        return tuple(self._view(number) for number, one in enumerate(self.tracked) if one.media is media)

    def _view(self, number: int) -> FaceView:
        track = self.track(number)
        if not self.has_landmarks:
            return TrackView(track)
        return LandmarkView(track, FrameRecords(self.run, LANDMARKS), number * LANDMARK_COLUMNS)

    def track(self, number: int) -> FaceTrack:
        """Where a followed face is, by the looks, which are all there."""
        one = self.tracked[number]
        first = [media for media, _ in self.searched].index(one.media) * DETECTION_COLUMNS
        looks = (
            _records(row[first : first + DETECTION_COLUMNS])
            for span, rows in FrameRecords(self.run, DETECTIONS).blocks()
            for row in rows[(self.frames.start - span.start) % DETECT_EVERY :: DETECT_EVERY]
        )
        return follow_face(looks, self.frames, one.box, one.reference)


def _records(numbers: Floats) -> Records:
    """Of one look, as they are followed."""
    kept = np.zeros(MOST_FACES, RECORD)
    for place, values in zip(kept, numbers.reshape(MOST_FACES, -1), strict=True):
        place["x"], place["y"], place["size"], place["votes"] = values
    return kept
