"""Published verdict maths: goldens, edges, bounded memory."""

from collections import deque
from itertools import count

import numpy as np
import pytest

from pipelines.errors import BadInput
from pipelines.scoring.metrics.smoothness import (
    artifact_frames,
    blur_record,
    camera_movement,
    failed_record,
    gather,
    motion_smoothness,
    threshold_for,
    windows,
)


def by_definition(n: int, width: int) -> list[list[int]]:
    left, found = (width - 1) // 2, []
    for i in range(n):
        start, stop = i - left, min(n, i + width // 2 + 1)
        if start < 0:
            found.append([0] * width)
            continue
        inside = list(range(start, stop))
        missing = width - len(inside)
        found.append(inside + [inside[-1]] * missing if start == 0 else [start] * missing + inside)
    return found


def test_windows_follow_the_rule_for_all_small_sizes():
    for n in range(40):
        for width in range(1, 16):
            assert list(windows(range(n), width)) == by_definition(n, width), (n, width)


def test_windows_match_the_goldens(golden):
    for name, expected in golden("windows.npz").items():
        n, width = map(int, name[1:].split("_w"))
        assert np.array_equal(list(windows(range(n), width)), expected), name


def test_a_window_is_out_as_soon_as_its_newest_frame_is_in():
    taken = count()
    stream = windows((next(taken) for _ in iter(int, 1)), 5)
    assert [next(stream) for _ in range(3)][-1] == [0, 1, 2, 3, 4]
    deque((next(stream) for _ in range(10)), maxlen=1)
    assert next(taken) == 15


def test_a_window_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        next(windows([1], 0))


def test_scores_match_the_goldens(golden):
    for case in golden("scoring.json"):
        threshold = threshold_for(case["camera_movement"])
        found = gather(case["scores"], threshold)
        assert threshold == case["threshold"], case["name"]
        assert found.artifacts == case["artifact_frames"], case["name"]
        assert found.score == pytest.approx(case["motion_smoothness_score"], abs=1e-9)
        assert motion_smoothness(case["scores"], case["camera_movement"]) == found.score
        if case.get("blur"):
            record = blur_record("clip.mp4", found, case["camera_movement"], 3)
            expected = {**case["blur"], "blur_severity": case["blur"]["blur_severity"]["level"]}
            assert record["blur_frames"] == expected.pop("blur_frames"), case["name"]
            assert {k: record[k] for k in expected} == pytest.approx(expected, abs=1e-9), case["name"]


def test_camera_movement_matches_the_goldens(golden):
    cases = golden("camera.npz")
    for name in (key for key in cases if key.endswith("_bgr")):
        frames = [np.ascontiguousarray(f[..., ::-1]) for f in cases[name]]
        assert camera_movement(frames) == pytest.approx(
            float(cases[name.replace("bgr", "movement")]), abs=1e-9
        )


def test_camera_movement_takes_ten_frames_and_no_more():
    still = np.zeros((8, 8), np.uint8)
    assert camera_movement([still] * 10 + [still + 255]) == 0
    assert camera_movement([still, still + 255]) == 1
    assert camera_movement([still]) == camera_movement([]) == 0


def test_motion_records_stand_for_the_subjects_own_motion():
    assert threshold_for({"background_motion": 0.1, "subject_motion": 0.55}) == 0.025
    assert threshold_for({"background_motion": 0.6, "subject_motion": 0.2}) == 0.015
    for subject in ({}, {"subject_motion": None}, {"subject_motion": float("nan")}):
        assert threshold_for({"background_motion": 0.6, **subject}) == 0.03
    assert threshold_for(None) == 0.01


def test_both_sides_of_a_jump_are_artifacts_and_the_threshold_itself_is_smooth():
    assert artifact_frames([0.5, 0.5, 0.75, 0.75], 0.2) == [1, 2]
    assert artifact_frames([0.5, 0.75], 0.25) == []


def test_no_score_has_no_smoothness():
    with pytest.raises(BadInput, match="without frames"):
        motion_smoothness([])
    assert motion_smoothness([0.3]) == 1


def test_kept_artifacts_are_bounded_and_counted_all():
    found = gather([0.0, 1.0] * 500, 0.01, kept=10)
    assert len(found.artifacts) == 10
    assert found.artifact_count == 1000


def test_a_failed_record_says_why():
    record = failed_record("folder/a.mp4", "cannot decode")
    assert (record["video_name"], record["error"], record["blur_severity"]) == (
        "a.mp4",
        "cannot decode",
        "failed",
    )
