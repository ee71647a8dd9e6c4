"""A sample of the faults that the campaigns try everywhere: `pytest -m faults` tries it, and every CI run does.

All of it: `python -m tests.faults.campaign` and `python -m tests.faults.power`, each in less than an hour.
"""

from pathlib import Path

import pytest

from tests.faults.campaign import STATUSES, Trial, sample
from tests.faults.fuzz import fuzzed
from tests.faults.harness import KILL, KILL_ALL, KILL_PARENT, Prepared, Task
from tests.faults.power import cuts
from tests.faults.tasks import draw

NAMES = ("score", "inpaint", "track", "animate", "folder")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    return draw(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("name", NAMES)
def test_after_a_kill_the_same_command_gives_the_same_bytes(
    name: str, prepared: Prepared, tasks: dict[str, Task]
) -> None:
    trial = Trial(prepared, tasks[name])
    modes = [KILL_ALL, KILL, KILL_ALL, KILL_PARENT]
    tried = [(number, modes[i % len(modes)]) for i, number in enumerate(sample(trial.calls, 4))]
    assert [what for number, mode in tried if (what := trial.kill(number, mode))] == []


@pytest.mark.parametrize("name", ["score", "inpaint"])
def test_a_call_that_fails_has_a_name_and_costs_nothing(
    name: str, prepared: Prepared, tasks: dict[str, Task]
) -> None:
    trial = Trial(prepared, tasks[name])
    errors = list(STATUSES)
    tried = [(number, errors[i % len(errors)]) for i, number in enumerate(sample(trial.calls, 4))]
    assert [what for number, error in tried if (what := trial.fail(number, error))] == []


@pytest.mark.parametrize("name", ["score", "track"])
def test_a_power_cut_costs_one_span_at_most(
    name: str, prepared: Prepared, tasks: dict[str, Task], tmp_path: Path
) -> None:
    assert [what for _, what in cuts(prepared, tasks[name], 6, seed=2026) if what] == []


def test_damaged_files_are_read_or_named(prepared: Prepared, tmp_path: Path) -> None:
    assert [(name, what) for name, _, what in fuzzed(prepared, tmp_path, 120, seed=2026) if what] == []


def test_a_fault_that_is_not_mended_is_found(prepared: Prepared, tasks: dict[str, Task]) -> None:
    """The campaign can fail: with another result expected, it says so."""
    trial = Trial(prepared, tasks["score"])
    trial.expected = {**trial.expected, "scores.csv": "another"}
    assert "other bytes" in (trial.kill(trial.calls // 2) or "")
