import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.budget import within_limit
from memory.devices import Device
from memory.plan import Budget, Cost, Load, Plan, correct, make_plan
from memory.probe import Disk, Hardware, Host
from memory.units import GIB, MIB

PIXELS = 1000 * 1000

sizes = st.floats(0, 1e9, allow_nan=False)
per_pixel = st.floats(0, 500, allow_nan=False)
loads = st.builds(Load, sizes, per_pixel, sizes, per_pixel, sizes, per_pixel)
costs = st.builds(Cost, loads, loads)
budgets = st.builds(
    Budget, st.integers(0, 64 * GIB), st.integers(0, 64 * GIB), st.none() | st.integers(0, GIB), st.booleans()
)
choices = st.lists(st.integers(1, 300), min_size=1, max_size=8)
problems = st.fixed_dictionaries(
    {
        "pixels": st.integers(1, 4000 * 3000),
        "frames": st.integers(0, 400),
        "window": choices,
        "batch": choices,
        "disk_bytes": st.integers(0, GIB),
    }
)


def plan_for(host_budget, *, window=(4, 8, 16), batch=(1, 2, 4), device_budget=GIB, frames=1000, **budget):
    """100 MiB fixed, 10 MiB a frame of the window, 5 MiB a frame of the batch, all on the host."""
    load = Load(fixed=100 * MIB, per_window_frame=10 * MIB, per_batch_frame=5 * MIB)
    return make_plan(
        Cost(host=load),
        pixels=PIXELS,
        frames=frames,
        budget=Budget(host_budget, device_budget, **budget),
        window=window,
        batch=batch,
    )


def test_a_load_is_the_sum_of_its_terms():
    load = Load(
        fixed=1, per_pixel=10, per_window_frame=2, per_window_pixel=3, per_batch_frame=4, per_batch_pixel=5.5
    )
    assert load.total_bytes(window=7, batch=2, pixels=100) == math.ceil(1 + 1000 + 7 * 302 + 2 * 554)


@pytest.mark.parametrize("wrong", [-1, math.inf, math.nan])
def test_a_load_is_no_nonsense(wrong):
    with pytest.raises(ValueError, match="per_window_pixel"):
        Load(per_window_pixel=wrong)


class TestChoice:
    @pytest.mark.parametrize(
        "budget_mib, window, batch",
        [
            (1000, 16, 4),
            (280, 16, 4),  # exactly
            (279, 16, 2),
            (270, 16, 2),
            (265, 16, 1),
            (264, 8, 4),  # the batch shrinks first, then the window
            (185, 8, 1),
            (184, 4, 4),
            (145, 4, 1),
        ],
    )
    def test_the_largest_window_then_the_largest_batch(self, budget_mib, window, batch):
        plan = plan_for(budget_mib * MIB)
        assert (plan.window_frames, plan.batch_frames) == (window, batch)
        assert plan.risk != "cannot"

    def test_what_cannot_be_says_how_much_is_needed(self):
        plan = plan_for(144 * MIB)
        assert (plan.window_frames, plan.batch_frames, plan.risk) == (4, 1, "cannot")
        assert plan.predicted_host_bytes == 145 * MIB
        assert plan.reason == "The run needs at least 145 MiB of host memory, but 144 MiB is available."

    def test_no_window_is_longer_than_the_video(self):
        plan = plan_for(GIB, frames=5)
        assert (plan.window_frames, plan.batch_frames) == (5, 4)
        assert plan_for(GIB, frames=0).window_frames == 1

    def test_a_range_will_do(self):
        assert plan_for(200 * MIB, window=range(3, 100), batch=(1,)).window_frames == 9

    @pytest.mark.parametrize("choice", [(), (0, 1), range(0)])
    def test_something_must_be_there_to_choose(self, choice):
        with pytest.raises(ValueError, match="window"):
            plan_for(GIB, window=choice)
        with pytest.raises(ValueError, match="batch"):
            plan_for(GIB, batch=choice)

    def test_the_device_is_a_budget_of_its_own(self):
        cost = Cost(host=Load(fixed=MIB), device=Load(per_window_pixel=10))
        question = {"pixels": PIXELS, "frames": 100, "window": (5, 10, 20), "batch": (1,)}
        assert make_plan(cost, budget=Budget(GIB, 100_000_000), **question).window_frames == 10
        plan = make_plan(cost, budget=Budget(GIB, 0), **question)
        assert plan.risk == "cannot"
        assert "0.05 GiB of device memory, but 0 MiB is available" in plan.reason

    def test_unified_memory_is_spent_once(self):
        cost = Cost(host=Load(fixed=600), device=Load(fixed=600))
        question = {"pixels": 1, "frames": 1, "window": (1,)}
        assert make_plan(cost, budget=Budget(1000, 1000), **question).risk != "cannot"
        assert make_plan(cost, budget=Budget(1000, 1000, unified=True), **question).risk == "cannot"

    def test_disk_is_a_budget(self):
        question = {"pixels": 1, "frames": 1, "window": (1,), "disk_bytes": 2 * GIB}
        plan = make_plan(Cost(), budget=Budget(GIB, disk_bytes=GIB), **question)
        assert plan.risk == "cannot"
        assert plan.reason == "The run needs at least 2.00 GiB of disk, but 1.00 GiB is available."
        assert make_plan(Cost(), budget=Budget(GIB, disk_bytes=4 * GIB), **question).risk == "low"
        assert make_plan(Cost(), budget=Budget(GIB), **question).risk == "low"


