"""Selection of faces: detectors, the cases of none and several, and one face over a whole video."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from pipelines.animation.faces import cascade
from pipelines.animation.faces.aligned_view import FacePlacement
from pipelines.animation.faces.cascade import MIN_VOTES, FaceBox, detect_by_votes, detect_fast
from pipelines.animation.faces.selection import (
    CascadeDetector,
    UserBox,
    estimate_landmark_square,
    find_faces,
    find_reference,
)
from pipelines.animation.faces.track import (
    DETECT_EVERY,
    MOST_FACES,
    RECORD,
    FaceTrack,
    Records,
    follow_face,
    is_detection_frame,
    to_record,
)
from pipelines.errors import BadInput
from pipelines.example.moving_face import DrawnFace
from pipelines.spans import Span

BLANK = np.zeros((64, 64, 3), np.uint8)


@dataclass
class Known:
    """Detector with prescribed boxes."""

    boxes: list[FaceBox]
    name, licence = "known", ""

    def detect(self, picture: Any) -> list[FaceBox]:
        return self.boxes if picture.any() else []

    def detect_small(self, picture: Any) -> list[FaceBox]:
        return []

    def detect_fast(self, picture: Any, like: Any = ()) -> list[FaceBox]:
        return self.detect(picture)

    def smallest_px(self, width: int, height: int) -> int | None:
        return None


class TestVotes:
    @pytest.fixture
    def pair(self) -> Any:
        """Two faces beside each other, one of them half as large, in a picture of 460 x 256."""
        picture = data.astronaut()[:256, 96:352]
        small = cv2.resize(picture[:, 40:216], (120, 174), interpolation=cv2.INTER_AREA)
        return np.hstack((picture[:, :240], np.pad(small, ((60, 22), (0, 100), (0, 0)), "edge")))

    def test_each_face_gets_its_votes_and_nothing_else_does(self, pair: Any) -> None:
        boxes = detect_by_votes(pair)
        sure = [box for box in boxes if box.votes >= MIN_VOTES]
        assert [box.votes for box in boxes] == sorted((box.votes for box in boxes), reverse=True)
        assert len(sure) == 2
        large, small = sorted(sure, key=lambda box: -box.size)
        assert (large.x, large.y, large.size) == pytest.approx((128, 117, 106), abs=10)
        assert (small.x, small.y, small.size) == pytest.approx((240 + 60, 60 + 80, 72), abs=10)

    def test_a_fast_pass_detects_it_too(self, driver: DrawnFace) -> None:
        box = detect_fast(driver.picture)[0]
        assert (box.x, box.y, box.size) == pytest.approx((128, 117, 106), abs=10)
        assert box.votes >= 8

    def test_a_fast_pass_for_a_size_detects_only_similar_sizes(self, driver: DrawnFace) -> None:
        size = driver.box.size
        for known in (0.65 * size, size, 1.5 * size):
            assert detect_fast(driver.picture, [FaceBox(128, 117, known)])[0].size == pytest.approx(
                size, rel=0.15
            )
        for known in (0.4 * size, 2.4 * size):
            assert not [
                box for box in detect_fast(driver.picture, [FaceBox(128, 117, known)]) if box.votes >= 8
            ]

    def test_sizes_that_no_face_has_are_left_out_and_no_vote_is_lost(
        self, driver: DrawnFace, portrait: DrawnFace, pair: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []
        detected = cascade._run_cascade

        def counted(gray: Any, picture: Any, sizes: Any = None, scale: float = 1.05) -> Any:
            asked.append(sizes)
            return detected(gray, picture, sizes, scale)

        monkeypatch.setattr(cascade, "_run_cascade", counted)
        pictures = (driver.picture, portrait.picture, pair)
        found = [CascadeDetector().detect(picture) for picture in pictures]
        assert [sizes is None for sizes in asked] == [True, False, False, False] * 3
        monkeypatch.setattr(cascade, "_size_range", lambda first: None)
        assert [CascadeDetector().detect(picture) for picture in pictures] == found

    def test_a_head_that_leans(self, driver: DrawnFace) -> None:
        turn = cv2.getRotationMatrix2D((128, 117), 32, 1)
        leaning = cv2.warpAffine(driver.picture, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)
        box = detect_by_votes(leaning)[0]
        assert (box.x, box.y) == pytest.approx((128, 117), abs=12)

    @pytest.mark.parametrize("picture", [BLANK, BLANK[:20, :20], BLANK[:5], data.coffee()[::2, ::2]])
    def test_no_face_where_there_is_none(self, picture: Any) -> None:
        assert CascadeDetector().detect(picture) == []


class TestChoice:
    left, right = FaceBox(20, 30, 20, 50), FaceBox(60, 30, 30, 60)

    @pytest.mark.parametrize(
        ("which", "selected"),
        [("largest", [right]), ("all", [left, right]), (1, [left]), (2, [right])],
    )
    def test_the_selected_one_of_several(self, which: Any, selected: list[FaceBox]) -> None:
        assert find_faces(BLANK + 1, Known([self.right, self.left]), which, "--box") == selected

    @pytest.mark.parametrize("which", [0, 3])
    def test_one_that_is_not_there(self, which: int) -> None:
        with pytest.raises(BadInput, match=r"no face \d: there are 2 faces.*1 to 2"):
            find_faces(BLANK + 1, Known([self.right, self.left]), which, "--box")

    def test_none_at_all_asks_for_a_box(self) -> None:
        with pytest.raises(BadInput, match=r"No face.*--source-box left,top,width,height"):
            find_faces(BLANK, CascadeDetector(), "largest", "--source-box")

    def test_the_first_frame_that_shows_a_face(self) -> None:
        frames = ((index, BLANK + (index > 16)) for index in range(0, 40, 8))
        assert find_reference(frames, Known([self.left, self.right]), "all", "--box") == (24, self.right)
        assert next(frames)[0] == 32
        with pytest.raises(BadInput, match=r"in 5 frames of the driving video"):
            find_reference(((index, BLANK) for index in range(5)), Known([]), 1, "--box")

    def test_a_user_box_snaps_to_the_detected_face_or_stays(self, driver: DrawnFace) -> None:
        drawn = FaceBox.from_rectangle(60, 70, 130, 130)
        assert (drawn.x, drawn.y, drawn.size) == (125, 135, 130)
        snapped = UserBox(drawn).detect(driver.picture)[0]
        assert snapped.votes >= MIN_VOTES
        assert snapped.size == pytest.approx(106, abs=8)
        elsewhere = FaceBox(40, 220, 50)
        assert UserBox(elsewhere).detect(driver.picture) == [elsewhere]

    @pytest.mark.parametrize("box", [FaceBox(-5, 30, 20), FaceBox(30, 80, 20), FaceBox(30, 30, 0)])
    def test_a_box_outside_the_picture(self, box: FaceBox) -> None:
        with pytest.raises(BadInput, match="outside the picture of 64 x 64"):
            UserBox(box).detect(BLANK)

    def test_a_crop_by_a_box_alone_reaches_from_brows_to_chin(self, portrait: DrawnFace) -> None:
        square = estimate_landmark_square(portrait.placement)
        chin, brow = portrait.landmarks[11], portrait.landmarks[[2, 6]].mean(axis=0)
        assert square.y - square.side / 2 == pytest.approx(brow[1] - 0.12 * portrait.placement.size, abs=12)
        assert square.y + square.side / 2 == pytest.approx(chin[1], abs=12)
        assert square.angle == portrait.placement.roll
        leaning = estimate_landmark_square(FacePlacement(0, 0, 100, np.pi / 2))
        assert (leaning.x, leaning.y) == pytest.approx((-13, 0))


class TestTrack:
    """Detections of a face of 40 pixels that moves four pixels from one to the next, and of another one."""

    other = FaceBox(300, 50, 40, 90)

    def detections(self, count: int, gone: Any = (), other: bool = True) -> list[Records]:
        found = []
        for number in range(count):
            here = [] if number in gone else [FaceBox(100 + 4 * number, 50, 40, 20)]
            found.append(to_record([self.other, *here] if other else here))
        return found

    def track(
        self, detections: list[Records], first: FaceBox | None = None, reference: int = 10
    ) -> FaceTrack:
        """Track it over frames 10 and later."""
        span = Span(10, 10 + len(detections) * DETECT_EVERY)
        return follow_face(detections, span, first or FaceBox(100, 50, 40, 99), reference)

    def test_a_record_holds_the_first_faces(self) -> None:
        record = to_record([replace(self.other, votes=0)] * 6)
        assert record.dtype == RECORD
        assert record.nbytes == 16 * MOST_FACES
        assert (record["votes"] == 1).all()
        assert not to_record([])["votes"].any()

    def test_detections_lie_on_a_grid_from_the_first_frame(self) -> None:
        assert [frame for frame in range(10, 40) if is_detection_frame(frame, Span(10, 90))] == [
            10,
            18,
            26,
            34,
        ]

    def test_the_chosen_face_is_followed_past_another(self) -> None:
        track = self.track(self.detections(60))
        assert track.seen.all()
        assert track.gone == []
        box = track.box(10 + 30 * DETECT_EVERY + DETECT_EVERY // 2)
        assert (box.x, box.y, box.size) == pytest.approx((100 + 4 * 30.5, 50, 40))

    def test_its_path_is_smooth(self) -> None:
        jitter = np.random.default_rng(0).normal(0, 3, 60)
        detections = [
            to_record([FaceBox(100 + jitter[i], 50, 40 * (1 + jitter[i] / 60), 20)]) for i in range(60)
        ]
        detections[30] = to_record([FaceBox(118, 50, 52, 20)])
        track = self.track(detections)
        boxes = [track.box(10 + DETECT_EVERY * i) for i in range(60)]
        assert np.std([box.x for box in boxes]) < 1.7
        assert boxes[30].x == pytest.approx(100, abs=4)

    def test_missed_detections_are_interpolated(self) -> None:
        track = self.track(self.detections(40, gone=(20, 21, 22)))
        assert track.gone == []
        assert track.box(10 + 21 * DETECT_EVERY).x == pytest.approx(184, abs=1)
        assert {track.presence(frame) for frame in range(10, 330)} == {1.0}

    def test_one_that_leaves_is_gone_until_it_is_back_anywhere(self) -> None:
        detections = self.detections(20, gone=range(8, 14), other=False)
        detections[14:] = [to_record([FaceBox(240, 90, 70, 12)])] * 6
        track = self.track(detections)
        gone = Span(10 + 7 * DETECT_EVERY + 1, 10 + 14 * DETECT_EVERY)
        assert track.gone == [gone]
        assert track.presence(gone.start) == track.presence(gone.stop - 1) == 0
        assert 0 < track.presence(gone.stop + 3) < 1
        assert track.presence(gone.stop + 30) == track.presence(gone.start - 30) == 1
        assert track.box(gone.stop + 30).size == pytest.approx(70, rel=1e-3)

    def test_nobody_is_there_before_the_reference(self) -> None:
        track = self.track(self.detections(20, gone=range(2)), FaceBox(108, 50, 40), 10 + 2 * DETECT_EVERY)
        assert track.gone == [Span(10, 10 + 2 * DETECT_EVERY)]
        assert track.presence(10) == 0
        assert track.box(10 + 2 * DETECT_EVERY).x == pytest.approx(108, abs=8)

    def test_who_was_beside_it_is_not_the_one_who_comes_back(self) -> None:
        """The other stays, and moves; then somebody comes who was not there."""
        detections = self.detections(40, gone=range(8, 40))
        for number in range(12, 40):
            moved = replace(self.other, x=300 - 3 * (number - 12))
            detections[number] = to_record([moved] if number < 30 else [moved, FaceBox(150, 60, 44, 12)])
        track = self.track(detections)
        assert track.gone == [Span(10 + 7 * DETECT_EVERY + 1, 10 + 30 * DETECT_EVERY)]
        assert track.box(10 + 35 * DETECT_EVERY).x == pytest.approx(150, abs=2)

    def test_a_user_face_that_is_never_detected_stays_where_it_was_marked(self) -> None:
        drawn = FaceBox(30, 400, 60)
        track = self.track(self.detections(20), drawn)
        assert track.gone == []
        assert (track.box(100).x, track.box(100).y) == pytest.approx((30, 400))
