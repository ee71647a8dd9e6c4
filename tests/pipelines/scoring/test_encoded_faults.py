"""Faults planted in drawn clips are found after x264 has encoded them; rhythms and ordinary coding are no faults.

A few of the clips that `tests/bench/score_faults.py` draws, shorter ones.
"""

from pathlib import Path

import numpy as np
import pytest

from pipelines.scoring.metrics.frame_features import compare, features_of
from pipelines.scoring.metrics.verdicts import verdicts
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames
from tests.bench import faulty_clips

SEED = 21


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Return a function from a clip's name to what was planted in it, and its verdicts."""
    folder: Path = tmp_path_factory.mktemp("clips")

    def judge(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faulty_clips, "MOST_FRAMES", 260)
            clip = dict(faulty_clips.makers(SEED, 8, 7, 12))[name]()
        faulty_clips.encode(folder / "clip.mp4", clip)
        before, records = None, []
        for frame in read_frames(probe(folder / "clip.mp4"), luma_only=True):
            now = features_of(frame.luma(faulty_clips.WIDTH))
            records.append(compare(before, now))
            before = now
        return clip, np.concatenate(list(verdicts([np.concatenate(records)], 3, clip.rate)))

    return judge


@pytest.mark.parametrize("name", ["freeze-5", "freeze-6", "blur-3", "blur-6"])
def test_planted_faults_are_found_as_one_run_each(judged, name):
    clip, found = judged(name)
    planted, other = ("frozen", "blurred") if clip.fault == "freeze" else ("blurred", "frozen")
    edges, right = (np.flatnonzero(np.diff(f)) for f in (found[planted], clip.planted))
    assert len(edges) == len(right)
    assert np.abs(edges - right).max() <= 1
    assert not found[other].any()


def test_repeats_at_a_rhythm_are_cadence_after_compression(judged):
    frozen = cadence = 0  # of drawings on twos and threes, 24 pictures a second at 30 and 60, 30 at 60
    for name in ("clean-6", "clean-7", "clean-8", "clean-9", "clean-10"):
        _, found = judged(name)
        assert not found["blurred"].any()
        frozen += int(found["frozen"].sum())
        cadence += int(found["cadence"].sum())
    assert frozen <= 10
    assert cadence >= 250
