"""Dissolves and jumps are found, motion is not taken for either, and the verdicts do not depend on blocks."""

import itertools
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.animation.takes import shot_stage
from pipelines.example.moving_face import DrawnFace, MovingFace, Pose, speaking
from pipelines.spans import Span
from pipelines.vision.dissolves import REACH, find_dissolves, without_overlaps
from pipelines.vision.shots import CONTEXT, find_jumps, flow_back, largest_step, residual, thumbnail

SIDE = 128


def small(frame: Any) -> Any:
    gray = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def rows_of(frames: list[Any]) -> Any:
    """Measure small frames as the pass does."""
    rows = np.zeros(len(frames), shot_stage.ROW)
    for row, now in zip(rows, frames, strict=True):
        row["grid"], row["residual"], row["step"] = thumbnail(now), np.nan, np.nan
    for row, (before, now) in zip(rows[1:], itertools.pairwise(frames), strict=True):
        flow = flow_back(now, before)
        row["residual"], row["step"] = residual(now, before, flow), largest_step(flow)
    return rows


def found(rows: Any) -> list[tuple[int, int]]:
    candidates = find_dissolves(rows["grid"], rows["residual"], 0, len(rows))
    return [(each.start, each.stop) for each in without_overlaps(candidates)]


def noisy(frames: list[Any], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [np.clip(frame + rng.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


@pytest.fixture(scope="module")
def people(driver: DrawnFace, portrait: DrawnFace) -> list[list[Any]]:
    """Two people who sway, 90 frames each."""
    found = []
    for face, phase in ((driver, 0.0), (portrait, 1.3)):
        picture = small(face.picture)
        turns = [
            np.array(cv2.getRotationMatrix2D((64, 60), 3 * np.sin(0.14 * index + phase), 1))
            for index in range(90)
        ]
        for index, turn in enumerate(turns):
            turn[0, 2] += 2 * np.sin(0.1 * index)
        found.append(
            [cv2.warpAffine(picture, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE) for turn in turns]
        )
    return found


def dissolved(people: list[list[Any]], length: int) -> list[Any]:
    first, second = people
    mixed = [
        cv2.addWeighted(first[60 + k], 1 - share, second[k], share, 0)
        for k, share in enumerate((k + 1) / (length + 1) for k in range(length))
    ]
    return noisy([*first[:60], *mixed, *second[length : length + 50]])


@pytest.mark.parametrize("length", [5, 10, 20, 30])
def test_a_dissolve_is_found_with_its_frames(people: list[list[Any]], length: int) -> None:
    ((start, stop),) = found(rows_of(dissolved(people, length)))
    assert abs(start - 60) <= 3 and abs(stop - 60 - length) <= 3


def test_motion_and_light_are_no_dissolves(people: list[list[Any]], driver: DrawnFace) -> None:
    room = cv2.resize(driver.picture, (280, 280), interpolation=cv2.INTER_AREA)
    pans = [
        noisy(
            [
                small(room[40:200, round(x) : round(x) + 160])
                for x in np.clip((np.arange(90) - 25) * speed, 0, 110)
            ]
        )
        for speed in (0.8, 2, 5)
    ]
    moving = MovingFace(driver)
    sway = noisy([small(moving.frame(Pose(right=0.12 * np.sin(index / 14)))) for index in range(0, 90, 2)])
    dimmed = noisy(
        [(frame * min(1, max(0.4, 1 - (index - 30) / 40))) for index, frame in enumerate(people[0])]
    )
    for frames in (*pans, sway, dimmed, noisy(people[0] + people[1])):
        assert found(rows_of(frames)) == []


@pytest.mark.parametrize("shift", [(0.09, 0.0), (-0.15, 0.02)])
def test_a_face_that_is_elsewhere_at_once_is_a_jump(driver: DrawnFace, shift: tuple[float, float]) -> None:
    moving, (right, down) = MovingFace(driver), shift
    poses = speaking(16)
    later = [Pose(right=pose.right + 2 * right, down=pose.down + 2 * down, open=pose.open) for pose in poses]
    for frames, want in (
        ([moving.frame(pose) for pose in (*poses, *later[:10])], [16]),
        ([moving.frame(pose) for pose in poses], []),
    ):
        rows = rows_of(noisy([small(frame) for frame in frames]))
        assert np.flatnonzero(find_jumps(rows["step"])).tolist() == want


def test_another_framing_at_once_is_a_jump_and_a_fast_pan_is_none(driver: DrawnFace) -> None:
    room = cv2.resize(driver.picture, (320, 320), interpolation=cv2.INTER_AREA)
    at = [10] * 12 + [26] * 12, np.maximum(0, np.arange(24) - 8) * 8, np.repeat(np.arange(12) * 7, 2)
    jumps = []
    for lefts in at:
        rows = rows_of(noisy([small(room[20:180, left : left + 160]) for left in lefts]))
        jumps.append(np.flatnonzero(find_jumps(rows["step"])).tolist())
    assert jumps[0] == [12]
    assert jumps[2] == [], "on twos, every other frame moves"
    assert 9 not in jumps[1][1:] and len(jumps[1]) == 0


@pytest.mark.parametrize("frames", [13, 40])
def test_a_shake_beside_the_first_or_last_frame_is_no_jump(driver: DrawnFace, frames: int) -> None:
    room = cv2.resize(driver.picture, (320, 320), interpolation=cv2.INTER_AREA)

    def jumps(at: int) -> list[int]:
        lefts = [10] * at + [20] * (frames - at)
        rows = rows_of(noisy([small(room[20:180, left : left + 160]) for left in lefts]))
        return np.flatnonzero(find_jumps(rows["step"])).tolist()

    assert [jumps(at) for at in (1, 2, frames - 2, frames - 1)] == [[]] * 4
    assert [jumps(at) for at in (3, frames // 2, frames - 3)] == [[3], [frames // 2], [frames - 3]]


def test_the_first_frame_has_no_step() -> None:
    first, second = (np.full((SIDE, SIDE), level, np.uint8) for level in (90, 91))
    assert np.isnan(shot_stage._measure(first, None)["step"])
    assert shot_stage._measure(second, first)["step"] == 0


def test_dissolves_are_the_same_however_the_rows_are_split(
    people: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of([*dissolved(people, 12), *people[0][:70]])
    wanted = None
    for length in (len(rows), 80, 37, CONTEXT, 1):
        blocks = [rows[at : at + length] for at in range(0, len(rows), length)]
        monkeypatch.setattr(shot_stage, "read_rows", lambda run, blocks=blocks: iter(blocks))
        shots = shot_stage.read_shots(Run(Span(7, 7 + len(rows))))
        assert shots.spans[0].start == 7 and shots.spans[-1].stop == 7 + len(rows)
        assert sum(shots.mixed) == 1
        wanted = wanted or (shots.spans, shots.mixed)
        assert (shots.spans, shots.mixed) == wanted
        for span, edge in zip(shots.spans, shots.edges, strict=True):
            for grid, index in zip(edge, (span.start, span.stop - 1), strict=True):
                assert np.array_equal(grid, rows["grid"][index - 7])
    assert len(rows) > 2 * REACH


class Run:
    """As much of a run as the shots need."""

    def __init__(self, frames: Span) -> None:
        self.frames = frames
