"""Promises of the built-in engine: it follows motion, rests without it, and any span comes out the same."""

import itertools
import weakref
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.animation.faces.aligned_view import SIDE_PX
from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.track import FaceTrack
from pipelines.animation.warp import flow_warp as flowwarp
from pipelines.animation.warp.driving_flow import Motion
from pipelines.animation.warp.flow_warp import HALO, FlowWarp, WarpedFrame, first_needed
from pipelines.animation.warp.fold_removal import smallest_areas
from pipelines.animation.warp.mesh_warp import MeshWarp
from pipelines.example.moving_face import LOWER, UPPER, DrawnFace, MovingFace, Pose
from pipelines.spans import Span

Reader = Callable[[int, int], Generator[Any]]


def reader(frames: list[Any]) -> Reader:
    def read(start: int, stop: int) -> Generator[Any]:
        yield from frames[start:stop]

    return read


def engine(portrait: DrawnFace, driver: DrawnFace, reference: Any, driving: Any = None) -> FlowWarp:
    return FlowWarp(portrait.picture, [portrait.box], reference, driving or driver.box)


def animated(warp: FlowWarp, frames: list[Any], start: int = 0, stop: int | None = None) -> list[WarpedFrame]:
    return list(warp.frames(reader(frames), Span(0, len(frames)), start, stop or len(frames)))


@pytest.fixture(scope="module")
def warp(portrait: DrawnFace, driver: DrawnFace, clip: list[Any]) -> FlowWarp:
    return engine(portrait, driver, clip[0])


@pytest.fixture(scope="module")
def motions(warp: FlowWarp, clip: list[Any]) -> list[Motion | None]:
    return [motion for _, motion in warp._motions((f for f in clip), Span(0, len(clip)), 0)]


@pytest.fixture(scope="module")
def result(warp: FlowWarp, clip: list[Any]) -> list[WarpedFrame]:
    return animated(warp, clip)


