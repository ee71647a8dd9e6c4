from typing import get_args

import pytest

from presets.tiers import HostTier, Length, Quality, TiersError, VramTier, load_tiers, own_tiers


def test_the_programs_own_table_is_whole_and_read_once():
    tiers = own_tiers()
    assert tuple(tiers.vram) == get_args(VramTier)
    assert tuple(tiers.host) == get_args(HostTier)
    for task in map(tiers.task, ("score", "inpaint", "animate")):
        assert set(task.quality) == set(get_args(Quality))
        assert set(task.length) == set(get_args(Length))
    assert own_tiers() is tiers


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("12gb = 11.2\n", "", "vram: Value error, missing 12gb"),
        ("12gb = 11.2\n", "12gb = 11.2\n48gb = 45.0\n", "vram: Value error, unknown 48gb"),
        ("12gb = 11.2", "12gb = 4.0", "must begin at 0 and rise"),
        ("none = 0.0", "none = 1.0", "must begin at 0 and rise"),
        ("16gb = 14.0", '16gb = "some"', "host.16gb"),
        ("high = { analysis_width = 854 }\n", "", "score.quality: Value error, missing high"),
        ("high = { analysis_width", "best = { analysis_width", "missing high; unknown best"),
        ("{ analysis_width = 854 }", "{ analysis_width = 854, colour = 1 }", "score.quality.high.colour"),
        ("{ analysis_width = 854 }", "{ }", "score.quality: Value error, high lacks analysis_width"),
        ("{ analysis_width = 854 }", "{ analysis_width = 0 }", "score.quality.high.analysis_width"),
        ("{ span_frames = 480 }", "{ span_frames = 1 }", "score.length.long.span_frames"),
        ('precision = "float32"', 'precision = "float12"', "animate.vram.none.precision"),
        ("[animate.vram]", "[animate.cards]", "animate.cards: Extra inputs"),
        ("[score.host]", "[score.host", "is no TOML"),
    ],
)
def test_a_fault_in_the_table_is_named(table, old, new, sentence):
    with pytest.raises(TiersError) as caught:
        load_tiers(table(old=old, new=new))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("tiers.toml")


def test_a_task_without_presets():
    with pytest.raises(ValueError, match="score, copy, compare, inpaint, track, animate, not for 'paint'"):
        own_tiers().task("paint")
