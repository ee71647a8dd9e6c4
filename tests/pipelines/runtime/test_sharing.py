"""How many workers fit into the memory together, and where each of them computes."""

from dataclasses import replace

import pytest

from memory.devices import Device
from memory.plan import Budget, Cost, Load, Plan, make_plan
from memory.probe import Hardware, Host
from memory.slot import Slot
from memory.units import GIB, MIB
from pipelines.runtime import planning
from pipelines.runtime.preparation import Preparation
from pipelines.settings import ScoreSettings
from pipelines.spans import Span

from ..conftest import Bench

GPUS = tuple(Device("cuda", i, f"GPU {i}", f"GPU-{i}{i}", 8 * GIB, 8 * GIB) for i in range(3))
MACHINE = Hardware(Host(32 * GIB, 32 * GIB, 8), GPUS)


def prepared(bench: Bench, budget: Budget, cost: Cost) -> Preparation:
    pipeline, video = bench.pipeline, bench.pipeline.video
    choice = planning.choose()
    windows = pipeline.engine.windows(choice)
    plan = make_plan(cost, pixels=64 * 48, frames=35, budget=budget, window=windows)
    return Preparation(pipeline, video, Span(0, 35), choice, cost, plan, budget)  # type: ignore[arg-type]


FIXED = Cost(host=Load(fixed=GIB))


@pytest.mark.parametrize(("gib", "fit"), [(9.0, 4), (4.9, 4), (4.0, 3), (1.9, 1), (1.4, 1)])
def test_as_many_workers_as_fit_beside_the_run(bench: Bench, gib: float, fit: int) -> None:
    """Each holds 1 GiB, the run itself half of one."""
    count, plan = prepared(bench, Budget(int(gib * GIB)), FIXED).shared(4, GIB // 2)
    assert count == fit
    assert count == 1 or plan.predicted_host_bytes * count + GIB // 2 <= gib * GIB


def test_windows_get_smaller_before_workers_get_fewer(bench: Bench) -> None:
    cost = Cost(host=Load(fixed=GIB, per_window_frame=256 * MIB))
    alone = prepared(bench, Budget(5 * GIB), cost)
    assert alone.plan.window_frames == 8
    count, plan = alone.shared(3, 0)
    assert (count, plan.window_frames) == (3, 2)


def test_a_network_keeps_its_windows(bench: Bench) -> None:
    """Other windows and batches may round differently there."""
    bench.pipeline.network = True
    cost = Cost(host=Load(fixed=GIB, per_window_frame=256 * MIB))
    count, plan = prepared(bench, Budget(6 * GIB), cost).shared(3, 0)
    assert (count, plan.window_frames) == (2, 8)


def test_workers_on_one_gpu_share_its_memory(bench: Bench) -> None:
    cost = Cost(device=Load(fixed=3 * GIB))
    one = prepared(bench, Budget(32 * GIB, 8 * GIB), cost)
    assert one.shared(4, 0)[0] == 2
    three = replace(one, slots=tuple(Slot(f"cuda:{i}") for i in range(3)))
    assert three.shared(9, 0)[0] == 6


def test_each_worker_sees_one_of_the_gpus() -> None:
    slots = planning._slots(ScoreSettings(), MACHINE, GPUS[0])
    assert [slot.device for slot in slots] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [dict(slot.environment) for slot in slots] == [
        {"CUDA_VISIBLE_DEVICES": f"GPU-{i}{i}"} for i in range(3)
    ]


@pytest.mark.parametrize(
    ("settings", "device", "name"), [("cuda:1", GPUS[1], "cuda:1"), ("cpu", None, "cpu")]
)
def test_a_device_that_is_named_is_the_only_one(settings: str, device: Device | None, name: str) -> None:
    assert planning._slots(ScoreSettings(device=settings), MACHINE, device) == (Slot(name),)


def test_a_plan_can_be_sent() -> None:
    plan = make_plan(FIXED, pixels=1, frames=9, budget=Budget(GIB), window=(1, 2))
    assert Plan.from_json(plan.to_json()) == plan
