"""Many jobs of one command: how far ahead they are started, and that their results do not know of each other."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.__main__ import main
from pipelines.cli.options import JobsOptions, Options, open_queue
from pipelines.cli.side_by_side import started
from pipelines.errors import BadInput

from ..workers.crews import made
from .in_process import draw


def story(at_once: int, names: str, same: Callable[[str], Any] = id) -> str:
    """What is started (a letter) and dealt with (a capital), in order."""
    told = ""

    def start(name: str) -> Any:
        nonlocal told
        told += name
        return name

    queue: Any = SimpleNamespace(at_once=at_once)
    for _, job in started(names, start, queue, same):
        told += str(job).upper()
    return told


def test_one_at_a_time_is_started_when_the_one_before_is_dealt_with() -> None:
    assert story(1, "abc") == "aAbBcC"


def test_as_many_wait_as_run() -> None:
    assert story(2, "abcdef") == "abcdAeBfCDEF"


def test_copies_of_a_film_are_one_job_and_come_one_after_another() -> None:
    assert story(2, "abad", same=lambda name: name) == "abABadAD"


@pytest.mark.parametrize("at_once", [1, 3])
def test_what_cannot_start_costs_the_others_nothing(at_once: int) -> None:
    def start(name: str) -> Any:
        if name == "b":
            raise BadInput("It is no video.")
        return name

    queue: Any = SimpleNamespace(at_once=at_once)
    found = [str(job) for _, job in started("abc", start, queue)]
    assert found == ["a", "It is no video.", "c"]


@pytest.mark.parametrize("options", [Options, JobsOptions])
def test_the_flag_makes_the_places(tmp_path: Path, options: Callable[..., Any]) -> None:
    for count in (1, 3):
        with open_queue(options(jobs_dir=tmp_path, jobs_at_once=count)) as queue:
            assert queue.at_once == count


@pytest.mark.parametrize("wrong", ["0", "65", "many"])
def test_a_number_that_makes_no_sense_is_refused(
    tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(tmp_path), "--jobs-at-once", wrong]) == 2
    assert "jobs-at-once" in capsys.readouterr().err


def test_two_at_once_make_the_bytes_of_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With processes of their own, and a limit of memory that holds for both."""
    films = tmp_path / "films"
    draw(films / "a.mp4", 12), draw(films / "b.mp4", 14)
    (films / "c.mp4").write_bytes(b"no video")
    files, heard = [], []
    for count in (1, 2):
        folder = tmp_path / "run"
        folder.mkdir()
        monkeypatch.chdir(folder)
        flags = ["--jobs-at-once", str(count), "--ram-limit-gb", "3", "-o", "out", "--jobs-dir", "jobs"]
        assert main(["score", str(films), *flags]) == 5, "one of them is no video"
        files.append(made(folder))
        for journal in folder.glob("jobs/*/events.jsonl"):
            heard += [json.loads(line) for line in journal.read_text().splitlines()]
        monkeypatch.chdir(tmp_path)
        folder.rename(tmp_path / f"run{count}")
    assert files[0] == files[1] and any(name.endswith("scores.csv") for name in files[0])
    assert len({event["worker_pid"] for event in heard if event["type"] == "started"}) == 3
