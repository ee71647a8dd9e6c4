"""What the flow engine looks at, what it makes of values around a hole, and what it believes."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.inpainting.flow.blending import WeightedMean
from pipelines.inpainting.flow.clean_plate import CleanPlate
from pipelines.inpainting.flow.confidence import ConfidenceBlend, smooth_fill
from pipelines.inpainting.flow.frame_cache import FrameCache
from pipelines.inpainting.flow.frame_pairs import thumbnail_of
from pipelines.inpainting.flow.frame_view import pixel_grid, point, view
from pipelines.inpainting.flow.harmonic import HarmonicFill, median, medians
from pipelines.inpainting.flow.holes import Hole, holes
from pipelines.inpainting.flow.references import choose_references
from pipelines.spans import Span
from pipelines.vision.crop import Crop

from .flow_clips import Clip, disc, pan, picture

ROOT = Path(__file__).resolve().parents[4]


def sight(*coords: int) -> np.ndarray:
    return np.isin(np.arange(6), coords)


def test_the_frame_that_shows_most_for_its_distance_comes_first() -> None:
    visible = {9: sight(0), 12: sight(0, 1, 2, 3, 4, 5), 18: sight(0, 1, 2, 3, 4, 5)}
    assert choose_references(visible, 10, 3)[0] == 12


def test_a_frame_that_shows_what_is_lacking_comes_before_a_nearer_one() -> None:
    visible = {11: sight(0, 1, 2, 3), 12: sight(0, 1, 2, 3), 7: sight(4, 5)}
    assert choose_references(visible, 10, 2) == [11, 7]


def test_frames_that_are_alike_are_not_all_looked_at() -> None:
    visible = {i: sight(0, 1, 2) for i in range(11, 31)}
    found = choose_references(visible, 10, 4)
    assert found[0] == 11
    assert max(found) >= 14


def test_no_more_frames_are_chosen_than_show_anything() -> None:
    assert choose_references({11: sight(), 12: sight(2), 13: sight()}, 10, 5) == [12]
    assert choose_references({11: sight()}, 10, 5) == []
    assert choose_references({}, 10, 5) == []


def test_a_median_is_one_of_the_values() -> None:
    assert median(np.array([3, 1, 2], np.float32)) == 2
    assert median(np.array([4, 1, 3, 2], np.float32)) == 3
    assert median(np.array([7], np.float32)) == 7


def test_medians_are_of_what_is_seen_in_each_row() -> None:
    values = np.array([[3, 1, 2, 90], [4, 1, 3, 2], [7, 8, 9, 6], [5, 5, 5, 5]], np.float32)
    seen = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]], np.bool_)
    assert medians(values, seen).tolist() == [2, 3, 6, np.inf]


def test_what_is_spread_side_by_side_is_what_is_spread_alone() -> None:
    spread, rng = HarmonicFill(*ring(24, 6), 2), np.random.default_rng(0)
    values = rng.normal(size=(3, len(spread.indices), 2)).astype(np.float32)
    weights = rng.random((3, len(spread.indices))).astype(np.float32)
    together = spread.field(*spread.means(values, weights))
    for field, value, one in zip(together, values, weights, strict=True):
        assert field == pytest.approx(spread.field(*spread.means(value, one)), abs=1e-5)


def ring(side: int, hole: int) -> tuple[np.ndarray, np.ndarray]:
    """What is known around a square hole, and the hole."""
    into = np.zeros((side, side), np.bool_)
    into[hole:-hole, hole:-hole] = True
    return ~into, into


def test_one_value_all_around_is_the_value_within() -> None:
    known, into = ring(40, 8)
    spread = HarmonicFill(known, into, 2)
    values = np.full((len(spread.indices), 2), 5, np.float32)
    field = spread.enlarged(
        spread.field(*spread.means(values, np.ones(len(values), np.float32))), known.shape
    )
    assert field.shape == (40, 40, 2)
    assert field[into] == pytest.approx(5, abs=1e-4)


def test_a_slope_goes_on_within() -> None:
    known, into = ring(40, 8)
    spread = HarmonicFill(known, into, 2)
    across = np.tile(np.arange(40, dtype=np.float32), (40, 1))
    values = np.dstack((across, across.T)).reshape(-1, 2)[spread.indices]
    means = spread.means(values, np.ones(len(values), np.float32))
    field = spread.enlarged(spread.field(*means), known.shape)
    assert np.abs(field[..., 0] - across)[into].mean() < 2
    assert (np.diff(field[20, 9:31, 0]) > 0).all()


def test_what_has_no_weight_says_nothing() -> None:
    known, into = ring(24, 6)
    spread = HarmonicFill(known, into, 2)
    values = np.where(np.arange(len(spread.indices)) % 2, 9, 1).astype(np.float32)[:, None]
    field = spread.field(*spread.means(values, (values[:, 0] < 5).astype(np.float32)))
    assert field.max() == pytest.approx(1, abs=1e-4)
    nothing = spread.field(*spread.means(values, np.zeros(len(values), np.float32)))
    assert not nothing.any()


def test_cells_grow_with_the_crop_so_that_their_number_does_not() -> None:
    for side in (36, 300, 2000):
        spread = HarmonicFill(*ring(side, side // 4), 2)
        assert max(spread.shape) <= 24
        assert spread.shape[0] * spread.cell_px >= side


def test_threads_of_blas_do_not_change_a_bit_of_what_is_spread() -> None:
    code = """
