import json
from dataclasses import replace

import pytest

import presets.choose
from presets.choose import Choice, VideoFacts, length_of, resolution_of
from presets.tiers import load_tiers, own_tiers

VIDEO = VideoFacts(1920, 1080, 1260, 42.0)


def choose(hardware, video, task, *asked, tiers=None, **more) -> Choice:
    """The presets of one of the program's own tasks."""
    rows = (tiers or own_tiers()).task(task)
    return presets.choose.choose(hardware, video, rows, *asked, tiers=tiers, **more)


@pytest.mark.parametrize(
    "card_gib, tier",
    [
        (None, "none"),
        (2.0, "none"),
        (3.9, "4gb"),  # sold as 4 GB
        (5.8, "6gb"),
        (7.6, "8gb"),  # as 8 GB, with a screen and error correction
        (7.8, "8gb"),
        (8.0, "8gb"),
        (9.8, "8gb"),
        (11.6, "12gb"),
        (14.6, "16gb"),  # T4 with error correction
        (15.7, "16gb"),
        (19.8, "16gb"),
        (22.1, "24gb"),  # A10G
        (23.6, "24gb"),
        (139.8, "24gb"),
    ],
)
def test_each_card_has_its_tier(hardware, card_gib, tier):
    choice = choose(hardware(card_gib=card_gib), VIDEO, "inpaint", "balanced")
    assert choice.preset == tier
    assert choice.vram_limit_gb is None


@pytest.mark.parametrize(
    "tier, pixels",
    [
        ("none", 230_400),
        ("4gb", 921_600),
        ("6gb", 1_300_000),
        ("8gb", 1_850_000),
        ("12gb", 2_850_000),
        ("16gb", 3_900_000),
        ("24gb", 6_000_000),
    ],
)
def test_each_tier_of_inpainting_and_how_it_is_emulated(hardware, tier, pixels):
    real = {"none": None, "4gb": 3.9, "6gb": 5.8, "8gb": 7.7, "12gb": 11.6, "16gb": 15.6, "24gb": 23.6}[tier]
    found = choose(hardware(card_gib=real), VIDEO, "inpaint", "high")
    emulated = choose(hardware(card_gib=48), VIDEO, "inpaint", "high", preset=tier)
    assert found.values == emulated.values
    assert found.values["most_pixels"] == pixels
    assert found.preset == emulated.preset == tier
    assert emulated.vram_limit_gb == (None if tier == "none" else float(tier.removesuffix("gb")))


@pytest.mark.parametrize(
    "tier, window, batch",
    [
        ("none", 8, 1),
        ("4gb", 16, 1),
        ("6gb", 24, 2),
        ("8gb", 32, 4),
        ("12gb", 48, 8),
        ("16gb", 64, 8),
        ("24gb", 64, 16),
    ],
)
def test_each_tier_of_animation(hardware, tier, window, batch):
    values = choose(hardware(), VIDEO, "animate", "draft", preset=tier).values
    assert (values["window_frames"], values["batch_frames"], values["max_side_px"]) == (window, batch, 720)


@pytest.mark.parametrize(
    "host_gib, ahead",
    [(4, 2), (7.6, 2), (13.9, 2), (15.5, 4), (16, 4), (31.2, 4), (62.7, 8), (1007, 8)],
)
def test_each_host_has_its_read_ahead(hardware, host_gib, ahead):
    assert choose(hardware(host_gib), VIDEO, "score", "balanced").values["read_ahead_frames"] == ahead


@pytest.mark.parametrize(
    "width, height, ahead",
    [(640, 360, 8), (1920, 1080, 8), (1080, 1920, 8), (2560, 1440, 4), (7680, 4320, 2)],
)
def test_large_frames_wait_in_smaller_number(hardware, width, height, ahead):
    video = replace(VIDEO, width=width, height=height)
    assert choose(hardware(64), video, "score", "balanced").values["read_ahead_frames"] == ahead


@pytest.mark.parametrize(
    "quality, width", [("draft", 427), ("balanced", 640), ("high", 854), ("ultimate", 1280)]
)
def test_scores_depend_on_quality_and_on_no_machine(hardware, quality, width):
    machines = [hardware(4), hardware(16), hardware(64, 7.8), hardware(500, 80)]
    choices = [choose(each, VIDEO, "score", quality) for each in machines]
    choices += [choose(machines[0], VIDEO, "score", quality, preset=p) for p in ("none", "8gb", "24gb")]
    assert {choice.values["analysis_width"] for choice in choices} == {width}


