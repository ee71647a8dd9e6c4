"""The flow engine's promises: what is known stays, what other frames show comes back, and borders do not matter."""

import itertools
import tracemalloc
import weakref
from collections.abc import Generator

import cv2
import numpy as np
import pytest

from pipelines.inpainting.flow.engine import HALO, FlowFill, load
from pipelines.spans import Span

from .flow_clips import HIDDEN, Clip, disc, moving_discs, pan, picture, same

FRAMES = 44


@pytest.fixture(scope="module")
def panned() -> Clip:
    return Clip(pan(picture(1), FRAMES), moving_discs(FRAMES))


@pytest.fixture(scope="module")
def noisy() -> Clip:
    """Masks of which no two are alike, some empty; a thing that moves; a cut."""
    rng = np.random.default_rng(5)
    frames = pan(picture(2), 25) + pan(picture(3), FRAMES - 25, step=-1)
    masks = [disc(*rng.uniform((20, 15), (140, 80)), rng.uniform(3, 16)) for _ in frames]
    for i, frame in enumerate(frames):
        cv2.circle(frame, (20 + 3 * i, 50), 9, (250, 250, 240), -1, cv2.LINE_AA)
        masks[i] |= disc(*rng.uniform((20, 15), (140, 80)), 4)
        masks[i] &= i % 9 != 4
    return Clip(frames, masks)


@pytest.fixture(scope="module")
def whole(noisy: Clip) -> list:
    return noisy.filled()


@pytest.mark.parametrize("cuts", [(0, 7, 20, FRAMES), (0, 10, 11, 39, FRAMES), (0, 25, FRAMES)])
def test_spans_joined_equal_the_whole_run(noisy: Clip, whole: list, cuts: tuple[int, ...]) -> None:
    joined = [fill for span in itertools.pairwise(cuts) for fill in noisy.filled(*span)]
    assert same(joined, whole)


def test_threads_do_not_change_a_bit(noisy: Clip, whole: list) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = noisy.filled(12, 24, workers=1)
        cv2.setNumThreads(2)
        two = noisy.filled(12, 24, workers=3)
    finally:
        cv2.setNumThreads(before)
    assert same(one, whole[12:24])
    assert same(two, whole[12:24])


def test_what_is_not_masked_is_untouched(noisy: Clip, whole: list) -> None:
    for fill, truth, mask in zip(whole, noisy.truth, noisy.masks, strict=True):
        assert np.array_equal(fill.pixels[~mask], truth[~mask])
        assert not (fill.invented & ~mask).any()


def test_the_background_that_other_frames_show_comes_back(panned: Clip) -> None:
    fills = panned.filled(workers=2)
    assert panned.psnr(lambda i: fills[i].pixels) > panned.psnr(panned.telea) + 12
    assert not any(fill.invented.any() for fill in fills)


def test_what_was_painted_over_is_never_seen(panned: Clip) -> None:
    green = np.array(HIDDEN)
    for fill, mask in zip(panned.filled(0, 12), panned.masks, strict=False):
        assert np.abs(fill.pixels[mask] - green).max(axis=1).min() > 35