@pytest.fixture
def short_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten chains, so that a short clip has several."""
    for name, frames in (("CHAIN_FRAMES", 10), ("WARM_UP_FRAMES", 4), ("_BLEND_FRAMES", 2)):
        monkeypatch.setattr(flowwarp, name, frames)


def landed(warp: FlowWarp, motion: Motion | None, face: DrawnFace) -> Any:
    """Locate the landmarks of `face` after the warp: dots on black are warped and found again."""
    if motion is None:
        return face.landmarks
    still = replace(motion, opening=np.zeros_like(motion.opening))
    found = []
    for group in range(3):
        dots = np.zeros_like(face.picture)
        for x, y in face.landmarks[group::3]:
            cv2.circle(dots, (round(x * 16), round(y * 16)), 48, (255, 255, 255), -1, cv2.LINE_AA, 4)
        bent = warp._meshes[0].apply(dots, flowwarp.limit_motion(still, 1.0))[0][..., 0].astype(np.float64)
        found.append([centre_of_light(bent, *place) for place in face.landmarks[group::3]])
    return np.array([found[i % 3][i // 3] for i in range(len(face.landmarks))])


def centre_of_light(picture: Any, x: float, y: float, reach: int = 22) -> tuple[float, float]:
    left, top = round(x) - reach, round(y) - reach
    part = picture[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
    rows, columns = np.indices(part.shape)
    return left + float((columns * part).sum() / part.sum()), top + float((rows * part).sum() / part.sum())


def test_landmarks_go_where_the_driving_face_takes_them(
    warp: FlowWarp, motions: list[Motion | None], portrait: DrawnFace, driver: DrawnFace, poses: list[Pose]
) -> None:
    """Errors without lids and lips, in distances of the eye corners; eyes open and close."""
    moving, errors, extent, eyes = MovingFace(driver), [], [], []
    for pose, motion in list(zip(poses, motions, strict=True))[::3]:
        change = (moving.landmarks(pose) - moving.landmarks(poses[0])) / driver.eyes_apart
        found = (landed(warp, motion, portrait) - portrait.landmarks) / portrait.eyes_apart
        stiff = [0, 1, 4, 5, 8, 9, 10, 11]
        errors.append(np.hypot(*(found - change)[stiff].T).mean())
        extent.append(np.hypot(*change[stiff].T).mean())
        eyes.append([float((moved[LOWER] - moved[UPPER])[:, 1].sum()) for moved in (found, change)])
    assert np.mean(extent) > 0.06
    assert np.mean(errors) < 0.024
    assert np.corrcoef(np.array(eyes).T)[0, 1] > 0.6


def test_the_mouth_opens_as_the_driving_mouth_does(
    result: list[WarpedFrame], portrait: DrawnFace, poses: list[Pose]
) -> None:
    x, y = portrait.landmarks[8:10].mean(axis=0).round().astype(int)
    heights = []
    for frame in result:
        column = cv2.cvtColor(frame.pixels[y - 10 : y + 40, x - 8 : x + 9], cv2.COLOR_RGB2GRAY)
        heights.append(np.median((column < 60).sum(axis=0)))
    assert np.corrcoef(heights, [pose.open for pose in poses])[0, 1] > 0.88


def test_the_first_frame_is_the_source_and_so_is_one_without_motion(
    warp: FlowWarp, result: list[WarpedFrame], clip: list[Any], portrait: DrawnFace
) -> None:
    assert np.array_equal(result[0].pixels, portrait.picture)
    assert not np.array_equal(result[9].pixels, portrait.picture)
    back = animated(warp, [clip[0], clip[9], clip[0]])[-1]
    assert np.array_equal(back.pixels, portrait.picture)


def test_the_source_is_left_as_it_was(result: list[WarpedFrame], portrait: DrawnFace) -> None:
    result[0].pixels[:] = 0
    assert portrait.picture.any()


def test_what_is_far_from_the_face_stays_to_the_bit(driver: DrawnFace, clip: list[Any]) -> None:
    wide = np.pad(driver.picture, ((0, 200), (100, 200), (0, 0)), "reflect")
    box = replace(driver.box, x=driver.box.x + 100)
    frames = list(FlowWarp(wide, [box], clip[0], driver.box).frames(reader(clip), Span(0, 10), 8, 10))
    for frame in frames:
        same = (frame.pixels == wide).all(axis=2)
        assert not same.all()
        assert same[:, 420:].all()
        assert same[330:].all()


@pytest.mark.usefixtures("short_chains")
def test_any_span_comes_out_the_same(driver: DrawnFace, clip: list[Any]) -> None:
    warp = engine(driver, driver, clip[0])
    whole = [frame.pixels for frame in animated(warp, clip[:27])]
    for start, stop in ((3, 9), (9, 12), (18, 27), (20, 21)):
        part = animated(warp, clip[:27], start, stop)
        assert len(part) == stop - start
        for frame, expected in zip(part, whole[start:stop], strict=True):
            assert np.array_equal(frame.pixels, expected)


@pytest.mark.usefixtures("short_chains")
def test_chains_go_over_into_each_other(
    warp: FlowWarp, clip: list[Any], motions: list[Motion | None]
) -> None:
    """What begins anew is no farther from the one unbroken chain than a frame from the next."""
    chained = [motion for _, motion in warp._motions((f for f in clip), Span(0, len(clip)), 0)]
    off = [np.abs(a.face - b.face).mean() for a, b in zip(chained[11:], motions[11:], strict=True) if a and b]
    steps = [np.abs(a.face - b.face).mean() for a, b in itertools.pairwise(motions) if a and b]
    assert max(off) > 0
    assert np.mean(off) < np.mean(steps)


@pytest.mark.parametrize("start", [0, 1, 63, 64, 100, 128, 1000])
def test_no_more_is_read_than_the_halo_says(start: int) -> None:
    frames = Span(5, 5000)
    first = first_needed(5 + start, frames)
    assert max(5, 5 + start - HALO) <= first <= 5 + start


@pytest.mark.usefixtures("short_chains")
def test_driving_frames_are_read_once_and_not_kept(warp: FlowWarp, clip: list[Any]) -> None:
    given: list[weakref.ref[Any]] = []
    most, extent, closed = 0, [], []

    class Frame(np.ndarray):
        pass

    def read(start: int, stop: int) -> Generator[Any]:
        nonlocal most
        extent.append((start, stop))
        try:
            for index in range(start, stop):
                frame = clip[index].copy().view(Frame)
                given.append(weakref.ref(frame))
                most = max(most, sum(one() is not None for one in given))
                yield frame
        finally:
            closed.append(True)

    results = warp.frames(read, Span(0, 40), 25, 40)
    for _ in range(8):
        next(results)
    assert not closed
    results.close()
    assert extent == [(16, 40)]
    assert closed
    assert most <= 2


def test_maps_never_fold(
    warp: FlowWarp, motions: list[Motion | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    areas: list[float] = []
    remapped = MeshWarp._remap

    def seen(self: MeshWarp, picture: Any, px: Any) -> Any:
        areas.append(float(smallest_areas(px, self._step).min()))
        return remapped(self, picture, px)

    monkeypatch.setattr(MeshWarp, "_remap", seen)
    rng = np.random.default_rng(0)
    for scale in (2, 6, 20):
        face = cv2.GaussianBlur(rng.normal(0, 1, (SIDE_PX, SIDE_PX, 2)).astype(np.float32), (0, 0), scale)
        turn = cv2.getRotationMatrix2D((104, 104), float(rng.uniform(-60, 60)), float(rng.uniform(0.7, 1.4)))
        turn[:, 2] += rng.uniform(-60, 60, 2)
        wild = replace(motions[4], head=turn, face=face * (22 / np.abs(face).max()))
        warp._render(0, wild)
    assert len(areas) == 3
    assert min(areas) > 0


def test_a_face_that_is_gone_leaves_the_portrait_at_rest(
    warp: FlowWarp, clip: list[Any], portrait: DrawnFace
) -> None:
    nobody = [np.full_like(clip[0], 20)] * 2
    frames = animated(warp, [*clip[:8], *nobody, *clip[8:20]])
    assert frames[7].presence == 1
    for frame in frames[8:10]:
        assert frame.presence == 0
        assert np.array_equal(frame.pixels, portrait.picture)
    seen = [frame.presence for frame in frames[10:]]
    assert 0 < seen[0] < 1
    assert seen[-1] == 1
    assert seen == sorted(seen)


def test_a_track_tells_where_the_face_is_and_when_it_is_gone(
    portrait: DrawnFace, driver: DrawnFace, clip: list[Any]
) -> None:
    """A face that is half a box away is followed by its track, and lost without."""
    shift = 60
    moved = [clip[0], *(np.roll(frame, shift, axis=1) for frame in clip[1:20])]
    box = driver.box
    path = np.array([(box.x, box.y, np.log(box.size)), *[(box.x + shift, box.y, np.log(box.size))] * 9])
    track = FaceTrack(Span(0, 80), box, 0, path, np.array([True] * 4 + [False] * 4 + [True] * 2))
    with_track = engine(portrait, driver, clip[0], track)
    assert [frame.presence for frame in animated(with_track, moved)[8:16]] == [1.0] * 8
    assert min(frame.presence for frame in animated(engine(portrait, driver, clip[0]), moved)[8:16]) < 1
    rests = with_track._render(40, with_track._chain(0).follow(moved[5]))
    assert rests.presence == 0
    assert np.array_equal(rests.pixels, portrait.picture)


@pytest.mark.parametrize(
    ("pose", "words"),
    [
        (Pose(right=0.03, lean=0.05), None),
        (Pose(right=0.3), "eye distances"),
        (Pose(lean=0.5), "degrees"),
    ],
)
def test_more_motion_than_can_be_followed_is_measured(
    warp: FlowWarp, driver: DrawnFace, clip: list[Any], pose: Pose, words: str | None
) -> None:
    moving = MovingFace(driver)
    steps = [Pose(pose.right * k, lean=pose.lean * k) for k in (0.25, 0.5, 0.75, 1.0)]
    extent = animated(warp, [clip[0], *(moving.frame(step) for step in steps)])[-1].extent
    told = extent.merged(extent).warning()
    assert told is None if words is None else words in (told or "")


def test_several_faces_are_driven_at_once(driver: DrawnFace, clip: list[Any]) -> None:
    pair = np.hstack((driver.picture, driver.picture))
    boxes = [driver.box, replace(driver.box, x=driver.box.x + 256)]
    frame = next(
        iter(FlowWarp(pair, boxes, clip[0], driver.box).frames(reader(clip), Span(0, 10), 9, 10))
    ).pixels
    one = next(
        iter(FlowWarp(pair, boxes[:1], clip[0], driver.box).frames(reader(clip), Span(0, 10), 9, 10))
    ).pixels
    assert not np.array_equal(frame[80:180, 340:440], pair[80:180, 340:440])
    assert np.array_equal(one[80:180, 340:440], pair[80:180, 340:440])
    assert not np.array_equal(one[80:180, 80:180], pair[80:180, 80:180])


def test_a_face_at_the_border_of_a_small_gray_picture(driver: DrawnFace, clip: list[Any]) -> None:
    gray = np.repeat(cv2.cvtColor(driver.picture, cv2.COLOR_RGB2GRAY)[40:180, 60:200, None], 3, axis=2)
    small = np.ascontiguousarray(gray[:, :-1])
    box = FaceBox(driver.box.x - 60, driver.box.y - 40, driver.box.size)
    frames = list(FlowWarp(small, [box], clip[0], driver.box).frames(reader(clip), Span(0, 8), 5, 8))
    for frame in frames:
        assert frame.pixels.shape == small.shape
        # Also the mouth, which comes from a picture in colours.
        assert np.ptp(frame.pixels.astype(np.int16), axis=2).max() <= 2
