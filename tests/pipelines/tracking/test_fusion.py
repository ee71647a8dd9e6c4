"""Tracking's promises: it covers the object, says where it does not, and comes out the same however it was run."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from pipelines.spans import Span
from pipelines.tracking import passes
from pipelines.tracking.appearance import fill_interior, grab_cut
from pipelines.tracking.background import CHUNK_FRAMES, HALO
from pipelines.tracking.fusion import RECORD, FrameSource, Tracked, fused_masks, pass_records, track
from pipelines.tracking.prompts import ObjectPrompt, Point
from pipelines.tracking.target import find_targets
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

from .moving import Clip, disc_clip, recall


def across(index: int) -> tuple[float, float]:
    return 40 + 2 * index, 68 + 12 * np.sin(index / 6)


@pytest.fixture(scope="module")
def clip() -> Clip:
    """60 frames in which the disc is always to be seen."""
    return disc_clip(60, across)


def tracked(clip: Clip, *prompts: ObjectPrompt, start: int = 0) -> list[Tracked]:
    return list(track(clip.frames_from, prompts, start, len(clip.frames)))


def same(first: list[Tracked], second: list[Tracked]) -> bool:
    return len(first) == len(second) and all(
        (a.frame, a.box, a.lost, a.confidence) == (b.frame, b.box, b.lost, b.confidence)
        and np.array_equal(a.mask, b.mask)
        for a, b in zip(first, second, strict=True)
    )


def covers(clip: Clip, found: list[Tracked], least: float = 0.9, most_area: float = 2.0) -> None:
    for item in found:
        truth = clip.truth[item.frame]
        assert recall(item.mask, truth) >= least, f"frame {item.frame}"
    assert sum(item.mask.sum() for item in found) <= most_area * sum(t.sum() for t in clip.truth)


def test_a_box_on_the_first_frame_is_enough_for_a_disc_that_moves(clip: Clip) -> None:
    found = tracked(clip, ObjectPrompt(0, box=clip.box(0)))
    assert [item.frame for item in found] == list(range(60))
    assert not any(item.lost for item in found)
    covers(clip, found)


def test_a_box_on_the_last_frame_is_as_good(clip: Clip) -> None:
    found = tracked(clip, ObjectPrompt(59, box=clip.box(59)))
    assert not any(item.lost for item in found)
    covers(clip, found)


def test_a_click_is_enough_for_a_disc_that_moves(clip: Clip) -> None:
    x, y = across(30)
    covers(clip, tracked(clip, ObjectPrompt(30, points=(Point(x, y),))))


def test_a_painted_mask_is_taken_as_it_is(clip: Clip) -> None:
    painted = cv2.dilate(clip.truth[20].astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    found = tracked(clip, ObjectPrompt(20, mask=painted))
    assert np.array_equal(found[20].mask, painted)
    covers(clip, found, most_area=2.5)


def test_paint_beside_a_box_is_a_part_of_what_is_looked_for(clip: Clip) -> None:
    middle = np.zeros_like(clip.truth[20])
    x, y = (round(side) for side in across(20))
    middle[y - 3 : y + 4, x - 3 : x + 4] = True
    beside = np.zeros_like(middle)
    beside[100:110, 10:22] = True
    source = FrameSource.of(clip.frames_from, Span(0, 60))
    (target,) = find_targets([ObjectPrompt(20, box=clip.box(20), mask=middle | beside)], source).values()
    assert target.painted is None
    assert (
        target.outline[beside].all()
        and (clip.truth[20] & (target.outline > 0)).sum() > 0.9 * clip.truth[20].sum()
    )
    covers(clip, tracked(clip, ObjectPrompt(20, box=clip.box(20), mask=middle)))
    (alone,) = find_targets(
        [ObjectPrompt(20, mask=middle, points=(Point(5, 5, on_object=False),))], source
    ).values()
    assert alone.painted is not None


def test_a_still_thing_is_cut_out_by_its_colours_and_a_click_can_refuse_a_part() -> None:
    frame = np.full((80, 120, 3), (60, 110, 70), np.uint8)
    frame[30:60, 20:50] = (220, 60, 40)
    frame[30:60, 50:80] = (40, 60, 220)
    still = Clip([frame] * 3, [])
    box = (15.0, 25.0, 70.0, 40.0)
    (both,) = find_targets([ObjectPrompt(0, box=box)], FrameSource.of(still.frames_from, Span(0, 3))).values()
    clicks = (Point(30, 45), Point(35, 50), Point(65, 45, on_object=False))
    (red,) = find_targets(
        [ObjectPrompt(0, box=box, points=clicks)], FrameSource.of(still.frames_from, Span(0, 3))
    ).values()
    assert both.outline[45, 30]
    assert both.outline[45, 65]
    assert red.outline[45, 30]
    assert not red.outline[45, 65]
    assert not red.outline[28, 100]


def test_of_a_slow_thing_in_a_box_all_is_followed_not_its_rim() -> None:
    clip = disc_clip(26, lambda index: (60 + 0.4 * index, 68), pan=0)
    x, y, width, height = clip.box(0)
    prompt = ObjectPrompt(0, box=(x - 4, y - 4, width + 8, height + 8))
    (target,) = find_targets([prompt], FrameSource.of(clip.frames_from, Span(0, 26))).values()
    assert (clip.truth[0] & (target.outline > 0)).sum() > 0.95 * clip.truth[0].sum()
    found = tracked(clip, prompt)
    assert not any(item.lost for item in found)
    covers(clip, found, least=0.95)


def test_cutting_out_does_not_depend_on_what_was_cut_before() -> None:
    cat = np.ascontiguousarray(data.chelsea()[50:250, 50:350])
    labels = np.full(cat.shape[:2], cv2.GC_BGD, np.uint8)
    labels[40:160, 60:240] = cv2.GC_PR_FGD
    cuts = []
    for target in range(4):
        cv2.setRNGSeed(target)
        cuts.append(grab_cut(cat, labels))
    assert cuts[0].any()
    assert all(np.array_equal(cut, cuts[0]) for cut in cuts)


def test_a_thing_that_cannot_be_told_from_its_surroundings_is_an_ellipse() -> None:
    flat = Clip([np.full((80, 120, 3), 128, np.uint8)] * 2, [])
    (target,) = find_targets(
        [ObjectPrompt(0, box=(20, 20, 40, 30))], FrameSource.of(flat.frames_from, Span(0, 2))
    ).values()
    assert target.outline[35, 40]
    assert not target.outline[21, 21]


def test_a_disc_that_leaves_the_picture_is_lost_and_soon_not_masked_any_more() -> None:
    clip = disc_clip(70, lambda index: (140 + 3 * index, 68))
    gone = next(index for index, truth in enumerate(clip.truth) if not truth.any())
    found = tracked(clip, ObjectPrompt(0, box=clip.box(0)))
    assert not any(item.lost for item in found[: gone - 8])
    assert all(item.lost for item in found[gone:])
    assert not any(item.mask.any() for item in found[gone + 14 :])


def test_a_disc_behind_a_bar_is_lost_and_found_again_and_a_prompt_behind_it_helps() -> None:
    clip = disc_clip(64, lambda index: (30 + 2.5 * index, 68), bar=(100, 145))
    hidden = [index for index, truth in enumerate(clip.truth) if not truth.any()]
    found = tracked(clip, ObjectPrompt(0, box=clip.box(0)))
    assert hidden
    assert all(found[index].lost for index in hidden)
    assert not any(item.lost for item in found[:25])
    back = [item for item in found if item.frame > hidden[-1] + 15]
    assert back
    assert not any(item.lost for item in back)
    assert all(recall(item.mask, clip.truth[item.frame]) > 0.9 for item in back)
    lost_for = 0
    for item in found:
        lost_for = lost_for + 1 if item.lost else 0
        assert item.mask.any() == (lost_for <= 12), f"frame {item.frame}"
    helped = tracked(clip, ObjectPrompt(0, box=clip.box(0)), ObjectPrompt(44, box=clip.box(44)))
    assert sum(item.lost for item in helped) < sum(item.lost for item in found)


def test_a_disc_that_stops_is_still_held() -> None:
    clip = disc_clip(64, lambda index: (40 + 2 * min(index, 20) - max(0, index - 20) * 0.5, 68), pan=0.5)
    found = tracked(clip, ObjectPrompt(0, box=clip.box(0)))
    assert not any(item.lost for item in found)
    covers(clip, found, most_area=2.5)


def test_after_a_cut_the_object_is_lost(clip: Clip) -> None:
    other = disc_clip(20, lambda index: (-50, -50), pan=2)
    cut = Clip([*clip.frames[:30], *(255 - frame[::-1] for frame in other.frames)], [])
    found = tracked(cut, ObjectPrompt(0, box=clip.box(0)))
    assert not any(item.lost for item in found[:30])
    assert all(item.lost for item in found[30:])


def test_where_two_walks_disagree_half_way_the_object_is_lost_and_both_places_are_masked(clip: Clip) -> None:
    source = FrameSource.of(clip.frames_from, Span(0, 60))
    targets = find_targets([ObjectPrompt(0, box=clip.box(0)), ObjectPrompt(20, box=clip.box(20))], source)
    on, back = np.zeros(1, RECORD), np.zeros(1, RECORD)
    on["box"], back["box"] = (20, 40, 36, 36), (180, 40, 36, 36)
    on["trust"] = back["trust"] = 1
    (item,) = fused_masks(source, targets, on, back, 10, 11)
    assert item.lost
    assert item.mask[58, 38]
    assert item.mask[58, 198]
    (near,) = fused_masks(source, targets, on, back, 1, 2)
    assert not near.lost
    assert near.box[0] == 20


def test_a_large_video_is_tracked_at_work_size_and_masked_at_its_own() -> None:
    clip = disc_clip(14, lambda index: (40 + 3 * index, 68), scale=4.0)
    assert FrameSource.of(clip.frames_from, Span(0, 14)).scale < 1
    found = tracked(clip, ObjectPrompt(0, mask=clip.truth[0]))
    assert found[3].mask.shape == clip.frames[0].shape[:2]
    covers(clip, found, most_area=2.5)
    x, y, width, height = found[13].box
    across_px, down_px = 4 * (40 + 3 * 13), 4 * 68
    assert x < across_px < x + width
    assert y < down_px < y + height


def test_the_same_question_has_the_same_answer(clip: Clip) -> None:
    prompts = ObjectPrompt(5, box=clip.box(5)), ObjectPrompt(20, box=clip.box(20))
    first, second = (list(track(clip.frames_from, prompts, 0, 24)) for _ in range(2))
    assert same(first, second)


def test_only_the_frames_asked_for_are_read(clip: Clip) -> None:
    clip.read.clear()
    found = list(track(clip.frames_from, [ObjectPrompt(24, box=clip.box(24))], 16, 32))
    assert [item.frame for item in found] == list(range(16, 32))
    assert set(clip.read) == set(range(16, 32))


def test_masks_are_the_same_from_any_start(clip: Clip) -> None:
    source = FrameSource.of(clip.frames_from, Span(0, 60))
    targets = find_targets([ObjectPrompt(10, box=clip.box(10))], source)
    on = np.concatenate(list(pass_records(source, targets, 0, 60)))
    back = np.concatenate(list(pass_records(source, targets, 0, 60, backward=True)))[::-1]
    whole = list(fused_masks(source, targets, on, back, 0, 60))
    parts = [
        item
        for start, stop in ((0, 7), (7, 33), (33, 60))
        for item in fused_masks(source, targets, on[start:stop], back[start:stop], start, stop)
    ]
    assert same(whole, parts)


@pytest.mark.parametrize("backward", [False, True])
def test_a_walk_goes_on_from_its_records_to_the_bit(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, backward: bool
) -> None:
    monkeypatch.setattr(passes, "RESTART_FRAMES", 8)
    source = FrameSource.of(clip.frames_from, Span(0, 32))
    at = 30 if backward else 1
    targets = find_targets([ObjectPrompt(at, box=clip.box(at))], source)
    order = list(range(31, -1, -1)) if backward else list(range(32))
    whole = np.concatenate(list(pass_records(source, targets, 0, 32, backward=backward)))
    assert whole["trust"][1:].all()
    known = dict(zip(order, whole, strict=True))
    for first, last in ((13, 16), (16, 24), (26, 32)):
        start, stop = min(order[first], order[last - 1]), max(order[first], order[last - 1]) + 1
        for records in ({}, {frame: known[frame] for frame in order[:first]}):
            part = list(pass_records(source, targets, start, stop, backward=backward, known=records.get))
            assert np.concatenate(part).tobytes() == whole[first:last].tobytes()


def test_a_walk_begins_at_the_last_post_not_at_its_prompt(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "RESTART_FRAMES", 16)
    source = FrameSource.of(clip.frames_from, Span(0, 60))
    targets = find_targets([ObjectPrompt(0, box=clip.box(0))], source)
    record = next(iter(pass_records(source, targets, 47, 48)))
    clip.read.clear()
    list(pass_records(source, targets, 50, 52, known=lambda frame: record[0] if frame == 47 else None))
    assert min(clip.read) == 47 - HALO - 1


def test_frames_that_no_prompt_leads_to_have_no_trust_and_are_not_read(clip: Clip) -> None:
    source = FrameSource.of(clip.frames_from, Span(0, 60))
    targets = find_targets([ObjectPrompt(40, box=clip.box(40))], source)
    clip.read.clear()
    assert not np.concatenate(list(pass_records(source, targets, 0, 30)))["trust"].any()
    assert not np.concatenate(list(pass_records(source, targets, 45, 60, backward=True)))["trust"].any()
    assert not clip.read
    assert (
        np.concatenate(list(pass_records(source, targets, 30, 45)))["trust"].astype(bool).tolist()
        == [False] * 10 + [True] * 5
    )


@pytest.mark.parametrize("backward", [False, True])
def test_the_frames_held_do_not_grow_with_the_video(
    alive: Callable[[int], "Counted"], backward: bool
) -> None:
    counted = alive(200)
    source = FrameSource.of(counted.frames_from, Span(0, 200))
    for neighbours in source.neighbourhoods(0, 200, backward=backward):
        assert counted.held <= 2 * HALO + 3 + (CHUNK_FRAMES if backward else 0), neighbours.view.index


class Counted:
    """Frames that know how many of them are in memory."""

    def __init__(self, frames: int) -> None:
        self.held = 0
        self._frames = frames

    def frames_from(self, start: int, stop: int):
        counter = self

        class Frame(np.ndarray):
            def __del__(self) -> None:
                if self.base is None:
                    counter.held -= 1

        for index in range(start, stop):
            self.held += 1
            frame = np.ndarray.__new__(Frame, (24, 32, 3), np.uint8)
            frame[...] = index % 7
            yield frame


@pytest.fixture
def alive() -> Callable[[int], Counted]:
    return Counted


def bmx(shared: Path) -> Clip:
    folder = shared / "samples" / "bmx-trees_mask"
    if not folder.is_dir():
        pytest.skip(f"no masks at {folder}")
    info = probe(shared / "samples" / "bmx-trees.mp4", salvage=False)
    frames = [frame.rgb() for frame in read_frames(info)]
    size = info.width, info.height
    truth = [
        cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), size, interpolation=cv2.INTER_NEAREST) > 127
        for path in sorted(folder.glob("*.png"))
    ]
    return Clip(frames, truth)


@pytest.mark.slow
@pytest.mark.parametrize(("hinted", "least"), [((0,), 0.95), ((0, 20, 40, 60), 0.95)])
def test_a_rider_behind_trees_is_covered(shared: Path, hinted: tuple[int, ...], least: float) -> None:
    clip = bmx(shared)
    found = tracked(clip, *(ObjectPrompt(frame, box=clip.box(frame)) for frame in hinted))
    recalls = [recall(item.mask, clip.truth[item.frame], 6) for item in found]
    areas = [item.mask.sum() / clip.truth[item.frame].sum() for item in found]
    assert np.mean(recalls) >= least
    assert np.mean(areas) <= 4
    bad = [item.frame for item, value in zip(found, recalls, strict=True) if value < 0.5 and not item.lost]
    assert len(bad) <= 2


def test_the_first_frame_of_a_rider_is_cut_out(shared: Path) -> None:
    clip = bmx(shared)
    (target,) = find_targets(
        [ObjectPrompt(0, box=clip.box(0))], FrameSource.of(clip.frames_from, Span(0, 80))
    ).values()
    outline, truth = target.outline > 0, clip.truth[0]
    assert (outline & truth).sum() / (outline | truth).sum() >= 0.65


def test_an_outline_has_no_gaps_and_parts_stay_apart() -> None:
    ring = np.zeros((20, 30), np.uint8)
    ring[2:12, 2:12] = 1
    ring[5:9, 5:9] = 0
    ring[15:18, 20:25] = 1
    whole = fill_interior(ring)
    assert whole[2:12, 2:12].all() and whole.sum() == 100 + 15