def test_a_thing_that_passes_behind_the_hole_is_kept() -> None:
    """Half a moving disc is seen beside the hole; the half that is not is taken from frames that show it."""
    frames, masks, where = pan(picture(4), 30, step=1), [], []
    for i, frame in enumerate(frames):
        x = 20 + 4 * i
        cv2.circle(frame, (x, 40), 16, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(frame, (x, 40), 8, (200, 0, 0), 3, cv2.LINE_AA)
        mask = np.zeros(frame.shape[:2], np.bool_)
        mask[10:40, 64:100] = True
        masks.append(mask)
        where.append(disc(x, 40, 15) & mask)
    clip = Clip(frames, masks)
    fills = clip.filled(10, 19)
    off = [
        np.abs(f.pixels[w].astype(int) - t[w]).mean()
        for f, t, w in zip(fills, frames[10:19], where[10:19], strict=True)
        if np.count_nonzero(w) > 150
    ]
    assert len(off) >= 5
    assert np.mean(off) < 25


def test_what_no_frame_shows_is_invented_and_does_not_flicker() -> None:
    rng = np.random.default_rng(0)
    still = picture(6)[:96, :160]
    frames = [np.clip(still + rng.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(24)]
    hole = disc(70, 50, 20)
    clip = Clip(frames, [hole] * 24)
    fills = clip.filled()
    assert all(np.array_equal(fill.invented, hole) for fill in fills)
    change = [
        np.abs(a.pixels[hole].astype(int) - b.pixels[hole]).mean() for a, b in itertools.pairwise(fills)
    ]
    assert max(change) < 2
    assert clip.psnr(lambda i: fills[i].pixels) > clip.psnr(clip.telea) - 0.3


def test_a_far_key_frame_shows_what_a_slow_object_hid() -> None:
    rng = np.random.default_rng(0)
    still = picture(7)[:96, :160]
    frames = [np.clip(still + rng.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(64)]
    hole = disc(70, 50, 14)
    clip = Clip(frames, [hole if i < 50 else np.zeros_like(hole) for i in range(64)])
    (fill,) = clip.filled(3, 4)
    assert not fill.invented.any()
    assert np.abs(fill.pixels[hole].astype(int) - still[hole]).mean() < 6


def test_nothing_comes_from_another_shot() -> None:
    rng = np.random.default_rng(0)
    red, blue = picture(2)[:96, :160].copy(), picture(3)[:96, :160].copy()
    red[..., 2], blue[..., 0] = 20, 20
    shots = [red] * 12 + [blue] * 12
    frames = [np.clip(f + rng.normal(0, 2, f.shape), 0, 255).astype(np.uint8) for f in shots]
    hole = disc(80, 48, 12)
    clip = Clip(frames, [hole if i < 12 else np.zeros_like(hole) for i in range(24)])
    for fill in clip.filled(0, 12):
        assert fill.pixels[hole][:, 2].max() < 60
        assert fill.invented[hole].all()


def test_a_frame_depends_on_no_frame_beyond_the_halo() -> None:
    frames = [np.roll(picture(8)[:32, :48], i, axis=1) for i in range(2 * HALO + 30)]
    masks = [disc(24, 16, 5)[:32, :48] for _ in frames]
    clip = Clip(frames, masks)
    first = HALO + 12
    clip.filled(first, first + 3, quality="draft")
    assert min(start for start, _ in clip.asked) >= first - HALO
    assert max(stop for _, stop in clip.asked) <= first + 3 + HALO


def test_frames_outside_the_job_are_not_read(panned: Clip) -> None:
    clip = Clip(panned.truth, panned.masks)
    list(FlowFill("draft", 1).fill(clip.read, Span(13, 31), 15, 18))
    assert min(start for start, _ in clip.asked) == 13
    assert max(stop for _, stop in clip.asked) == 31


def test_a_clip_without_holes_is_passed_on(panned: Clip) -> None:
    clip = Clip(panned.truth[:12], [np.zeros((96, 160), np.bool_)] * 12)
    for fill, truth in zip(clip.filled(), clip.truth, strict=True):
        assert np.array_equal(fill.pixels, truth)
        assert not fill.invented.any()


@pytest.mark.parametrize("size", [(17, 21), (9, 7), (1, 5)])
def test_any_size_and_any_mask(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(5)]
    masks = [np.ones(size, np.bool_), np.zeros(size, np.bool_), *(rng.random(size) < 0.5 for _ in range(3))]
    fills = Clip(frames, masks).filled()
    assert [fill.pixels.shape for fill in fills] == [(*size, 3)] * 5


def test_one_frame_alone_is_filled(panned: Clip) -> None:
    clip = Clip(panned.truth[:1], panned.masks[:1])
    (fill,) = clip.filled()
    assert np.array_equal(fill.invented, clip.masks[0])
    assert np.abs(fill.pixels.astype(int)[clip.masks[0]] - clip.truth[0][clip.masks[0]]).mean() < 60


@pytest.mark.parametrize("quality", ["draft", "high", "ultimate"])
def test_every_quality_fills(panned: Clip, quality: str) -> None:
    clip = Clip(panned.truth[:14], panned.masks[:14])
    fills = clip.filled(quality=quality)
    assert clip.psnr(lambda i: fills[i].pixels) > clip.psnr(clip.telea) + 5


def test_both_readers_are_closed_when_nobody_listens_any_more(panned: Clip) -> None:
    open_readers = []

    def read(start: int, stop: int) -> Generator:
        open_readers.append((start, stop))
        try:
            yield from panned.read(start, stop)
        finally:
            open_readers.remove((start, stop))

    fills = FlowFill("draft", 1).fill(read, Span(0, FRAMES), 0, FRAMES)
    next(fills)
    assert len(open_readers) == 2
    fills.close()
    assert not open_readers


def test_no_more_frames_are_held_in_a_longer_clip() -> None:
    drawn = picture(9, 600)
    empty = np.zeros((16, 24), np.bool_)

    def most_held(frames: int) -> int:
        most, alive = 0, [0]

        def read(start: int, stop: int) -> Generator:
            nonlocal most
            for i in range(start, stop):
                frame = np.ascontiguousarray(drawn[40:56, i % 500 : i % 500 + 24])
                alive[0] += 1
                weakref.finalize(frame, lambda: alive.__setitem__(0, alive[0] - 1))
                most = max(most, alive[0])
                yield frame, disc(12, 8, 3)[:16, :24] if i % 40 == 0 else empty

        for _ in FlowFill("draft", 1).fill(read, Span(0, frames), 0, frames):
            pass
        return most

    assert most_held(3 * HALO) == most_held(7 * HALO)


def test_no_more_is_held_than_predicted(panned: Clip) -> None:
    tracemalloc.start()
    try:
        for _ in FlowFill("balanced", 1).fill(panned.read, Span(0, FRAMES), 0, FRAMES):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    cost = load("balanced", 1)
    assert peak < cost.fixed + cost.per_pixel * panned.truth[0][..., 0].size


def test_the_prediction_grows_with_quality_and_workers() -> None:
    assert load("draft", 1).per_pixel < load("balanced", 1).per_pixel < load("balanced", 2).per_pixel
