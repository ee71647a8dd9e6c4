import gc
import json
import traceback
import weakref
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.ladder import Effort, Ladder, LimitPassed, Rung, standard_rungs

ERRORS = [
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("HIP error: out of memory"),
    RuntimeError("MPS backend out of memory"),
    RuntimeError("XPU out of memory"),
    RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("Failed to allocate memory for requested buffer of size 12"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
]
START = Effort(window=8, batch=4)


class Big:
    """Something that can be watched."""


class Machine:
    """Fails with each error in turn while the effort is too big; keeps what was tried."""

    def __init__(self, fits, errors=ERRORS):
        self.fits, self.errors, self.tried = fits, list(errors), []

    def __call__(self, effort):
        self.tried.append(effort)
        if not self.fits(effort):
            raise self.errors[(len(self.tried) - 1) % len(self.errors)]
        return effort


def full_rungs(drop_idle=None):
    return standard_rungs(
        min_window=2,
        tiles_px=(512, 256),
        precisions=("float16",),
        scales=(0.75, 0.5),
        drop_idle=drop_idle or (lambda: True),
    )


def test_the_exact_sequence_that_is_tried_to_the_bottom():
    steps = []
    machine = Machine(lambda effort: False)
    ladder = Ladder(START, full_rungs(), on_step=steps.append, free=lambda: None)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        ladder.run(machine)
    assert [(e.window, e.batch, e.tile_px, e.precision, e.scale) for e in machine.tried] == [
        (8, 4, None, "float32", 1.0),
        (8, 4, None, "float32", 1.0),
        (8, 4, None, "float32", 1.0),
        (8, 2, None, "float32", 1.0),
        (8, 1, None, "float32", 1.0),
        (4, 1, None, "float32", 1.0),
        (2, 1, None, "float32", 1.0),
        (2, 1, 512, "float32", 1.0),
        (2, 1, 256, "float32", 1.0),
        (2, 1, 256, "float16", 1.0),
        (2, 1, 256, "float16", 0.75),
        (2, 1, 256, "float16", 0.5),
    ]
    assert [(step.rung, step.change) for step in steps] == [
        ("retry", "exact"),
        ("drop idle networks", "exact"),
        ("halve batch", "close"),
        ("halve batch", "close"),
        ("halve window", "close"),
        ("halve window", "close"),
        ("tile", "close"),
        ("tile", "close"),
        ("lower precision", "changes"),
        ("lower resolution", "changes"),
        ("lower resolution", "changes"),
    ]
    assert [step.before for step in steps] == machine.tried[:-1]
    assert [step.after for step in steps] == machine.tried[1:]
    assert all(step.down and step.message.endswith(".") for step in steps)


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_each_wording_leads_down(error):
    machine = Machine(lambda effort: effort.batch <= 2, [error])
    ladder = Ladder(START, standard_rungs(), free=lambda: None)
    assert ladder.run(machine) == Effort(window=8, batch=2)
    assert [effort.batch for effort in machine.tried] == [4, 4, 2]
    assert ladder.current == Effort(window=8, batch=2)


def test_what_passed_a_limit_is_tried_with_less_before_it_is_tried_again():
    """The same effort would hold as much again; what changes the result still comes last."""
    machine = Machine(lambda effort: False, [LimitPassed("passed")])
    rungs = standard_rungs(min_window=4, precisions=("float16",))
    steps = []
    with pytest.raises(LimitPassed):
        Ladder(Effort(window=8, batch=1), rungs, on_step=steps.append, free=lambda: None).run(machine)
    assert [step.rung for step in steps] == ["halve window", "retry", "lower precision"]


def test_without_a_network_halving_keeps_every_byte():
    assert [(rung.name, rung.change) for rung in standard_rungs(network=False)] == [
        ("retry", "exact"),
        ("halve batch", "exact"),
        ("halve window", "exact"),
    ]


def test_other_errors_pass_at_once():
    machine = Machine(lambda effort: False, [ValueError("no number")])
    steps = []
    with pytest.raises(ValueError, match="no number"):
        Ladder(START, full_rungs(), on_step=steps.append, free=lambda: None).run(machine)
    assert len(machine.tried) == 1
    assert steps == []


def test_another_error_on_a_lower_rung_passes_too():
    errors = [MemoryError(), MemoryError(), KeyError("other")]
    with pytest.raises(KeyError, match="other"):
        Ladder(START, full_rungs(), free=lambda: None).run(Machine(lambda effort: False, errors))


def test_an_interrupt_is_never_held_up():
    def interrupted(effort):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ladder(START, full_rungs(), free=lambda: None).run(interrupted)


def test_the_error_that_is_raised_is_the_first_and_tells_where():
    first, second = MemoryError("first"), MemoryError("second")

    def allocate_everything(effort):
        raise first if effort.window > 1 else second

    with pytest.raises(MemoryError, match="first") as caught:
        Ladder(Effort(window=2), standard_rungs(), free=lambda: None).run(allocate_everything)
    assert caught.value is first
    assert "allocate_everything" in [frame.name for frame in traceback.extract_tb(first.__traceback__)]


def test_what_the_failed_frames_held_is_gone_before_memory_is_freed_and_the_next_try():
    watched, alive_at_free, alive_at_retry = [], [], []

    def deeper(held):
        more = Big()
        watched.append(weakref.ref(more))
        raise RuntimeError("CUDA out of memory")

    def compute(effort):
        alive_at_retry.append([ref() is not None for ref in watched])
        held = Big()
        watched.append(weakref.ref(held))
        if effort.window > 4:
            try:
                deeper(held)
            except RuntimeError as error:
                raise ValueError("mapped at the border") from error
        return effort

    def free():
        alive_at_free.append([ref() is not None for ref in watched])

    gc.disable()
    try:
        Ladder(Effort(window=8), standard_rungs(), free=free).run(compute)
    finally:
        gc.enable()
    assert alive_at_free == [[False] * 2, [False] * 4]
    assert alive_at_retry == [[], [False] * 2, [False] * 4]


def test_a_result_after_a_failure_is_held_by_nobody_else():
    gc.disable()
    try:
        failed = []

        def compute(effort):
            if not failed:
                failed.append(True)
                raise MemoryError
            return Big()

        result = Ladder(START, standard_rungs(), free=lambda: None).run(compute)
        watch = weakref.ref(result)
        del result
        assert watch() is None
    finally:
        gc.enable()


def test_memory_is_freed_before_each_new_try_and_outside_the_handling():
    import sys

    handled = []
    ladder = Ladder(START, standard_rungs(), free=lambda: handled.append(sys.exception()))
    ladder.run(Machine(lambda effort: effort.batch == 1))
    assert handled == [None, None, None]


def test_a_rung_with_nothing_to_do_is_no_try():
    machine = Machine(lambda effort: effort.batch <= 2)
    Ladder(START, full_rungs(drop_idle=lambda: False), free=lambda: None).run(machine)
    assert [effort.batch for effort in machine.tried] == [4, 4, 2]


def test_retry_is_for_each_window_anew():
    machine = Machine(lambda effort: len(machine.tried) % 2 == 0)
    ladder = Ladder(START, standard_rungs(), free=lambda: None)
    for _ in range(3):
        assert ladder.run(machine) == START
    assert len(machine.tried) == 6


def test_the_next_window_starts_where_the_last_one_fitted():
    machine = Machine(lambda effort: effort.window <= 2)
    ladder = Ladder(Effort(window=8), standard_rungs(), free=lambda: None)
    ladder.run(machine)
    ladder.run(machine)
    assert [effort.window for effort in machine.tried] == [8, 8, 4, 2, 2]


class TestClimbing:
    def climb(self, fits, windows, *, quiet=3, rungs=None, start=START):
        steps, machine = [], Machine(fits)
        ladder = Ladder(
            start, rungs or standard_rungs(), on_step=steps.append, quiet_windows=quiet, free=lambda: None
        )
        for _ in range(windows):
            ladder.run(machine)
        return ladder, machine, steps

    def test_after_quiet_windows_one_rung_up_at_a_time_to_the_top(self):
        busy = [True] * 4 + [False] * 100  # memory is short for the first four tries
        ladder, machine, steps = self.climb(lambda effort: not busy.pop(0), 12)
        assert [effort.batch for effort in machine.tried[:4]] == [4, 4, 2, 1]
        assert [effort.window for effort in machine.tried[3:5]] == [8, 4]
        sizes = [(effort.window, effort.batch) for effort in machine.tried[4:]]
        assert sizes == [(4, 1)] + [(4, 1)] * 3 + [(8, 1)] * 3 + [(8, 2)] * 3 + [(8, 4)] * 2
        assert [step.down for step in steps] == [True] * 4 + [False] * 3
        assert ladder.current == START

    def test_what_fails_again_is_not_tried_a_third_time(self):
        ladder, machine, steps = self.climb(lambda effort: effort.batch <= 2, 40)
        assert [effort.batch for effort in machine.tried].count(4) == 4  # twice, with a retry each
        assert [step.rung for step in steps if not step.down] == ["halve batch"]
        assert ladder.current.batch == 2

    def test_a_rung_that_changes_results_is_not_climbed(self):
        rungs = standard_rungs(scales=(0.5,))
        busy = [True] * 2 + [False] * 50
        ladder, _, _ = self.climb(lambda effort: not busy.pop(0), 20, rungs=rungs, start=Effort(1))
        assert ladder.current == Effort(1, scale=0.5)

    def test_a_failure_starts_the_quiet_count_anew(self):
        fails_at = {0, 1, 4, 7, 10}  # after the fall a retry helps every third window
        tries = iter(range(1000))
        ladder, _, _ = self.climb(lambda effort: next(tries) not in fails_at, 7, quiet=3)
        assert ladder.current.batch == 2


def test_rungs_that_change_results_come_last():
    change = Rung("smaller", "changes", "Smaller.", lambda effort: replace(effort, scale=effort.scale / 2))
    with pytest.raises(ValueError, match="last"):
        Ladder(START, [change, *standard_rungs()])


def test_an_effort_survives_its_way_through_json():
    effort = Effort(window=8, batch=2, tile_px=512, precision="float16", scale=0.75)
    assert Effort.from_json(json.loads(json.dumps(effort.to_json()))) == effort


def test_a_ladder_can_start_where_another_ended():
    lowered = Effort(window=2, batch=1, tile_px=256, precision="float16", scale=0.75)
    machine = Machine(lambda effort: effort.scale < 0.75)
    Ladder(lowered, full_rungs(lambda: False), free=lambda: None).run(machine)
    assert [effort.scale for effort in machine.tried] == [0.75, 0.75, 0.5]


@given(
    window=st.integers(1, 500),
    batch=st.integers(1, 64),
    tiles=st.lists(st.integers(64, 2048), unique=True, max_size=4),
    scales=st.lists(st.floats(0.1, 0.9), unique=True, max_size=4),
    outcomes=st.lists(st.booleans(), max_size=200),
    quiet=st.integers(1, 5),
)
def test_the_ladder_ends_and_no_window_is_tried_without_bound(window, batch, tiles, scales, outcomes, quiet):
    """Whatever fails and when: a window has a bounded number of tries, each step down is to something else."""
    rungs = standard_rungs(tiles_px=tiles, precisions=("float16",), scales=scales, drop_idle=lambda: True)
    bound = 1 + 2 + window.bit_length() + batch.bit_length() + len(tiles) + 1 + len(scales)
    fate, steps = iter(outcomes), []
    ladder = Ladder(
        Effort(window, batch), rungs, on_step=steps.append, quiet_windows=quiet, free=lambda: None
    )
    for _ in range(30):
        machine = Machine(lambda effort: next(fate, True))
        try:
            ladder.run(machine)
        except (RuntimeError, MemoryError):
            assert all(rung.lower(ladder.current) in (None, ladder.current) for rung in rungs)
        assert len(machine.tried) <= bound
        downs = [step for step in steps if step.down]
        assert all(
            step.before != step.after for step in downs if step.rung not in ("retry", "drop idle networks")
        )
    climbs = sum(not step.down for step in steps)
    assert climbs <= window.bit_length() + batch.bit_length() + len(tiles)
