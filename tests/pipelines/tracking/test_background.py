"""What moves against the background."""

import numpy as np

from pipelines.spans import Span
from pipelines.tracking.background import FrameSource
from pipelines.vision.crop import Crop

from .moving import Clip, disc_clip


def test_the_difference_is_where_the_disc_is_and_nowhere_else() -> None:
    clip = disc_clip(60, lambda index: (40 + 2 * index, 68))
    source = FrameSource.of(clip.frames_from, Span(0, 60))
    (neighbours,) = source.neighbourhoods(30, 31)
    far = neighbours.difference(Crop(0, 0, 240, 136)) > 24
    assert far[clip.truth[30]].mean() > 0.7
    assert far[~clip.truth[30]].mean() < 0.02


def test_a_scene_is_the_same_from_any_start_and_in_either_direction() -> None:
    clip = disc_clip(60, lambda index: (40 + 2 * index, 68))
    source = FrameSource.of(clip.frames_from, Span(2, 58))
    crop = Crop(30, 20, 200, 120)
    whole = {
        neighbours.current.index: neighbours.difference(crop) for neighbours in source.neighbourhoods(2, 58)
    }
    assert list(whole) == list(range(2, 58))
    (alone,) = source.neighbourhoods(30, 31)
    assert np.array_equal(alone.difference(crop), whole[30])
    back = [
        (neighbours.current.index, neighbours.difference(crop))
        for neighbours in source.neighbourhoods(2, 58, backward=True)
    ]
    assert [index for index, _ in back] == list(range(57, 1, -1))
    assert all(np.array_equal(far, whole[index]) for index, far in back)


def test_no_neighbour_beyond_a_cut_is_looked_at() -> None:
    clip = disc_clip(40, lambda index: (40 + 2 * index, 68))
    cut = Clip([*clip.frames[:20], *(255 - frame[::-1] for frame in clip.frames[20:])], [])
    crop = Crop(0, 0, 240, 136)
    (whole,) = FrameSource.of(cut.frames_from, Span(0, 40)).neighbourhoods(15, 16)
    (before,) = FrameSource.of(cut.frames_from, Span(0, 20)).neighbourhoods(15, 16)
    assert np.array_equal(whole.difference(crop), before.difference(crop))