@pytest.mark.parametrize(
    "seconds, length, span",
    [
        (0, "short", 240),
        (29.9, "short", 240),
        (30, "medium", 240),
        (120, "medium", 240),
        (120.1, "long", 480),
        (9000, "long", 480),
    ],
)
def test_spans_follow_the_length_of_the_video(hardware, seconds, length, span):
    assert length_of(seconds) == length
    values = choose(hardware(), replace(VIDEO, seconds=seconds), "score", "balanced").values
    assert values["span_frames"] == span


def test_the_reason_is_a_sentence_with_the_facts(hardware):
    assert choose(hardware(16), VIDEO, "score", "balanced").reason == (
        "No GPU, 16 GiB host, 1080p, 42 s (medium), quality balanced: "
        "analyse at 640 px width, spans of 240 frames, read 4 frames ahead."
    )
    assert choose(hardware(64, 11.6), VIDEO, "inpaint", "high").reason == (
        "Test Card with 11.6 GiB (tier 12gb), 64 GiB host, 1080p, 42 s (medium), quality high: compute at up to "
        "1280 px, encode at CRF 15, spans of 480 frames, networks at up to 2850000 pixels, read "
        "16 frames ahead."
    )


def test_an_engine_that_is_no_network_is_not_planned_by_the_card(hardware):
    choice = choose(hardware(64, 11.6), VIDEO, "inpaint", "high", network=False)
    assert "most_pixels" not in choice.values
    assert choice.reason.endswith(
        "compute at up to 1280 px, encode at CRF 15, spans of 480 frames, read 16 frames ahead."
    )


def test_the_reason_says_what_is_emulated(hardware):
    emulated = choose(hardware(16), VIDEO, "score", "balanced", preset="8gb")
    assert emulated.reason.startswith("As on a GPU with 8 GB, 16 GiB host")
    refused = choose(hardware(16, 24), VIDEO, "score", "balanced", preset="none")
    assert refused.reason.startswith("Without a GPU, as requested, 16 GiB host")


def test_a_card_can_be_left_aside(hardware):
    choice = choose(hardware(16, 24), VIDEO, "inpaint", "balanced", device_index=None)
    assert choice.preset == "none"
    assert choice.reason.startswith("No GPU, ")


def test_a_card_too_small_to_compute_on_is_named(hardware):
    assert choose(hardware(16, 2), VIDEO, "inpaint", "balanced").reason.startswith(
        "Test Card with 2.0 GiB (tier none), "
    )


def test_a_small_host_is_told_to_the_tenth(hardware):
    assert ", 0.5 GiB host, " in choose(hardware(0.5), VIDEO, "score", "balanced").reason


def test_limited_hardware_is_a_smaller_machine(hardware):
    limited = hardware(64, 24).limited(ram_limit_gb=8, vram_limit_gb=6)
    choice = choose(limited, VIDEO, "inpaint", "balanced")
    assert choice.preset == "6gb"
    assert choice.values["read_ahead_frames"] == 2


@pytest.mark.parametrize(
    "width, height, name",
    [
        (1920, 1080, "1080p"),
        (1080, 1920, "1080p"),
        (854, 480, "480p"),
        (1280, 720, "720p"),
        (2560, 1440, "1440p"),
        (3840, 2160, "4K"),
        (1000, 700, "1000x700"),
        (1080, 1080, "1080x1080"),
        (640, 480, "640x480"),
    ],
)
def test_resolutions_by_name(width, height, name):
    assert resolution_of(VideoFacts(width, height, 1, 1.0)) == name


@pytest.mark.parametrize(
    "question, sentence",
    [
        (("paint", "balanced", "auto"), "not for 'paint'"),
        (("score", "best", "auto"), "draft, balanced, high, ultimate, not 'best'"),
        (("score", "balanced", "10gb"), "auto, none, 4gb"),
    ],
)
def test_what_is_not_known_is_refused_with_the_choices(hardware, question, sentence):
    task, quality, preset = question
    with pytest.raises(ValueError, match=sentence):
        choose(hardware(), VIDEO, task, quality, preset)


def test_values_are_plain_json(hardware):
    values = choose(hardware(), VIDEO, "inpaint", "balanced").values
    assert json.loads(json.dumps(dict(values))) == values


def test_the_table_is_what_decides(hardware, table):
    tiers = load_tiers(table(old="{ analysis_width = 640 }", new="{ analysis_width = 600 }"))
    choice = choose(hardware(), VIDEO, "score", "balanced", tiers=tiers)
    assert choice.values["analysis_width"] == 600
