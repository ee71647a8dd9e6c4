"""Takes: at a cut the driving is followed anew, after a flash as before; and why the portrait holds still."""

import itertools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.track import DETECT_EVERY, to_record
from pipelines.animation.takes import detection_stage, shot_stage
from pipelines.animation.takes.rest import REASONS, Rest, Rests, cut_warning, find_rests
from pipelines.animation.takes.shot_stage import Shots
from pipelines.animation.takes.takes import Takes, make_takes
from pipelines.spans import Span
from pipelines.vision.shots import CONTEXT, GRID, find_cuts, find_zoom_cuts, flow_back, zoom_step

MAN, WOMAN, LEFT, RIGHT = (
    FaceBox(100, 80, 60, 90),
    FaceBox(180, 90, 90, 90),
    FaceBox(60, 60, 40, 90),
    FaceBox(200, 60, 38, 90),
)
ROOM, GARDEN, GREEN = 0, 1, 2
"""Layouts: two places, and nothing but one colour."""


def layout(place: int) -> Any:
    if place == GREEN:
        return np.full(GRID, 210, np.uint8)
    return np.random.default_rng(place).integers(0, 128, GRID).astype(np.uint8)


class Shot:
    """Frames of a shot, its place, and the faces of each detection; `kept` are those that a cut left as they were."""

    def __init__(
        self,
        frames: int,
        place: int,
        *faces: Sequence[FaceBox],
        kept: Sequence[FaceBox] = (),
        mixed: bool = False,
    ) -> None:
        self.frames, self.place, self.kept, self.mixed = frames, place, kept, mixed
        count = -(-frames // DETECT_EVERY)
        self.faces = (list(faces) + [faces[-1]] * count)[:count]


def takes_of(*shots: Shot, which: Any = "largest") -> tuple[Takes, Any]:
    """Make takes of shots; returns them and the measurements of all frames."""
    spans, edges, rows, start, measured = [], [], [], 0, []
    for shot in shots:
        spans.append(Span(start, start + shot.frames))
        edges.append((layout(shot.place), layout(shot.place)))
        for number, faces in enumerate(shot.faces):
            row = np.zeros((), detection_stage.ROW)
            row["faces"] = to_record(faces)
            row["kept"][: len(faces)] = [number == 0 and face in shot.kept for face in faces]
            rows.append(row)
        block = np.zeros(shot.frames, shot_stage.ROW)
        block["grid"] = layout(shot.place)
        measured.append(block)
        start += shot.frames
    found = next(
        (span.start + DETECT_EVERY * number, faces[0])
        for span, shot in zip(spans, shots, strict=True)
        for number, faces in enumerate(shot.faces)
        if faces
    )
    found_shots = Shots(tuple(spans), tuple(edges), tuple(shot.mixed for shot in shots))
    return make_takes(found_shots, iter(rows), found, which), measured


def parts(takes: Takes) -> list[tuple[int, int, int | None]]:
    return [
        (take.frames.start, take.frames.stop, take.track.reference if take.track else None)
        for take in takes.takes
    ]


def test_a_cut_to_another_person_begins_a_take() -> None:
    takes, _ = takes_of(Shot(50, ROOM, [MAN]), Shot(50, ROOM, [WOMAN]))
    assert parts(takes) == [(0, 50, 0), (50, 100, 50)]
    assert takes.cuts == [50]
    before, after = (take.track for take in takes.takes)
    assert before and after
    assert [before.presence(frame) for frame in (30, 45, 49)] == [1.0, 0.5, 0.1]
    assert [after.presence(frame) for frame in (50, 99)] == [1.0, 1.0]
    assert after.box(60).size == pytest.approx(90, abs=1)


def test_a_dissolve_belongs_to_neither_shot() -> None:
    mixed = Shot(20, GARDEN, [MAN, WOMAN], mixed=True)
    takes, measured = takes_of(Shot(50, ROOM, [MAN]), mixed, Shot(50, GARDEN, [WOMAN]))
    assert parts(takes) == [(0, 50, 0), (50, 70, None), (70, 120, 70)]
    assert takes.cuts == [70]
    presence = np.ones(120, np.float32)
    presence[50:70] = 0
    rests = find_rests(takes, [presence], measured, Span(0, 120))
    assert rests.kept == [Rest(Span(50, 70), "dissolve")]


def test_the_reference_of_a_later_shot_is_its_first_frame_with_a_face() -> None:
    takes, _ = takes_of(Shot(30, ROOM, [MAN]), Shot(40, GARDEN, [], [], [WOMAN]))
    assert parts(takes) == [(0, 30, 0), (30, 70, 46)]
    assert takes.gone == [Span(30, 46)]


def test_the_face_of_a_later_shot_is_chosen_as_that_of_the_first() -> None:
    both = [LEFT, RIGHT]
    for which, size in (("largest", 40), (1, 40), (2, 38)):
        takes, _ = takes_of(Shot(30, ROOM, both), Shot(30, GARDEN, both), which=which)
        assert takes.takes[1].track
        assert takes.takes[1].track.first.size == size
    takes, _ = takes_of(Shot(30, ROOM, both), Shot(30, GARDEN, [MAN]), which=2)
    assert takes.takes[1].track
    assert takes.takes[1].track.first.size == 60, "the only one there is"


def test_a_stranger_who_stays_is_not_the_one_who_left() -> None:
    takes, _ = takes_of(Shot(40, ROOM, [LEFT, RIGHT]), Shot(60, GARDEN, [RIGHT], kept=[RIGHT]), which=1)
    assert parts(takes) == [(0, 100, 0)]
    assert takes.gone == [Span(40, 100)], "from where he left, not from where he was last seen"


def test_somebody_new_beside_one_who_stays_is_followed() -> None:
    """Such as an interpreter in the corner of news."""
    takes, _ = takes_of(Shot(40, ROOM, [WOMAN, LEFT]), Shot(40, GARDEN, [MAN, LEFT], kept=[LEFT]))
    assert parts(takes) == [(0, 40, 0), (40, 80, 40)]
    assert takes.takes[1].track
    assert takes.takes[1].track.first.size == MAN.size


def test_a_face_that_a_cut_leaves_as_it_was_is_followed_on() -> None:
    takes, _ = takes_of(Shot(40, ROOM, [LEFT]), Shot(40, GARDEN, [LEFT], kept=[LEFT]))
    assert parts(takes) == [(0, 80, 0)]
    assert takes.cuts == []


def test_after_a_flash_the_same_shot_goes_on() -> None:
    takes, measured = takes_of(Shot(25, ROOM, [MAN]), Shot(16, GREEN, []), Shot(30, ROOM, [MAN]))
    assert parts(takes) == [(0, 71, 0)]
    track = takes.takes[0].track
    assert track
    assert [track.presence(frame) for frame in (10, 24, 25, 40, 41, 60)] == [1.0, 0.1, 0, 0, 0.1, 1.0]
    presence = np.array([track.presence(frame) for frame in range(71)], np.float32)
    rests = find_rests(takes, [presence[:30], presence[30:]], split(measured, 30), Span(0, 71))
    assert rests.kept == [Rest(Span(25, 41), "flash")]


@pytest.mark.parametrize(
    ("between", "after"),
    [
        (Shot(16, GREEN, []), Shot(30, GARDEN, [MAN])),
        (Shot(16, GREEN, []), Shot(30, ROOM, [WOMAN])),
        (Shot(300, GREEN, []), Shot(30, ROOM, [MAN])),
    ],
)
def test_what_is_another_shot_after_a_flash_is_followed_anew(between: Shot, after: Shot) -> None:
    takes, _ = takes_of(Shot(25, ROOM, [MAN]), between, after)
    start = 25 + between.frames
    assert parts(takes) == [(0, 25, 0), (25, start, None), (start, start + 30, start)]
    assert takes.cuts == [start]


def split(measured: list[Any], *at: int) -> list[Any]:
    return np.split(np.concatenate(measured), at)


def reasons(takes: Takes, measured: list[Any], presence: Any) -> list[tuple[int, int, str]]:
    rests = find_rests(takes, [np.asarray(presence)], split(measured), Span(0, len(presence)))
    return [(rest.frames.start, rest.frames.stop, rest.reason) for rest in rests.kept]


def test_every_stretch_has_its_reason() -> None:
    nobody: Sequence[FaceBox] = []
    takes, measured = takes_of(
        Shot(16, GREEN, nobody),
        Shot(100, ROOM, *[[MAN]] * 4, *[nobody] * 2, *[[MAN]] * 10),
        Shot(40, GARDEN, nobody),
    )
    presence = np.ones(156)
    presence[:16] = presence[116:] = 0
    presence[50:63] = presence[80:90] = presence[100] = 0
    assert reasons(takes, measured, presence) == [
        (0, 16, "no_face"),
        (50, 63, "covered"),
        (80, 90, "unlike"),
        (100, 101, "covered"),
        (116, 156, "cut"),
    ]
    measured[1]["grid"][36] = 255  # frame 52
    assert reasons(takes, measured, presence)[1] == (50, 63, "flash")
    assert set(REASONS) == {"no_face", "cut", "dissolve", "flash", "covered", "unlike"}


def test_stretches_and_cuts_are_told_in_frames_and_seconds() -> None:
    rests = Rests()
    assert rests.warning(float) is None
    rests.add(Rest(Span(50, 100), "covered"))
    rests.add(Rest(Span(120, 121), "flash"))
    told = rests.warning(lambda frame: frame / 25)
    assert told
    assert "holds still on frames 50 to 99 (2.00 to 4.00 s: the driving face is covered" in told
    assert "; frame 120 (4.80 to 4.84 s: a flash" in told
    assert rests.kept[0].describe(lambda frame: frame / 25) == {
        "frames": [50, 100],
        "seconds": [2.0, 4.0],
        "reason": "covered",
    }
    for _ in range(2000):
        rests.add(Rest(Span(200, 202), "unlike"))
    assert (rests.count, rests.frames, len(rests.kept)) == (2002, 4051, 1000)
    told = rests.warning(float)
    assert told and "and 1998 more times" in told
    assert cut_warning([], float) is None
    told = cut_warning([50, 60, 70, 80, 90], lambda frame: frame / 25)
    assert told and "cuts at frame 50 (2.00 s), frame 60 (2.40 s)" in told and "1 more times" in told


def test_cuts_are_the_same_however_the_rows_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    rows = np.zeros(200, shot_stage.ROW)
    rows["residual"] = rng.uniform(0, 2, 200)
    rows["residual"][0] = np.nan
    places = np.repeat(rng.integers(0, 255, (6, *GRID)), (3, 40, 41, 60, 50, 6), axis=0)
    rows["grid"] = places
    rows["residual"][[3, 43, 84, 144, 194]] = 60
    want = np.flatnonzero(find_cuts(rows["grid"], rows["residual"])).tolist()
    assert want == [3, 43, 84, 144, 194]
    for length in (200, 100, 37, CONTEXT, 1):
        blocks = [rows[at : at + length] for at in range(0, 200, length)]
        monkeypatch.setattr(shot_stage, "read_rows", lambda run, blocks=blocks: iter(blocks))
        shots = shot_stage.read_shots(Run(Span(10, 210)))
        assert [span.start - 10 for span in shots.spans] == [0, *want]
        assert shots.spans[-1].stop == 210
        for span, (first, last) in zip(shots.spans, shots.edges, strict=True):
            assert np.array_equal(first, rows["grid"][span.start - 10])
            assert np.array_equal(last, rows["grid"][span.stop - 11])


class Run:
    """As much of a run as the shots need."""

    def __init__(self, frames: Span) -> None:
        self.frames = frames


@pytest.mark.parametrize("scale", [1.1, 1.2, 1.3, 0.85])
def test_a_step_of_the_zoom_is_a_cut_and_a_moving_camera_is_none(scale: float) -> None:
    small = cv2.cvtColor(
        cv2.resize(data.astronaut(), (128, 128), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    )

    def shown(zoom: float) -> Any:
        matrix = np.array(cv2.getRotationMatrix2D((64, 50), 0, zoom))
        return cv2.warpAffine(small, matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE)

    steady = [1 + 0.008 * index for index in range(30)]
    for zooms, cuts in (([1.0] * 12 + [scale] * 12, [12]), (steady, [])):
        frames = [shown(zoom) for zoom in zooms]
        steps = [0.0, *(zoom_step(flow_back(now, before)) for before, now in itertools.pairwise(frames))]
        assert np.flatnonzero(find_zoom_cuts(np.array(steps))).tolist() == cuts
