"""The command `work`, and who the flags say computes a job."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from memory.units import GIB
from pipelines import __main__ as program
from pipelines.cli.options import team_of
from pipelines.errors import BadInput
from pipelines.workers.builds import CPU, builds, own_slot
from pipelines.workers.folder_exchange import FolderExchange
from pipelines.workers.main import _hiring
from pipelines.workers.meeting import exchange_of_run
from pipelines.workers.process import WorkerProcess
from pipelines.workers.pulled_crew import PulledCrew
from pipelines.workers.runner import ALONE, Team
from pipelines.workers.store_exchange import StoreExchange
from tests.pipelines.workers.shelf import make_bucket

ROOT = Path(__file__).parents[3]


class Joined:
    """A worker that ends at once."""

    seen: tuple[Any, ...] = ()

    def __init__(self, *given: Any) -> None:
        Joined.seen = given

    def work(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> Any:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr("pipelines.workers.pull.PulledWorker", Joined)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_worker_joins_the_folder_that_is_named(tmp_path: Path) -> None:
    flags = ["--jobs-dir", str(tmp_path / "jobs"), "--idle-exit", "600", "--device", "cpu"]
    assert program.main(["work", *flags]) == 0
    exchange, card, _, leaving, idle_seconds = Joined.seen
    assert (exchange.place, idle_seconds, card.device) == (tmp_path / "jobs" / ".workers", 600, CPU)
    assert card.builds == builds()
    assert leaving.is_set(), "SIGTERM asks it to leave"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_one_that_is_asked_to_leave_while_it_starts_ends_well(tmp_path: Path, number: str) -> None:
    (tmp_path / "cyclopts.py").write_text(f"import os, signal\nos.kill(os.getpid(), signal.{number})\n")
    work = [sys.executable, "-m", "pipelines", "work", "--jobs-dir", str(tmp_path)]
    assert subprocess.run(work, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}).returncode == 0


def test_a_folder_that_cannot_be_joined_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(self: Joined) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Joined, "work", refused)
    assert program.main(["work", "--jobs-dir", str(tmp_path)]) == 2
    assert f"Workers cannot join {tmp_path}: Permission denied." in capsys.readouterr().err


def test_a_store_is_joined_instead_of_a_folder(tmp_path: Path) -> None:
    store = make_bucket(tmp_path / "bucket")
    assert (
        program.main(["work", "--store", store, "--jobs-dir", str(tmp_path / "jobs"), "--cache-gb", "2"]) == 0
    )
    exchange = Joined.seen[0]
    assert exchange.store.address == store and exchange._cache_bytes == 2 * GIB
    assert not (tmp_path / "jobs").exists()


def test_a_store_that_cannot_be_joined_is_bad_input_and_names_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_bucket(tmp_path / "bucket")
    (tmp_path / "bucket" / ".refused").touch()
    assert program.main(["work", "--store", store]) == 2
    assert program.main(["work", "--store", "s3://me:hunter2@bucket"]) == 2
    said = capsys.readouterr().err
    assert f"The store {store} cannot be used: it refuses the credentials." in said
    assert "may hold no credentials" in said and "hunter2" not in said


def test_a_run_meets_workers_in_the_store_and_says_when_that_is_away(tmp_path: Path) -> None:
    store, warned = make_bucket(tmp_path / "bucket"), []

    def check() -> None:
        (tmp_path / "bucket" / ".away").unlink()

    request: Any = type(
        "Request",
        (),
        {"folder": tmp_path, "check": staticmethod(check), "warn": lambda self, *said: warned.append(said)},
    )()
    assert isinstance(exchange_of_run("", request), FolderExchange)
    exchange = exchange_of_run(store, request)
    assert isinstance(exchange, StoreExchange)
    exchange.patience._wait = lambda seconds: None
    (tmp_path / "bucket" / ".away").touch()
    assert exchange.posts() == []
    ((code, sentence),) = warned
    assert (code, sentence.key) == ("store", "store_away") and "goes on by itself" in sentence


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--store", "s3://bucket"], "--store is where pulled workers join."),
        (["--crew", "pulled", "--store", "bucket"], "'bucket' is no address of a store."),
    ],
)
def test_a_store_that_nobody_joins_or_that_is_none_is_bad_input(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not read")
    assert program.main(["score", str(clip), "--engine", "builtin", "--jobs-dir", str(tmp_path), *flags]) == 2
    assert words in capsys.readouterr().err
    assert app.main([f"--jobs-dir={tmp_path}", *flags]) == 2


def test_a_device_that_is_missing_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["work", "--device", "cuda:77"]) == 2
    assert "There is no device cuda:77." in capsys.readouterr().err


def test_a_worker_on_the_cpu_sees_no_gpu() -> None:
    kind, slot = own_slot("cpu")
    assert (kind, slot.device, dict(slot.environment)) == (CPU, "cpu", {"CUDA_VISIBLE_DEVICES": ""})


def test_builds_name_the_program_and_what_makes_pixels() -> None:
    found = builds()
    assert found["ffmpeg"].startswith("ffmpeg version")
    assert {"longtake", "processor", "numpy", "av"} <= found.keys()


@pytest.mark.parametrize(
    ("workers", "crew", "count"),
    [(None, "local", 1), (None, "pulled", 0), ("auto", "local", 0), (3, "local", 3), (3, "pulled", 3)],
)
def test_the_flags_say_who_computes(workers: Any, crew: Any, count: int) -> None:
    assert team_of(workers, crew, mixed_devices=False) == Team(count, crew)


def test_the_page_takes_the_same_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Team] = []
    monkeypatch.setattr(app, "_serve", lambda *given, **more: seen.append(more["team"]))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for flags in ([], ["--crew=pulled", "--workers=2", "--mixed-devices", "--store=s3://bucket"]):
        assert app.main([f"--jobs-dir={tmp_path}", *flags]) == 0
    assert seen == [ALONE, Team(2, "pulled", mixed_devices=True, store="s3://bucket")]


def test_the_worker_process_is_told_who_computes() -> None:
    team = Team(2, "pulled", mixed_devices=True, store="s3://bucket")
    asked, alone = (json.loads(each._argument()) for each in (WorkerProcess(30, team), WorkerProcess()))
    assert (asked["stuck_seconds"], Team(**asked["team"])) == (30, team)
    assert (alone["stuck_seconds"], Team(**alone["team"])) == (None, ALONE)


def test_ray_has_flags_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.workers.ray_access.find_spec", lambda name: name)
    team = team_of(None, "ray", ray_address="local", wait_seconds=5)
    assert team == Team(0, "ray", wait_seconds=5, ray_address="local")
    with pytest.raises(BadInput, match="HOST:PORT"):
        team_of(2, "ray")
    for more in ({"ray_address": "local"}, {"ray_insecure": True}):
        with pytest.raises(BadInput, match="--crew ray"):
            team_of(2, "pulled", **more)


@pytest.mark.parametrize("command", [["doctor"], ["resume"], ["score", "clip.mp4"]])
def test_a_cluster_that_may_not_be_used_is_said_before_anything_is_done(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("pipelines.workers.ray_access.find_spec", lambda name: name)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    flags = ["--crew", "ray", "--ray-address", "head:6379", "--jobs-dir", str(tmp_path / "jobs")]
    assert program.main([*command, *flags]) == 2
    assert "RAY_AUTH_MODE" in capsys.readouterr().err
    assert app.main([f"--jobs-dir={tmp_path / 'jobs'}", *flags[:-2]]) == 2
    assert not (tmp_path / "jobs").exists()


def test_the_doctor_looks_at_the_crew_that_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("pipelines.doctor.examine", lambda jobs_dir: [])
    assert program.main(["doctor", "--crew", "pulled", "--jobs-dir", str(tmp_path)]) == 1
    assert "No worker can be used. Start one with" in capsys.readouterr().err
    assert program.main(["doctor", "--jobs-dir", str(tmp_path)]) == 0


@pytest.mark.parametrize(("address", "joins"), [("local", False), ("head:6379", True)])
def test_workers_of_a_cluster_have_their_own_memory_and_patience(address: str, joins: bool) -> None:
    hiring = _hiring(Team(0, "ray", ray_address=address), 30)
    assert hiring and (hiring.joins, hiring.stuck_seconds) == (joins, 30)
    assert hiring.waiting.most_seconds == 600


def test_a_job_waits_for_those_who_join_as_long_as_it_is_told() -> None:
    hiring = _hiring(Team(0, "pulled", wait_seconds=5), None)
    assert hiring and hiring.waiting.most_seconds == 5


def test_one_local_worker_hires_nobody_and_pulled_ones_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(PulledCrew, "__init__", lambda self, *given, **more: made.append(more))
    monkeypatch.setattr("pipelines.workers.main.device_of", lambda settings: CPU)
    assert _hiring(ALONE, None) is None
    local, pulled = _hiring(Team(2), 30), _hiring(Team(0, "pulled", mixed_devices=True), None)
    assert local and not local.joins and local.stuck_seconds == 30
    assert pulled and pulled.joins and pulled.workers == 0
    request: Any = type("Request", (), {"settings": None, "folder": tmp_path / "job"})
    pulled.make(request)
    assert made == [{"mixed": True}]