class TestRisk:
    @pytest.mark.parametrize(
        "budget_mib, risk",
        [
            (1000, "low"),
            (401, "low"),
            (399, "medium"),
            (280, "medium"),
            (165, "medium"),
            (150, "high"),
            (144, "cannot"),
        ],
    )
    def test_is_the_room_to_retreat(self, budget_mib, risk):
        assert plan_for(budget_mib * MIB).risk == risk

    def test_never_rises_with_memory(self):
        order = ["cannot", "high", "medium", "low"]
        risks = [order.index(plan_for(mib * MIB).risk) for mib in range(1, 600)]
        assert risks == sorted(risks)
        assert set(risks) == {0, 1, 2, 3}

    def test_the_reason_has_the_numbers(self):
        assert plan_for(2 * GIB).reason == (
            "Windows of 16 frames in batches of 4 use 0.27 GiB of 2.00 GiB host memory."
        )
        reduced = plan_for(150 * MIB).reason
        assert "16 frames in batches of 4 would not fit" in reduced
        assert "memory is tight" in reduced


@given(cost=costs, budget=budgets, problem=problems)
def test_no_plan_exceeds_the_budget_unless_it_says_so(cost, budget, problem):
    plan = make_plan(cost, budget=budget, **problem)
    host = plan.predicted_host_bytes + (plan.predicted_device_bytes if budget.unified else 0)
    fits = (
        host <= budget.host_bytes
        and plan.predicted_device_bytes <= budget.device_bytes
        and (budget.disk_bytes is None or plan.disk_bytes <= budget.disk_bytes)
    )
    assert fits == (plan.risk != "cannot")
    assert plan.reason.endswith(".")
    assert plan.predicted_host_bytes == cost.host.total_bytes(
        plan.window_frames, plan.batch_frames, problem["pixels"]
    )


@given(cost=costs, budget=budgets, problem=problems, more=st.integers(0, 16 * GIB))
def test_more_memory_never_gives_less(cost, budget, problem, more):
    richer = replace(budget, host_bytes=budget.host_bytes + more, device_bytes=budget.device_bytes + more)
    before, after = make_plan(cost, budget=budget, **problem), make_plan(cost, budget=richer, **problem)
    assert (after.window_frames, after.batch_frames) >= (before.window_frames, before.batch_frames)
    assert before.risk == "cannot" or after.risk != "cannot"


@given(cost=costs, budget=budgets, problem=problems)
def test_a_plan_survives_its_way_through_json(cost, budget, problem):
    plan = make_plan(cost, budget=budget, **problem)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


