"""What runs on a machine of a cluster: a real member, told and heard as lines, and the look at the machine."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.jobs import events
from pipelines.runtime.crew import Open
from pipelines.storage.names import to_json
from pipelines.workers import seat
from pipelines.workers.builds import CPU, builds
from pipelines.workers.exchange import ANSWERS, Gone
from pipelines.workers.seat import HERE, Seat, answer_to, look_at


@pytest.fixture
def sat() -> Iterator[Seat]:
    made = Seat(CPU)
    yield made
    made.end(at_once=True)


def test_a_seat_carries_orders_and_answers_until_it_is_ended(sat: Seat, tmp_path: Path) -> None:
    said = sat.listen()
    assert next(said) == HERE
    sat.tell(to_json(Open(folder=tmp_path / "none", plan={})))
    failed = ANSWERS.validate_json(next(said))
    assert isinstance(failed, events.Failed), "there is no such job"
    sat.end(at_once=False)
    assert isinstance(ANSWERS.validate_json(next(said)), Gone)


def test_a_listener_asks_anew_after_some_lines_and_misses_none(
    sat: Seat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray would keep something of each line for as long as the call lasts, which may be days."""
    monkeypatch.setattr(seat, "_MOST_LINES", 1)
    for _ in range(4):
        sat.tell(to_json(Open(folder=tmp_path / "none", plan={})))
    heard: list[bytes] = []
    while len(heard) < 4:
        here, *lines = sat.listen()
        assert here == HERE
        heard += lines
    assert {ANSWERS.validate_json(line).type for line in heard} == {"failed"}


def test_a_seat_that_passes_the_limit_says_so_and_ends(sat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = events.Failed(job="", code="not_enough_memory", message="Too much.", hint="", exit_code=3)
    monkeypatch.setattr(sat._limit, "passed", lambda: failed)
    said = sat.listen()
    assert next(said) == HERE
    assert ANSWERS.validate_json(next(said)) == failed


def test_a_machine_answers_what_it_reads_and_says_who_it_is(tmp_path: Path) -> None:
    (tmp_path / "probe").write_text("words")
    card = look_at(tmp_path / "probe", CPU, "a1")
    assert answer_to(tmp_path / "probe", "a1").read_text() == "words"
    assert (card.device, card.builds) == (CPU, builds())


def test_the_kinds_of_all_gpus_of_a_machine_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probe").write_text("words")
    monkeypatch.setattr(seat, "probe_hardware", lambda environ: Gpus)
    assert look_at(tmp_path / "probe", "auto", "a1").device == "NVIDIA A and NVIDIA B"


class Gpus:
    devices = tuple(SimpleNamespace(name=name) for name in ["NVIDIA B", "NVIDIA A", "NVIDIA B"])


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look_at(tmp_path / "probe", CPU, "a1")
