"""What is held, and what is given up for less memory: in the order of harm, and never for the published output."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memory.budget import Budget, within_limit
from memory.plan import Load, make_plan
from memory.units import GIB, MIB
from pipelines.inpainting.propainter.memory_plan import (
    ON_DEMAND,
    Configuration,
    Workload,
    configurations,
    cost_of,
    fit_configuration,
)
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.settings import InpaintSettings
from pipelines.video.clock.timeline import constant
from pipelines.video.info import VideoInfo
from presets.choose import Choice
from presets.tiers import own_tiers

AROUND = Load(fixed=220 * MIB)
ROOMY = Budget(10**12, 10**12)


def workload(
    size: tuple[int, int] = (1280, 720), device: str = "cuda", frames: int = 3000, **asked: Any
) -> Workload:
    video = VideoInfo(Path("clip.mp4"), "mp4", "h264", *size, constant(frames, 25))
    return Workload(video, InpaintSettings(**asked), Schedule(frames), device, AROUND)


def choice(side: int = 1280, pixels: int = 10**7) -> Choice:
    return Choice("12gb", {"max_side_px": side, "most_pixels": pixels}, "As drawn.")


def shape_in(asked: Workload, budget: Budget, chosen: Choice | None = None) -> Configuration:
    found = Configuration.of(fit_configuration(asked, chosen or choice(), budget)[0])
    assert found is not None
    return found


def least_bytes(asked: Workload, shape: Configuration) -> int:
    return int(cost_of(asked, shape).device.fixed)


def test_with_room_everything_is_as_it_was_asked_for():
    found = shape_in(workload(), ROOMY)
    assert found == Configuration((1280, 720), "float32", "kept", 18, 4)
    assert shape_in(workload((640, 360)), ROOMY).pairs == 12
    assert shape_in(workload((1920, 1080)), ROOMY, choice(side=1920)).pairs == 2


def test_less_and_less_room_takes_first_what_changes_no_number_then_digits_then_the_size():
    asked, seen = workload(), list[Configuration]()
    for gib in range(40, 0, -1):
        found = shape_in(asked, Budget(10**12, gib * GIB // 2))
        if not seen or found != seen[-1]:
            seen.append(found)
    orders = list(configurations(asked, choice()))
    assert [orders.index(found) for found in seen] == sorted(orders.index(found) for found in seen)
    assert [found.size for found in seen] == sorted((found.size for found in seen), reverse=True)
    assert {found.precision for found in seen if found.size == (1280, 720)} == {"float32", "float16"}


def test_on_a_cpu_nothing_is_given_up_but_the_size():
    asked = workload(device="cpu")
    assert {each.precision for each in configurations(asked, choice())} == {"float32"}
    assert {each.pairs for each in configurations(asked, choice())} == {1}
    found = shape_in(asked, Budget(8 * GIB))
    assert found.size < (1280, 720)
    assert (
        make_plan(cost_of(asked, found), pixels=1, frames=9, budget=Budget(8 * GIB), window=(1,)).risk
        != "cannot"
    )


@pytest.mark.parametrize(
    "asked",
    [{"reference_output": True}, {"width": 1280}, {"resize_ratio": 1.0}],
)
def test_a_size_that_was_asked_for_is_kept_or_refused(asked):
    for gib in (40, 4, 1):
        assert shape_in(workload(**asked), Budget(10**12, gib * GIB)).size == (1280, 720)


def test_the_published_output_has_the_digits_that_were_asked_for():
    tight = Budget(10**12, GIB)
    assert shape_in(workload(reference_output=True), tight).precision == "float32"
    assert shape_in(workload(reference_output=True, fp16=True), ROOMY).precision == "float16"
    assert shape_in(workload(fp16=True), ROOMY).precision == "float16"


def test_where_correlations_do_not_fit_they_are_computed_on_demand():
    asked = workload((1920, 1080))
    full = replace(shape_in(asked, ROOMY, choice(side=1920)), pairs=1, cached_frames=0)
    found = shape_in(asked, Budget(10**12, least_bytes(asked, full) - 1), choice(side=1920))
    assert (found.correlation, found.size) == (ON_DEMAND, (1920, 1080))


def test_what_was_decided_is_not_decided_again():
    decided, _ = fit_configuration(workload(), choice(), Budget(10**12, 6 * GIB))
    again, cost = fit_configuration(workload(), decided, Budget(10**12, GIB))
    assert again.values == decided.values
    assert cost == cost_of(workload(), Configuration.of(decided))


def test_what_does_not_grow_with_the_video_is_planned_so():
    short, long = (cost_of(workload(frames=frames), Configuration((640, 360))) for frames in (500, 50_000))
    assert short == long


def test_the_choice_says_what_was_decided():
    assert (
        fit_configuration(workload(), choice(), ROOMY)[0].reason
        == "As drawn, computed at 1280x720 in float32."
    )
    on_demand = replace(
        Configuration.of(fit_configuration(workload(), choice(), ROOMY)[0]), correlation=ON_DEMAND
    )
    decided = replace(choice(), values={**choice().values, **on_demand.values()})
    assert fit_configuration(workload(), decided, ROOMY)[0].reason.endswith(
        " in float32, correlations on demand."
    )


FIELD = {"4gb": (320, 240), "6gb": (480, 360), "8gb": (640, 480), "12gb": (1280, 720), "24gb": (1280, 720)}
"""What is usual for cards of this size, in systems whose memory grows with the video."""


@pytest.mark.parametrize("tier", FIELD)
def test_each_tier_computes_the_largest_size_that_fits_with_either_all_digits_or_all_correlations(tier):
    pixels = own_tiers().task("inpaint").vram[tier].most_pixels
    assert pixels >= FIELD[tier][0] * FIELD[tier][1]
    room = Budget(10**12, within_limit(int(float(tier.removesuffix("gb")) * GIB)))

    def fits(most: int) -> bool:
        shape = shape_in(workload((3840, 2160)), room, choice(3840, most))
        whole = shape.size[0] * shape.size[1] > 0.99 * most
        return whole and not (shape.precision == "float16" and shape.correlation == ON_DEMAND)

    assert fits(pixels)
    assert not fits(int(1.1 * pixels))
