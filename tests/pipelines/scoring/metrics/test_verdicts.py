"""Planted faults are found; verdicts do not depend on how the records come in."""

import cv2
import numpy as np
import pytest

from pipelines.scoring.metrics import cadence
from pipelines.scoring.metrics import verdicts as verdict
from pipelines.scoring.metrics.frame_features import RECORD
from pipelines.scoring.metrics.smoothness import windows
from pipelines.scoring.metrics.verdicts import verdicts


def judge(records, window=3):
    return np.concatenate(list(verdicts([records], window)))


def auc(positive, negative):
    p, n = np.asarray(positive)[:, None], np.asarray(negative)[None]
    return float(((p > n) + 0.5 * (p == n)).mean())


def pooled(clips, name):
    found = [(judge(records), clip) for clip, records in clips]
    return np.concatenate([v[name] for v, _ in found]), np.concatenate([getattr(c, name) for _, c in found])


def test_blurred_frames_score_below_sharp_ones_within_a_clip(clips):
    for clip, records in clips:
        sharp = records["sharpness"]
        assert auc(-sharp[clip.blurred], -sharp[~clip.blurred]) >= 0.98


def test_blurred_frames_score_below_sharp_ones_across_clips(clips):
    sharp = np.concatenate([records["sharpness"] for _, records in clips])
    truth = np.concatenate([clip.blurred for clip, _ in clips])
    assert auc(-sharp[truth], -sharp[~truth]) >= 0.95


def test_blurred_frames_are_found(clips):
    found, truth = pooled(clips, "blurred")
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) >= 0.95


def test_copies_are_found_and_nothing_else_although_noise_was_added(clips):
    found, truth = pooled(clips, "frozen")
    assert np.array_equal(found, truth)


def test_a_clip_without_cuts_has_none(clips):
    assert not any(judge(records)["cut"].any() for _, records in clips)


def test_half_the_size_keeps_the_ranking(clips, draw):
    clip, _ = clips[0]
    halves = [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in clip.lumas]
    sharp = draw["records_of"](halves)["sharpness"]
    assert auc(-sharp[clip.blurred], -sharp[~clip.blurred]) >= 0.95


@pytest.fixture(scope="module")
def two_shots(draw):
    first = draw["pan"](draw["scene"](11), 24)
    second = [cv2.GaussianBlur(f, (0, 0), 1.5) for f in draw["pan"](draw["scene"](12), 24)]
    return draw["records_of"](draw["noisy"](first + second))


def test_a_cut_is_the_first_frame_of_the_new_shot(two_shots):
    assert np.flatnonzero(judge(two_shots)["cut"]).tolist() == [24]


def test_a_cut_resets_what_a_frame_is_compared_with(two_shots):
    found = judge(two_shots)
    assert not found["blurred"].any()  # the second shot is soft throughout
    alone = judge(two_shots[:24])
    assert np.array_equal(found["baseline"][:24], alone["baseline"])


def test_motion_is_not_computed_across_a_cut(two_shots):
    motion = judge(two_shots)["motion"]
    assert np.flatnonzero(np.isnan(motion)).tolist() == [0, 24]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(draw, length):
    lumas = draw["pan"](draw["scene"](5), 30)
    for i in range(15, 15 + length):
        lumas[i] = cv2.add(lumas[i], 150)
    assert not judge(draw["records_of"](lumas))["cut"].any()


def test_a_whip_pan_is_no_cut(draw):
    picture = draw["scene"](5, width=4000)
    lumas = [picture[100:460, x : x + 640] for x in [10] * 10 + list(range(40, 900, 60)) + [900] * 10]
    assert not judge(draw["records_of"](draw["noisy"](lumas)))["cut"].any()


def test_a_wholly_soft_clip_is_blurred(draw):
    lumas = [cv2.GaussianBlur(f, (0, 0), 7) for f in draw["pan"](draw["scene"](2), 20)]
    assert judge(draw["records_of"](draw["noisy"](lumas)))["blurred"].all()


def test_a_still_from_the_first_frame_of_its_shot_on_is_not_frozen(draw):
    still = [draw["scene"](4)[:360, :640]] * 30
    assert not judge(draw["records_of"](draw["noisy"](still)))["frozen"].any()
    assert not judge(draw["records_of"](still))["frozen"].any()
    after_a_cut = judge(draw["records_of"](draw["pan"](draw["scene"](11), 24) + still))
    assert np.flatnonzero(after_a_cut["cut"]).tolist() == [24]
    assert not after_a_cut["frozen"].any()


def test_blank_frames_and_fades_are_no_fault(draw):
    shown = draw["pan"](draw["scene"](3), 60)
    shown = [cv2.convertScaleAbs(f, alpha=min(1, i / 20, (59 - i) / 20)) for i, f in enumerate(shown)]
    grey = [np.full((360, 640), level, np.uint8) for level in [0] * 10 + [255] * 10 + [120] * 10]
    found = judge(draw["records_of"](shown + draw["noisy"](grey)))
    assert not (found["blurred"] | found["frozen"])[found["blank"]].any()
    assert found["blank"][:15].all() and found["blank"][45:].all()
    assert not found["blank"][21:38].any()
    assert not found["blurred"].any() and not found["frozen"].any()


