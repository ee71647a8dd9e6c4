"""The doctor's look at a crew: who is there, what differs, what to do where nobody can be used."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.doctor import Finding
from pipelines.errors import NoWorker
from pipelines.workers import crew_check, ray_cluster, seat
from pipelines.workers.builds import CPU
from pipelines.workers.crew_check import check_crew
from pipelines.workers.exchange import ASKED, Card, Leave
from pipelines.workers.folder_exchange import FolderExchange, FolderPost, FolderPulse
from pipelines.workers.runner import Team

from .fake_ray import FakeRay

BUILDS = {"longtake": "1"}
PULLED, RAY = Team(0, "pulled"), Team(0, "ray", ray_address="10.0.0.1:6379")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_check, "builds", lambda: dict(BUILDS))
    monkeypatch.setattr(seat, "builds", lambda: dict(BUILDS))
    monkeypatch.setattr(crew_check, "device_of", lambda settings: CPU)


def found(team: Team, jobs_dir: Path) -> list[Finding]:
    told: list[Finding] = []
    check_crew(team, jobs_dir, told.extend)
    return told


def refused(team: Team, jobs_dir: Path) -> tuple[list[Finding], str]:
    told: list[Finding] = []
    with pytest.raises(NoWorker) as raised:
        check_crew(team, jobs_dir, told.extend)
    assert raised.value.exit_code == 1
    return told, raised.value.hint


# -- workers of a folder -------------------------------------------------------------------------------------


@pytest.fixture
def joins(tmp_path: Path) -> Iterator[Callable[..., FolderPost]]:
    pulses: list[FolderPulse] = []

    def joined(name: str = "one", **differs: str) -> FolderPost:
        exchange = FolderExchange(tmp_path)
        post = exchange.post(name)
        post.open(Card(host=f"host-{name}", device=CPU, builds={**BUILDS, **differs}))
        pulses.append(exchange.pulse(name))
        pulses[-1].__enter__()
        return post

    yield joined
    for pulse in pulses:
        pulse.close()


def leaves_when_told(post: FolderPost) -> threading.Thread:
    def wait() -> None:
        while not post.orders.take(ASKED):
            pass
        post.remove()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_free_worker_is_heard_and_hears(joins: Callable[..., FolderPost], tmp_path: Path) -> None:
    thread = leaves_when_told(joins())
    (worker,) = found(PULLED, tmp_path)
    thread.join()
    assert worker.ok and worker.found.startswith("host-one, cpu, answers in")
    assert worker.found.endswith("same builds")
    assert list(FolderExchange(tmp_path).place.iterdir()) == []


def test_one_at_work_is_not_disturbed(joins: Callable[..., FolderPost], tmp_path: Path) -> None:
    post = joins()
    post.take("run-other")
    (worker,) = found(PULLED, tmp_path)
    assert worker.ok and "at work" in worker.found
    assert post.orders.take(ASKED) == []


def test_one_that_does_not_answer_or_differs_cannot_be_used(
    joins: Callable[..., FolderPost], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_check, "_PROBE_SECONDS", 0)
    silent = joins("deaf")
    joins("other", longtake="2").take("run-other")
    told, advice = refused(PULLED, tmp_path)
    deaf, other = told
    assert "does not answer through" in deaf.found and not deaf.ok
    assert "longtake is 2 there, and 1 here" in other.found and not other.ok
    assert f"python -m pipelines work --jobs-dir {tmp_path}" in advice
    silent.remove()
    (mixed,) = found(Team(0, "pulled", mixed_devices=True), tmp_path)
    assert mixed.ok and "longtake is 2 there" in mixed.found


def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    (FolderExchange(tmp_path).place / "garbage").write_text("no worker")
    told, advice = refused(PULLED, tmp_path)
    assert told == [] and "pipelines work" in advice


def test_what_a_worker_is_told_lets_it_join_again() -> None:
    assert Leave() == Leave(at_once=False), "it ends nothing at once"


# -- Ray -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    fake.install(monkeypatch)
    fake.machines = {"one": {"CPU": 2.0}}
    monkeypatch.setattr(ray_cluster, "check_reach", lambda address: None)
    strangers: Any = lambda address, environ: False  # noqa: E731
    monkeypatch.setattr(ray_cluster, "lets_strangers_in", strangers)
    monkeypatch.setattr(crew_check, "lets_strangers_in", lambda address, environ: True)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123")
    return fake


def test_machines_of_a_cluster_are_told_with_versions_token_and_places(ray: FakeRay, tmp_path: Path) -> None:
    cluster, token, worker = found(RAY, tmp_path)
    assert cluster.found.startswith("10.0.0.1:6379: Ray 2.0, Python 3.")
    assert token.found == "needed, and read from RAY_AUTH_TOKEN"
    assert worker.ok and worker.found.endswith("cpu, 2 places, shares the jobs folder, same builds")
    assert ray.shut == 1 and list(FolderExchange(tmp_path).place.iterdir()) == []


def test_a_machine_that_cannot_be_used_says_why(ray: FakeRay, tmp_path: Path) -> None:
    ray.machines["two"] = {"CPU": 1.0}
    ray.silent = {"two"}
    ray.look = lambda path, device, node: Card(host="one", device=CPU, builds=BUILDS)
    told, advice = refused(RAY, tmp_path)
    one, two = told[2:]
    assert "does not arrive here" in one.found and "two, 1 place: does not answer in 30 s" in two.found
    assert "ray start --address=10.0.0.1:6379" in advice


def test_a_cluster_that_cannot_be_joined_is_a_finding(ray: FakeRay, tmp_path: Path) -> None:
    ray.init_error = ConnectionError("Nobody is there.")
    told, _ = refused(RAY, tmp_path)
    assert "Nobody is there." in told[0].found and not told[0].ok and "ray start" in told[0].advice


def test_a_cluster_without_tokens_is_told_of_where_the_risk_was_taken(ray: FakeRay, tmp_path: Path) -> None:
    insecure = Team(0, "ray", ray_address=RAY.ray_address, ray_insecure=True)
    _, token, worker = found(insecure, tmp_path)
    assert (token.found, token.ok, worker.ok) == ("the cluster asks for none", False, True)


def test_a_cluster_of_this_machine_has_a_token_for_each_run(ray: FakeRay, tmp_path: Path) -> None:
    _, token, worker = found(Team(0, "ray", ray_address="local"), tmp_path)
    assert token.found == "a new one for each run" and worker.ok