class TestCorrection:
    COST = Cost(Load(fixed=100 * MIB, per_window_pixel=3), Load(fixed=200 * MIB, per_batch_pixel=40))

    def plan(self, cost):
        budget = Budget(8 * GIB, 8 * GIB)
        return make_plan(cost, pixels=PIXELS, frames=100, budget=budget, window=(20,), batch=(4,))

    def test_what_was_measured_above_the_fixed_part_is_the_frames_doing(self):
        measured = self.COST.host.total_bytes(20, 4, PIXELS) + 60_000_000
        cost = correct(self.COST, self.plan(self.COST), pixels=PIXELS, measured_host_bytes=measured)
        assert cost.host.fixed == 100 * MIB
        assert cost.host.per_window_pixel == pytest.approx(6)
        assert cost.device == self.COST.device

    def test_a_corrected_plan_may_have_to_be_smaller(self):
        problem = {"pixels": PIXELS, "frames": 100, "budget": Budget(300 * MIB), "window": (10, 20, 40)}
        cost = Cost(self.COST.host)
        plan = make_plan(cost, **problem)
        worse = correct(cost, plan, pixels=PIXELS, measured_host_bytes=450 * MIB)
        assert plan.window_frames == 40
        assert make_plan(worse, **problem).window_frames == 20

    def test_a_low_measurement_is_believed_to_the_half(self):
        cost = correct(
            self.COST, self.plan(self.COST), pixels=PIXELS, measured_host_bytes=1, measured_device_bytes=1
        )
        assert cost.host.per_window_pixel == 1.5
        assert cost.device == self.COST.device.scaled(0.5, fixed_too=True)

    def test_where_nothing_was_stated_the_measurement_is_all_there_is(self):
        cost = correct(Cost(), self.plan(Cost()), pixels=PIXELS, measured_host_bytes=77)
        assert cost.host == Load(fixed=77)

    def test_a_part_smaller_than_a_byte_is_scaled_exactly(self):
        load = Load(fixed=1000, per_window_frame=1.5)
        budget = Budget(GIB)
        plan = make_plan(Cost(load), pixels=1, frames=1, budget=budget, window=(1,))
        better = correct(Cost(load), plan, pixels=1, measured_host_bytes=9000)
        assert better.host.total_bytes(1, 1, 1) == 9000

    @given(cost=costs, host=st.integers(1, 64 * GIB), device=st.integers(1, 64 * GIB))
    def test_the_corrected_cost_predicts_at_least_what_was_measured(self, cost, host, device):
        plan = self.plan(cost)
        better = correct(cost, plan, pixels=PIXELS, measured_host_bytes=host, measured_device_bytes=device)
        assert better.host.total_bytes(20, 4, PIXELS) >= host
        assert better.device.total_bytes(20, 4, PIXELS) >= device
        assert better.host.total_bytes(20, 4, PIXELS) >= plan.predicted_host_bytes // 2


def hardware(total=32, free=24, device=None):
    return Hardware(Host(int(total * GIB), int(free * GIB), int(total * GIB)), (device,) if device else ())