import hashlib
import numpy as np
from pipelines.inpainting.flow.harmonic import HarmonicFill
known = np.ones((150, 150), np.bool_)
spread = HarmonicFill(known, known, 2)
rng = np.random.default_rng(0)
means = rng.normal(size=(len(spread.cells), 3)).astype(np.float32)
weights = rng.random(len(spread.cells)).astype(np.float32)
print(hashlib.sha1(spread.field(means, weights).tobytes()).hexdigest())
"""

    def printed(threads: int) -> str:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert printed(1) == printed(2)


def the_hole(mask: np.ndarray, times: int = 2) -> Hole:
    (hole,) = holes(mask, thumbnail_of(np.zeros((*mask.shape, 3), np.uint8), mask, times).hole, times, 8)
    return hole


def test_what_fits_beside_the_hole_is_taken_as_it_is() -> None:
    hole = the_hole(disc(80, 48, 12))
    known = picture(1)[:96, :160][hole.full.slices]
    colours = known.astype(np.float32) + 3
    found = ConfidenceBlend(hole, known).blend(
        colours, np.full(hole.inside.shape, 0.5, np.float32), hole.inside
    )
    assert np.array_equal(found, colours)


def test_what_is_far_off_beside_the_hole_is_not_believed_within() -> None:
    hole = the_hole(disc(80, 48, 12))
    ground = np.full((*hole.inside.shape, 3), 100, np.uint8)
    ground[::2] = 110
    colours = np.full(ground.shape, 250, np.float32)
    found = ConfidenceBlend(hole, ground).blend(
        colours, np.full(hole.inside.shape, 80, np.float32), hole.inside
    )
    assert np.abs(found[hole.inside] - 105).max() < 12


def test_a_doubt_is_where_a_thing_beside_the_hole_does_not_fit() -> None:
    hole = the_hole(disc(80, 48, 12))
    known = np.full((*hole.inside.shape, 3), 100, np.uint8)
    thing = np.zeros(hole.tight.size[::-1], np.bool_)
    assert ConfidenceBlend(hole, known).object_error(known.astype(np.float32), thing) is None
    thing[:, : thing.shape[1] // 4] = True
    object_error = ConfidenceBlend(hole, known).object_error(known + np.float32(40), thing)
    assert object_error is not None
    middle = object_error[object_error.shape[0] // 2][hole.inside[object_error.shape[0] // 2]]
    assert middle[0] > 2 * middle[-1]


def test_a_smooth_fill_goes_on_with_edges_that_a_film_would_blur() -> None:
    known = ~disc(80, 48, 10)
    edge = np.full((96, 160, 3), 40, np.float32)
    edge[:, 80:] = 200
    drawn = smooth_fill(edge, known)
    assert np.array_equal(drawn[known], edge[known])
    assert drawn[~known].min() >= 40
    assert drawn[~known].max() <= 200
    assert (drawn[48, 86] - drawn[48, 74] > 100).all()


def test_nothing_to_fill_is_nothing_to_draw() -> None:
    colours = np.ones((4, 5, 3), np.float32)
    assert smooth_fill(colours, np.ones((4, 5), np.bool_)) is colours


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_plate_knows_what_a_frame_shows_to_its_last_row(times: int) -> None:
    frame = picture(3)[:95, :157]
    mask = np.zeros(frame.shape[:2], np.bool_)
    mask[75:, 120:] = True
    hole = the_hole(mask, times)
    background = WeightedMean(hole.inside.shape)
    rows, columns = -(-95 // times), -(-157 // times)
    box = Crop(columns // 3, rows // 3, columns, rows)
    still = np.zeros((box.bottom - box.top, box.right - box.left), np.bool_)
    plate = CleanPlate.of(view(0, frame, mask), box, still, hole, background)
    coords = pixel_grid(*box.size) + point(box.left, box.top)
    small = cv2.resize(frame[box.top * times :, box.left * times :], box.size, interpolation=cv2.INTER_AREA)
    assert plate.matches(small, coords, np.eye(3))[2, 2]
    assert not plate.matches(255 - small, coords, np.eye(3))[2, 2]
    assert not plate.matches(small, coords, np.eye(3))[-3, -3], "the hole's background is not known"


def test_a_thing_at_the_last_row_of_a_frame_that_looks_do_not_divide_is_filled() -> None:
    frames, masks = [], []
    for i in range(12):
        frame = cv2.resize(picture(4), (760, 420))[:381, 10 + i : 635 + i].copy()
        thing = frame[310:, 100 + 14 * i : 200 + 14 * i]
        thing[:] = 255 - picture(5)[50:121, 50:150]
        mask = np.zeros(frame.shape[:2], np.bool_)
        mask[345:, 200:320] = True
        frames.append(frame)
        masks.append(mask)
    clip = Clip(frames, masks)
    (fill,) = clip.filled(5, 6)
    assert np.array_equal(fill.pixels[~masks[5]], frames[5][~masks[5]])
    off = np.abs(fill.pixels[masks[5]].astype(int) - frames[5][masks[5]]).mean()
    assert off < np.abs(clip.telea(5)[masks[5]].astype(int) - frames[5][masks[5]]).mean()


def shots(*lengths: int) -> Clip:
    frames = [frame for seed, n in enumerate(lengths, 1) for frame in pan(picture(10 * seed), n)]
    return Clip(frames, [np.zeros((96, 160), np.bool_)] * len(frames))


def footage_of(clip: Clip, reach: int, far: int) -> FrameCache:
    whole = Span(0, len(clip.truth))
    return FrameCache(clip.read, whole, whole, reach, far)


def test_motions_are_chained_there_and_back_and_end_at_a_cut() -> None:
    with footage_of(shots(8, 6), 20, 20) as cache:
        cache.advance(Span(0, 14))
        there, back = cache.motion(1, 6), cache.motion(6, 1)
        assert there is not None
        assert back is not None
        assert (there @ [80, 48, 1])[:2] == pytest.approx((80 - 12.5, 48 - 1.5), abs=0.6)
        assert back @ there == pytest.approx(np.eye(3), abs=1e-6)
        assert cache.motion(3, 3) == pytest.approx(np.eye(3))
        assert cache.motion(6, 9) is cache.motion(9, 6) is None
        assert cache.shot(6, 20) == Span(0, 8)


def test_what_is_known_of_frames_long_ago_is_let_go() -> None:
    def most_kept(frames: int) -> int:
        most, tiny = 0, [frame[:16, :24] for frame in pan(picture(1), frames)]
        with footage_of(Clip(tiny, [np.zeros((16, 24), np.bool_)] * frames), 2, 10) as cache:
            for start in range(0, frames - 4, 2):
                cache.advance(Span(start, start + 2))
                cache.motion(start, start + 2)
                cache.motion(start + 2, start)
                cache.moving(start)
                most = max(most, sum(len(held) for held in vars(cache).values() if isinstance(held, dict)))
        return most

    assert most_kept(120) == most_kept(90)