def test_a_blur_across_a_cut_ends_at_neither_side_of_it(draw):
    lumas = draw["pan"](draw["scene"](11), 60) + draw["pan"](draw["scene"](12), 60)
    lumas = [cv2.GaussianBlur(f, (0, 0), 2) if 25 <= i < 95 else f for i, f in enumerate(lumas)]
    found = judge(draw["records_of"](draw["noisy"](lumas)))
    assert np.flatnonzero(found["cut"]).tolist() == [60]
    assert np.flatnonzero(found["blurred"]).tolist() == list(range(25, 95))


@pytest.mark.parametrize("sigma", [1.5, 3.5])
def test_a_long_blur_and_a_long_freeze_are_one_run_each(draw, sigma):
    lumas = draw["pan"](draw["scene"](8), 230, step=2)
    lumas = [cv2.GaussianBlur(f, (0, 0), sigma) if 30 <= i < 100 else f for i, f in enumerate(lumas)]
    lumas[130:200] = [lumas[129]] * 70
    found = judge(draw["records_of"](draw["noisy"](lumas, 2.5)))
    assert np.flatnonzero(found["blurred"]).tolist() == list(range(30, 100))
    assert np.flatnonzero(found["frozen"]).tolist() == list(range(130, 200))


def records_with(sharpness):
    records = np.zeros(len(sharpness), RECORD)
    for name in ("sharpness", "detail", "middle_detail"):
        records[name] = sharpness
    records["contrast"], records["shift"], records["difference"] = 50, 5, 3
    return records


@pytest.mark.parametrize("length", [30, 100, 200])
def test_a_blur_from_the_first_frame_on_is_one_run_although_a_piece_ends_in_it(monkeypatch, length):
    monkeypatch.setattr(verdict, "PIECE", 90)
    monkeypatch.setattr(verdict, "_AHEAD", 130)
    sharp = np.where(np.arange(length + 200) < length, 0.35, 0.6)
    sharp[0] = 0.57  # the encoder gives the first frame more bits
    found = judge(records_with(sharp))["blurred"]
    assert np.flatnonzero(found).tolist() == list(range(length))


def test_a_blur_after_one_from_the_first_frame_of_the_shot_on_is_found():
    sharp = np.full(300, 0.6)
    sharp[:60] = sharp[78:140] = 0.35
    found = judge(records_with(sharp))["blurred"]
    assert np.flatnonzero(found).tolist() == [*range(60), *range(78, 140)]


def test_a_blur_that_compression_hides_from_sharpness_is_found_by_its_detail():
    rng = np.random.default_rng(4)
    records = records_with(0.4 + rng.normal(0, 0.012, 200))
    records["detail"] = 1.2 + rng.normal(0, 0.012, 200)
    records["sharpness"][100:106] *= 0.93
    records["detail"][100:106] *= 0.7
    assert np.flatnonzero(judge(records)["blurred"]).tolist() == list(range(100, 106))


def records_whose_detail_drops(length):
    """As of a wall of bricks or an eye: noise and the encoder keep or raise what counts as sharpness."""
    rng = np.random.default_rng(4)
    records = records_with(0.4 * rng.normal(1, 0.02, length + 160))
    for name, level, left in (("sharpness", 0.4, 1.02), ("detail", 0.6, 0.87), ("middle_detail", 1.0, 0.65)):
        records[name] = level * rng.normal(1, 0.02, len(records))
        records[name][80 : 80 + length] *= left
    return records


@pytest.mark.parametrize("length", [60, 200, 1000])
def test_a_long_blur_of_which_only_detail_tells_is_one_run(length):
    found = judge(records_whose_detail_drops(length))
    assert np.flatnonzero(found["blurred"]).tolist() == list(range(80, 80 + length))
    left = (found["sharpness"] / found["baseline"])[80 + verdict.REACH : 80 + length - verdict.REACH]
    assert np.median(left) == pytest.approx((0.87 * 0.65) ** 0.5, abs=0.05)


def test_less_detail_is_no_long_blur_where_a_fast_camera_shows_something_else():
    records = records_whose_detail_drops(200)
    steps = np.random.default_rng(4).integers(-10, 11, (len(records), *RECORD["grid"].shape))
    records["grid"] = 128 + np.abs(steps.cumsum(axis=0) % 200 - 100)
    long = slice(
        80 + verdict.REACH, 280 - verdict.REACH
    )  # frames near the drop are compared with those before it
    assert not judge(records)["cut"].any()
    assert not judge(records)["blurred"][long].any()
    still = records.copy()
    still["grid"] = 128
    assert judge(still)["blurred"][long].all()


def test_one_blurred_frame_between_longer_blurs_is_found():
    sharp = np.full(90, 0.6)
    sharp[27:37] = sharp[49] = sharp[62:81] = 0.25
    found = judge(records_with(sharp))["blurred"]
    assert np.flatnonzero(found).tolist() == [*range(27, 37), 49, *range(62, 81)]


