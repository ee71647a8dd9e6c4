"""Decoded frames as the network wants them: the published bytes; and what the built-in analysis makes of them."""

import zlib
from collections.abc import Generator
from fractions import Fraction
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.scoring.metrics.frame_features import compare, features_of
from pipelines.scoring.metrics.smoothness import camera_movement, mean_change
from pipelines.scoring.qalign.preprocess import prepared, square, without_fill
from pipelines.spans import Span
from pipelines.video.frame import Frame, RgbPicture

WEIGHTS = (0.299, 0.587, 0.114)


@pytest.mark.parametrize("side", [56, 448])
@pytest.mark.parametrize("name", ["land", "port", "square"])
def test_squares_are_the_published_bytes(golden: Any, name: str, side: int) -> None:
    known = golden("preprocess.npz")
    found = square(known[f"{name}_rgb"], side)
    assert zlib.crc32(np.ascontiguousarray(found).tobytes()) == int(known[f"{name}_resized{side}_crc32"])


@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (100, 100), (10, 300), (300, 7)])
def test_a_preview_is_the_picture_without_what_was_added(shape: tuple[int, int]) -> None:
    rgb = np.full((*shape, 3), 250, np.uint8)
    shown = without_fill(square(rgb, 56), shape[1], shape[0])
    assert shown.shape[0] / shown.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.5)
    inner = shown[1:-1, 1:-1] if min(shown.shape[:2]) > 4 else shown[:0]
    assert np.all(inner > 240)


def moving(count: int) -> list[Any]:
    noise = np.random.default_rng(0).integers(0, 256, (80, 200), np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    return [np.dstack([picture[:, 3 * i : 3 * i + 120]] * 3) for i in range(count)]


def frames(pictures: list[Any], start: int) -> Generator[Frame]:
    for index, pixels in enumerate(pictures[start:], start):
        yield Frame(index, Fraction(index), RgbPicture(partial(np.copy, pixels), WEIGHTS))


def test_records_are_the_built_in_ones_and_the_halo_has_none() -> None:
    pictures = moving(20)
    found = list(prepared(frames(pictures, 7), 56, 120, Span(8, 12), Span(7, 14), Span(0, 20)))
    assert [each.index for each in found] == list(range(7, 20))
    looks = [
        features_of(Frame(0, Fraction(0), RgbPicture(partial(np.copy, p), WEIGHTS)).luma(120))
        for p in pictures
    ]
    for each in found:
        if 8 <= each.index < 12:
            known = compare(looks[each.index - 1], looks[each.index])
            assert each.record is not None and each.record.tobytes() == known.tobytes()
        elif each.index >= 12:
            assert each.record is None


def test_frames_that_are_only_compared_with_are_not_handed_on() -> None:
    found = list(prepared(frames(moving(6), 3), 56, 120, Span(4, 6), Span(4, 6), Span(0, 6)))
    assert [each.index for each in found] == [4, 5]


def test_the_change_of_the_first_frames_is_the_published_measure() -> None:
    pictures = moving(14)
    whole = Span(2, 14)
    found = list(prepared(frames(pictures, 2), 56, 60, whole, whole, whole))
    assert np.isnan(found[0].change)
    assert mean_change(each.change for each in found[1:]) == camera_movement(pictures[2:])
    assert [each.index for each in found if not np.isnan(each.change)] == list(range(3, 12))
