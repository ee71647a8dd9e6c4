"""Where frames lie: sizes as they are published, room around them, and results that keep the source's pixels."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.inpainting.propainter.canvas import Canvas, CanvasPlacement, asked_size
from pipelines.inpainting.propainter.streaming import Painted
from pipelines.settings import InpaintSettings


def published(**more: object) -> InpaintSettings:
    return InpaintSettings(reference_output=True, **more)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "asked, size, computed",
    [
        ({}, (854, 480), (848, 480)),
        ({"width": 170, "height": 139}, (170, 139), (168, 136)),
        ({"resize_ratio": 0.5}, (427, 240), (424, 240)),
        ({"width": 400}, (400, 225), (400, 224)),
        ({"height": 300}, (534, 300), (528, 296)),
    ],
)
def test_the_published_output_has_the_size_that_is_asked_for(asked, size, computed):
    settings = published(**asked)
    assert asked_size((854, 480), settings, 10, 10) == size
    canvas = Canvas.of((854, 480), settings, size)
    assert (canvas.output, canvas.work.whole, canvas.work.picture) == (size, computed, computed)


@pytest.mark.parametrize(
    "asked, limits, size",
    [
        ({}, (2000, 10**7), (854, 480)),
        ({}, (427, 10**7), (427, 240)),
        ({}, (2000, 854 * 120), (427, 240)),
        ({"width": 400, "height": 240}, (100, 10), (400, 240)),
        ({"resize_ratio": 0.5}, (100, 10), (427, 240)),
    ],
)
def test_otherwise_it_is_computed_at_what_is_asked_for_or_up_to_the_limits(asked, limits, size):
    assert asked_size((854, 480), InpaintSettings(**asked), *limits) == size


def test_outpainting_makes_room_around_the_picture():
    canvas = Canvas.of((128, 128), published(mode="video_outpainting"), (128, 128))
    assert canvas.work == CanvasPlacement((128, 128), (152, 128), 12, 0)
    assert canvas.output == (128, 128)
    hole, unknown = canvas.small_hole(None), canvas.flow_mask
    assert not hole[:, 12:140].any() and hole[:, :12].all() and hole[:, 140:].all()
    assert not unknown[:, 16:136].any() and unknown[:, :16].all() and unknown[:, 136:].all()
    frame = noise(128, 128)
    placed = canvas.small_frame(frame)
    assert np.array_equal(placed[:, 12:140], frame)
    assert not placed[hole].any()


def test_flows_are_believed_to_the_border_where_there_is_little_room():
    settings = published(mode="video_outpainting", scale_w=1.1, scale_h=1.25)
    canvas = Canvas.of((128, 128), settings, (128, 128))
    assert canvas.work == CanvasPlacement((128, 128), (136, 160), 4, 16)
    assert np.array_equal(~canvas.flow_mask, np.pad(np.ones((120, 128), np.bool_), ((20, 20), (4, 4))))


def test_an_outpainted_result_has_the_sources_pixels_and_its_aspect():
    settings = InpaintSettings(mode="video_outpainting")
    canvas = Canvas.of((854, 480), settings, (424, 240))
    assert canvas.work.whole == (504, 240)
    assert canvas.output == canvas.result.whole == (1015, 480)
    frame = noise(854, 480)
    before = canvas.before(frame)
    rows, columns = canvas.result.slices
    assert np.array_equal(before[rows, columns], frame)
    assert before.shape == (480, 1015, 3)
    assert not canvas.result.hole(None)[rows, columns].any()


def test_a_mask_is_filled_besides_where_the_picture_becomes_larger():
    canvas = Canvas.of((128, 128), InpaintSettings(mode="video_outpainting"), (128, 128))
    mask = np.zeros((128, 128), np.bool_)
    mask[3, 5] = True
    hole = canvas.result.hole(mask)
    assert hole.sum() == 1 + 128 * 24
    assert hole[3, 17]


def test_small_pictures_are_made_large_enough_and_cut_again():
    canvas = Canvas.of((96, 64), InpaintSettings(), (96, 64))
    assert canvas.computed == (128, 128)
    frame, mask = noise(96, 64), np.ones((64, 96), np.bool_)
    small, hole = canvas.small_frame(frame), canvas.small_hole(mask)
    assert small.shape == (128, 128, 3)
    assert hole.sum() == 96 * 64
    cropped = canvas.cropped(Painted(small, small, hole, hole))
    assert np.array_equal(cropped.after, frame)
    assert np.array_equal(cropped.mask, mask)


def test_frames_are_resized_as_published():
    canvas = Canvas.of((150, 134), published(), (150, 134))
    frame = noise(150, 134)
    assert np.array_equal(canvas.small_frame(frame), np.array(Image.fromarray(frame).resize((144, 128))))
    small = noise(144, 128)
    assert np.array_equal(
        canvas.resized(small), cv2.resize(small, (150, 134), interpolation=cv2.INTER_LINEAR)
    )
    assert canvas.resized(frame) is frame


def test_a_mask_that_is_made_small_leaves_no_masked_pixel_out():
    canvas = Canvas.of((854, 480), InpaintSettings(), (424, 240))
    mask = np.zeros((480, 854), np.bool_)
    mask[100, 301] = True
    small = canvas.small_hole(mask)
    assert small.any()
    assert canvas.large(small)[100, 301]