def test_a_blur_after_a_long_one_is_compared_with_what_is_shown_between_them():
    sharp = np.full(260, 0.7)  # the camera has moved on to softer things while the picture was blurred
    sharp[:30] = 0.9
    sharp[30:120] = sharp[150:220] = 0.5
    found = judge(records_with(sharp))["blurred"]
    assert np.flatnonzero(found).tolist() == [*range(30, 120), *range(150, 220)]


def test_frames_that_the_encoder_makes_a_little_softer_are_not_blurred():
    rng = np.random.default_rng(4)
    sharp = np.tile([0.60, 0.55, 0.585, 0.55], 60) + rng.normal(0, 0.012, 240)
    sharp[120:126] = 0.4
    found = judge(records_with(sharp))["blurred"]
    assert np.flatnonzero(found).tolist() == list(range(120, 126))


@pytest.mark.parametrize("contrast", [2.5, 40])
def test_noise_that_an_encoder_keeps_in_copies_of_a_flat_picture_is_no_blur(contrast):
    sharp = np.full(300, 0.5)
    sharp[100:200] = 0.3
    sharp[250:260] = 0.1
    records = records_with(sharp)
    records["contrast"] = contrast
    assert judge(records)["blurred"].any() == (contrast == 40)


def random_records(n, seed=0):
    rng = np.random.default_rng(seed)
    records = np.zeros(n, RECORD)
    for name in RECORD.names:
        records[name] = rng.random(records[name].shape) * (100 if name in ("grid", "residual") else 1)
    records["contrast"] += np.where(rng.random(n) < 0.1, 0, 50)
    records["shift"] = np.where(rng.random(n) < 0.3, 0.01, 5)
    return records


@pytest.mark.parametrize("window", [1, 2, 3, 40, 99])
def test_verdicts_do_not_depend_on_how_records_come_in(monkeypatch, window):
    monkeypatch.setattr(verdict, "PIECE", 90)
    monkeypatch.setattr(verdict, "_AHEAD", 30)
    records = random_records(700)
    whole = judge(records, window)
    monkeypatch.setattr(verdict, "_BLOCK", 7)
    monkeypatch.setattr(cadence, "_BLOCK", 7)
    for size in (1, 13, 240):
        chunks = [records[i : i + size] for i in range(0, len(records), size)]
        pieces = list(verdicts(chunks, window))
        assert len(pieces) >= 3
        assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_verdicts_hold_a_bounded_number_of_records(monkeypatch):
    held = []
    original = verdict._judge
    monkeypatch.setattr(
        verdict, "_judge", lambda records, *rest: held.append(len(records)) or original(records, *rest)
    )
    total = sum(map(len, verdicts((random_records(240) for _ in range(60)), 3)))
    assert total == 60 * 240
    assert max(held) <= verdict._BLOCK + 240 + 2 * (verdict.REACH + verdict.CONTEXT)


def test_shots_are_judged_in_bounded_pieces_whose_bounds_depend_on_the_cuts_alone():
    rows = np.zeros(30_000, verdict.VERDICT)
    rows["cut"][[500, 600, 9_200, 9_201]] = True

    def pieces(size):
        found = list(verdict._pieces(rows[i : i + size] for i in range(0, len(rows), size)))
        assert max(len(piece) for piece, *_ in found) <= verdict.PIECE + verdict._AHEAD
        return [(len(piece), stop, is_start) for piece, stop, is_start in found]

    assert sum(stop for _, stop, _ in pieces(1024)) == len(rows)
    assert [stop for _, stop, is_start in pieces(1024) if is_start][:3] == [500, 100, verdict.PIECE]
    assert pieces(1024) == pieces(30_000) == pieces(77)


@pytest.mark.parametrize("lacking", [("middle_detail",), ("shift", "contrast", "detail", "middle_detail")])
def test_records_of_an_earlier_version_are_judged_without_the_columns_they_lack(clips, lacking):
    clip, records = clips[0]
    names = [name for name in RECORD.names if name not in lacking]
    earlier = np.zeros(len(records), [(name, RECORD[name].base, RECORD[name].shape) for name in names])
    for name in names:
        earlier[name] = records[name]
    found = judge(earlier)
    assert np.array_equal(found["frozen"], clip.frozen)
    assert not found["blank"].any()


def test_window_scores_are_means_of_the_windows():
    for n in (1, 2, 3, 7, 20):
        records = random_records(n)
        for width in (1, 2, 3, 4, 9, 15):
            means = [np.mean(w) for w in windows(records["sharpness"].astype(float), width)]
            assert judge(records, width)["window_score"] == pytest.approx(means, abs=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_clips(draw, n):
    if n == 0:
        assert list(verdicts([], 3)) == []
        return
    found = judge(draw["records_of"](draw["pan"](draw["scene"](1), n)), 9)
    assert len(found) == n
    assert np.isfinite(found["sharpness"]).all()
    assert not found["cut"].any()