class TestBudget:
    @pytest.mark.parametrize(
        "total, free, budget",
        [
            (64, 60, 60 - 6.4),  # a tenth
            (16, 14, 12),  # 2 GiB
            (4, 3, 2),  # a quarter of a small machine
            (16, 1, 0),
        ],
    )
    def test_leaves_a_reserve_to_others(self, total, free, budget):
        assert Budget.of(hardware(total, free)).host_bytes == pytest.approx(budget * GIB, abs=2)

    def test_what_we_hold_already_is_part_of_the_run(self):
        assert Budget.of(hardware(16, 10), held_bytes=GIB).host_bytes == 9 * GIB

    def test_a_small_limit_leaves_room_to_work(self):
        assert Budget.of(hardware(), ram_limit_gb=1).host_bytes == pytest.approx(0.9 * GIB, abs=2)

    def test_a_limit_above_what_is_free_gives_no_more(self):
        assert Budget.of(hardware(16, 6), ram_limit_gb=32) == replace(
            Budget.of(hardware(16, 6)), ram_limit_bytes=32 * GIB
        )

    def test_a_card(self):
        card = Device("cuda", 0, "card", "", 10 * GIB, 6 * GIB, reusable_bytes=2 * GIB)
        assert Budget.of(hardware(device=card)).device_bytes == 7 * GIB
        assert Budget.of(hardware(device=card), vram_limit_gb=4).device_bytes == pytest.approx(
            3.6 * GIB, abs=2
        )
        assert Budget.of(hardware(device=card), device_index=None).device_bytes == 0
        assert Budget.of(hardware(device=card), device_index=1).device_bytes == 0

    def test_a_limit_makes_no_card_where_there_is_none(self):
        assert Budget.of(hardware(), vram_limit_gb=8).device_bytes == 0

    def test_apple_is_unified(self):
        assert Budget.of(hardware(device=Device("mps", 0, "Apple GPU", "", GIB, GIB))).unified
        assert not Budget.of(hardware()).unified

    def test_a_little_disk_is_left(self):
        assert Budget.of(hardware(), Disk(100 * GIB, 50 * GIB)).disk_bytes == 49 * GIB
        assert Budget.of(hardware(), Disk(100 * GIB, 10 * MIB)).disk_bytes == 9 * MIB
        assert Budget.of(hardware()).disk_bytes is None

    def test_a_refusal_names_a_limit_that_would_do(self):
        cost = Cost(host=Load(fixed=1.5 * GIB))
        problem = {"pixels": 1, "frames": 10, "window": (1,)}
        plan = make_plan(cost, budget=Budget.of(hardware(), ram_limit_gb=1), **problem)
        assert plan.risk == "cannot"
        assert "--ram-limit-gb 1.7 or more would suffice" in plan.reason
        assert make_plan(cost, budget=Budget.of(hardware(), ram_limit_gb=1.7), **problem).risk != "cannot"

    def test_a_refusal_names_the_limit_of_the_card(self):
        card = Device("cuda", 0, "card", "", 24 * GIB, 24 * GIB)
        cost = Cost(device=Load(fixed=8 * GIB))
        budget = Budget.of(hardware(device=card), vram_limit_gb=4)
        plan = make_plan(cost, pixels=1, frames=1, budget=budget, window=(1,))
        assert "8.00 GiB of device memory" in plan.reason
        assert "--vram-limit-gb 8.9 or more would suffice" in plan.reason

    def test_a_full_machine_is_not_blamed_on_the_limit(self):
        budget = Budget.of(hardware(16, 3), ram_limit_gb=8)
        plan = make_plan(Cost(host=Load(fixed=4 * GIB)), pixels=1, frames=1, budget=budget, window=(1,))
        assert plan.risk == "cannot"
        assert "--ram-limit-gb" not in plan.reason


def test_what_others_have_taken_is_no_longer_there():
    budget = Budget(host_bytes=10 * GIB, device_bytes=8 * GIB, disk_bytes=100)
    assert budget.less(3 * GIB, 5 * GIB, 40) == Budget(7 * GIB, 3 * GIB, 60)
    assert budget.less(30 * GIB, 50 * GIB, 400) == Budget(0, 0, 0)
    assert budget.less(GIB, 0, 0, ram_limit_gb=4).host_bytes == within_limit(4 * GIB) - GIB
    assert replace(budget, unified=True, disk_bytes=None).less(GIB, 2 * GIB, 40) == Budget(
        7 * GIB, 6 * GIB, None, unified=True
    )


def test_what_our_other_jobs_hold_on_the_device_is_in_the_budget_of_a_job_alone():
    card = Device("cuda", 0, "L4", "GPU-1", 20 * GIB, 5 * GIB)
    hardware = Hardware(Host(16 * GIB, 10 * GIB, 16 * GIB), (card,))
    assert Budget.of(hardware).device_bytes == 3 * GIB
    assert Budget.of(hardware, held_device_bytes=9 * GIB).device_bytes == 12 * GIB
    assert Budget.of(hardware, held_device_bytes=90 * GIB).device_bytes == 18 * GIB
