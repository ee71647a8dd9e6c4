"""Several workers, one result: the bytes of one worker alone, whoever is killed, frozen or too many."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from .crews import PATIENCE_SECONDS, Files, made, of, run, started

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.mark.parametrize("name", ["score", "inpaint", "track", "animate"])
def test_the_result_is_that_of_one_worker(
    name: str, tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    """Three workers are at work at once, one at each span, before any of them may go on."""
    task, first = tasks[name], (0, 8, 16)
    for frame in first:
        (gate / f"hold-{frame}").touch()
    with started(task, tmp_path / "crew", "--workers", 3) as running:
        assert len({running.arrival(gate, frame) for frame in first}) == 3
        for frame in first:
            (gate / f"hold-{frame}").unlink()
        heard = running.end()
    assert {event["worker"] for event in of(heard, "segment")} == {1, 2, 3}
    assert made(tmp_path / "crew") == alone(name)


def test_a_folder_is_computed_film_by_film(
    tasks: dict[str, Any], alone: Callable[[str], Files], tmp_path: Path
) -> None:
    run(tasks["folder"], tmp_path / "crew", "--workers", 2)
    assert made(tmp_path / "crew") == alone("folder")


def test_spans_of_a_killed_worker_are_computed_again(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    task = tasks["inpaint"]
    (gate / "hold-9").touch()
    with started(task, tmp_path / "crew", "--workers", 2) as running:
        os.kill(running.arrival(gate, frame=9), signal.SIGKILL)
        (gate / "hold-9").unlink()
        heard = running.end()
    said = [event["message"] for event in of(heard, "warning") if event["code"] == "worker_died"]
    assert len(said) == 1 and "was killed by signal 9" in said[0]
    assert made(tmp_path / "crew") == alone("inpaint")


def test_a_killed_run_leaves_no_worker_and_is_resumed(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    task = tasks["inpaint"]
    (gate / "hold-9").touch()
    with started(task, tmp_path / "crew", "--workers", 2) as running:
        worker = psutil.Process(running.arrival(gate, frame=9))
        leader = worker.parent()
        assert leader
        running.popen.kill()
        leader.kill()
        worker.wait(PATIENCE_SECONDS)
    (gate / "hold-9").unlink()
    run(task, tmp_path / "crew", "--workers", 3)
    assert made(tmp_path / "crew") == alone("inpaint")
