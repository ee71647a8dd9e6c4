"""Workers in a real Ray cluster: the bytes of one worker alone, whoever joins, leaves or is killed.

Only where Ray is installed (requirements-ray.txt). One cluster for all: a head with two places, in token mode.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.workers.ray_access import lets_strangers_in

from .crews import PATIENCE_SECONDS, ROOT, Files, Running, made, of, run, started

pytest.importorskip("ray", reason="Ray is an extra: pip install -r requirements-ray.txt")
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("plugin", "hushed")]

RAY = [sys.executable, "-c", "import sys; from ray.scripts.scripts import main; sys.exit(main())"]
LOOPBACK = ("--node-ip-address", "127.0.0.1")
FRAMES = range(200)


class Cluster:
    """A head that listens at `address`, in the environment of who starts it."""

    def __init__(self, port: int, *more: str) -> None:
        self.address = f"127.0.0.1:{port}"
        # Paths of sockets have to be short.
        self._folder = tempfile.mkdtemp(prefix="lt-", dir="/tmp")
        flags = ("--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", self._folder)
        self._nodes = [start(*flags, *more)]

    def flags(self, *more: str) -> tuple[str, ...]:
        return ("--crew", "ray", "--ray-address", self.address, *more)

    @contextlib.contextmanager
    def joined(self) -> Iterator[psutil.Process]:
        """One more machine with one place, as Ray sees it; killed at the end."""
        node = start("--address", self.address, "--num-cpus", "1")
        try:
            yield node
        finally:
            kill(node)

    def close(self) -> None:
        for node in self._nodes:
            kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)


def start(*flags: str) -> psutil.Process:
    """Start a node of a cluster, and wait until Ray says that it runs."""
    popen = psutil.Popen(
        [*RAY, "start", "--block", *LOOPBACK, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = ""
    while "Ray runtime started" not in said:
        line = popen.stdout.readline()
        assert line, said
        said += line
    return popen


def kill(node: psutil.Process) -> None:
    """Kill all processes of a node at once, as a machine that loses its power."""
    with contextlib.suppress(psutil.Error):
        for each in (*node.children(recursive=True), node):
            with contextlib.suppress(psutil.Error):
                each.kill()
        node.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def hushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token for this module, and gates: the environment of the cluster, and of those who use it."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(secrets.token_hex(32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("LONGTAKE_TEST_GATE", str(tmp_path_factory.mktemp("gate")))
        yield


@pytest.fixture(scope="module")
def cluster(plugin: None, hushed: None) -> Iterator[Cluster]:
    made = Cluster(free_port(), "--num-cpus", "2")
    yield made
    made.close()


@pytest.fixture
def gate() -> Path:
    """A folder in which a file `hold-N` lets every worker wait before frame N."""
    folder = Path(os.environ["LONGTAKE_TEST_GATE"])
    for path in folder.iterdir():
        path.unlink()
    return folder


def hold(gate: Path, *frames: int) -> None:
    for frame in frames:
        (gate / f"hold-{frame}").touch()


def let_go(gate: Path) -> None:
    for path in gate.glob("hold-*"):
        path.unlink()


def arrival_on(node: psutil.Process, gate: Path, running: Running) -> None:
    """Wait until a worker on `node` is at work."""
    while True:
        pids = {int(path.name.split("-")[1]) for path in gate.glob("at-*")}
        if pids & {each.pid for each in node.children(recursive=True)}:
            return
        assert running.popen.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.popen.wait(0.05)


def actor_of(member: int) -> int:
    """The process of Ray that a member belongs to."""
    return psutil.Process(member).ppid()


def raylets() -> set[int]:
    """The clusters that this process has started."""
    return {each.pid for each in psutil.Process().children(recursive=True) if "raylet" in each.name()}


def lost(heard: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in of(heard, "warning") if event["code"] == "worker_died"]


@pytest.mark.parametrize("name", ["score", "inpaint"])
def test_the_result_is_that_of_one_worker(
    name: str,
    tasks: dict[str, Any],
    alone: Callable[[str], Files],
    cluster: Cluster,
    gate: Path,
    tmp_path: Path,
) -> None:
    """Two workers are at work at once, before either may go on; the run computes nothing itself."""
    folder = tmp_path / "crew"
    hold(gate, 0, 16)
    with started(tasks[name], folder, *cluster.flags("--workers", "2")) as running:
        members = [running.arrival(gate, frame) for frame in (0, 16)]
        assert len({actor_of(member) for member in members}) == 2
        let_go(gate)
        heard = running.end()
    assert {event["worker"] for event in of(heard, "segment")} == {1, 2}
    assert made(folder) == alone(name)


def test_one_worker_makes_the_same(
    tasks: dict[str, Any], alone: Callable[[str], Files], cluster: Cluster, gate: Path, tmp_path: Path
) -> None:
    run(tasks["inpaint"], tmp_path / "crew", *cluster.flags("--workers", "1"))
    assert made(tmp_path / "crew") == alone("inpaint")


@pytest.mark.parametrize("whom", ["actor", "member"])
def test_spans_of_a_killed_worker_are_computed_by_another(
    whom: str,
    tasks: dict[str, Any],
    alone: Callable[[str], Files],
    cluster: Cluster,
    gate: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "crew"
    hold(gate, 9)
    with started(tasks["inpaint"], folder, *cluster.flags("--workers", "2")) as running:
        member = running.arrival(gate, 9)
        os.kill(member if whom == "member" else actor_of(member), signal.SIGKILL)
        running.wait_for("worker_died")
        let_go(gate)
        heard = running.end()
    (said,) = lost(heard)
    assert ("was killed by signal 9" if whom == "member" else "The actor died") in said
    assert made(folder) == alone("inpaint")


def test_a_machine_that_joins_is_used_and_its_loss_costs_no_try(
    tasks: dict[str, Any], alone: Callable[[str], Files], cluster: Cluster, gate: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "crew"
    hold(gate, *FRAMES)
    with started(tasks["inpaint"], folder, *cluster.flags()) as running:
        running.arrival(gate, 0)
        with cluster.joined() as node:
            arrival_on(node, gate, running)
        running.wait_for("worker_died")
        let_go(gate)
        heard = running.end()
    (said,) = lost(heard)
    assert "was lost with its machine" in said
    assert {event["attempt"] for crew in of(heard, "crew") for event in crew["members"]} == {1}
    assert made(folder) == alone("inpaint")


def test_a_killed_run_leaves_nobody_behind_and_is_resumed(
    tasks: dict[str, Any], alone: Callable[[str], Files], cluster: Cluster, gate: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "crew"
    hold(gate, 9)
    with started(tasks["inpaint"], folder, *cluster.flags("--workers", "2")) as running:
        member = psutil.Process(running.arrival(gate, 9))
        actor = member.parent()
        assert actor
        leader = psutil.Process(running.popen.pid).children()[0]
        running.popen.kill()
        leader.kill()
    for each in (actor, member):
        each.wait(PATIENCE_SECONDS)
    let_go(gate)
    run(tasks["inpaint"], folder, *cluster.flags("--workers", "2"))
    assert made(folder) == alone("inpaint")


def test_a_cluster_of_this_machine_comes_and_goes_with_the_run(
    tasks: dict[str, Any],
    alone: Callable[[str], Files],
    gate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """stdout has nothing but events."""
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    folder, before = tmp_path / "crew", raylets()
    heard = run(tasks["score"], folder, "--crew", "ray", "--ray-address", "local", "--workers", "2")
    assert all(event["worker"] for event in of(heard, "segment"))
    assert made(folder) == alone("score")
    assert raylets() <= before


def doctor(*flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipelines", "doctor", "--json", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def test_the_doctor_finds_the_machines(cluster: Cluster, tmp_path: Path) -> None:
    done = doctor(*cluster.flags("--jobs-dir", str(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "2 places, shares the jobs folder, same builds" in done.stdout


def test_another_token_is_refused(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    done = doctor(*cluster.flags("--jobs-dir", str(tmp_path)))
    assert done.returncode == 1
    assert "cannot be used" in done.stdout and "No worker can be used." in done.stderr


def test_strangers_are_told_from_the_outside(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not lets_strangers_in(cluster.address, os.environ)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    opened = Cluster(free_port(), "--num-cpus", "0")
    try:
        assert lets_strangers_in(opened.address, os.environ)
    finally:
        opened.close()
