"""A connection to a Ray cluster: which machines it has, who they are, and actors on them.

The only module that imports Ray, and only once a cluster is connected to: in processes that compute, never the page's.
"""

import contextlib
import logging
import os
import secrets
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memory.compute import CPU
from memory.units import MIB
from pipelines.errors import BadInput
from pipelines.storage.names import shortened
from pipelines.workers.builds import ANY_DEVICE
from pipelines.workers.exchange import Card
from pipelines.workers.folder_exchange import FolderExchange
from pipelines.workers.ray_access import LOCAL, check_access, check_reach, lets_strangers_in
from pipelines.workers.runner import Team
from pipelines.workers.seat import Seat, answer_to, look_at

_SMALL = {"include_dashboard": False, "object_store_memory": 100 * MIB}
"""What a cluster of our own does without, and has little of: nothing but lines travels through its store."""


@dataclass
class Node:
    """A machine of a cluster: how many members it has room for, and who it is, once that is known."""

    id: str
    host: str
    places: int
    card: Card | None = None
    trouble: str = ""
    """Why it cannot be used."""
    rests_until: float = 0.0


class Probe:
    """A file in the jobs folder that other machines read and answer, which proves that they share the folder."""

    def __init__(self, jobs_dir: Path) -> None:
        """Raises OSError."""
        self.path = FolderExchange(jobs_dir).place / f"ray-{secrets.token_hex(8)}"
        self._words = secrets.token_hex(16).encode()
        self.path.write_bytes(self._words)

    def is_answered_by(self, node: str) -> bool:
        """Whether the machine `node` has written here what it has read here; the answer is removed."""
        with contextlib.suppress(OSError):
            answer = answer_to(self.path, node)
            words = answer.read_bytes()
            answer.unlink()
            return words == self._words
        return False

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


class RayCluster:
    """A connection to a cluster. Ray knows one at a time in a process; leaving the context ends it."""

    def __init__(self, team: Team, device: str, member_bytes: int = 0, places: int = 1) -> None:
        """`device`: the kind that jobs compute on; `places`: those of a cluster that is started here.

        Raises BadInput where it cannot be connected to.
        """
        check_access(team.ray_address, os.environ, insecure=team.ray_insecure)
        self.team = team
        self.on_gpu = device not in (ANY_DEVICE, CPU)
        self._member_bytes = 0 if team.ray_address == LOCAL else member_bytes
        self._nodes: dict[str, Node] = {}
        self._asked: dict[Any, Node] = {}
        self.ray = _connected(team, places, on_gpu=self.on_gpu)

    def nodes(self) -> list[Node]:
        """Return the machines that are there now, those with a place for a member."""
        there = []
        for found in self.ray.nodes():
            if found["Alive"] and (places := self._places(found["Resources"])):
                id = found["NodeID"]
                node = self._nodes.setdefault(id, Node(id, found["NodeManagerHostname"], places))
                node.places = places
                there.append(node)
        return there

    def ask(self, nodes: list[Node], probe: Probe) -> None:
        """Ask `nodes` who they are, and to answer the probe; `answers` has what they say."""
        device = "auto" if self.on_gpu else CPU
        for node in nodes:
            look = self.ray.remote(num_cpus=0, max_retries=0, **self._on(node))(look_at)
            self._asked[look.remote(probe.path, device, node.id)] = node

    def answers(self, probe: Probe, timeout_seconds: float, least: int | None = None) -> list[Node]:
        """Return the nodes that have answered, with card or trouble; waits for `least`, or all, at most so long."""
        asked = list(self._asked)
        if not asked:
            return []
        self.ray.wait(asked, num_returns=min(least or len(asked), len(asked)), timeout=timeout_seconds)
        done, _ = self.ray.wait(asked, num_returns=len(asked), timeout=0)
        answered = [self._asked.pop(ref) for ref in done]
        for ref, node in zip(done, answered, strict=True):
            try:
                node.card = self.ray.get(ref)
            except self.ray.exceptions.RayTaskError as error:
                node.trouble = first_line(error.cause)
            except self.ray.exceptions.RayError as error:
                node.trouble = first_line(error)
            if node.card and not probe.is_answered_by(node.id):
                node.trouble = f"what it writes to {probe.path.parent} does not arrive here"
        return answered

    def seat(self, node: Node) -> Any:
        """Start an actor on `node`."""
        needs: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if self.on_gpu else {"num_cpus": 1}
        if self._member_bytes:
            needs["memory"] = self._member_bytes
        # One thread to listen and one to tell, which keeps orders in their order.
        groups = {"listen": 1, "tell": 1}
        actor = self.ray.remote(
            max_restarts=0, max_task_retries=0, concurrency_groups=groups, **needs, **self._on(node)
        )
        return actor(Seat).remote("auto" if self.on_gpu else CPU)

    def close(self) -> None:
        """End the connection; a cluster that was started for it ends, too."""
        self.ray.shutdown()

    def _places(self, resources: dict[str, float]) -> int:
        places = int(resources.get("GPU" if self.on_gpu else "CPU", 0))
        if self._member_bytes:
            places = min(places, int(resources.get("memory", 0) // self._member_bytes))
        return places

    def _on(self, node: Node) -> dict[str, Any]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}


def _connected(team: Team, places: int, *, on_gpu: bool) -> Any:
    """Connect to the cluster and return the module `ray`. Raises BadInput."""
    # Ray starts a cluster of its own at any call without one, and tells its makers of clusters that it starts.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address = team.ray_address
    if address == LOCAL:
        # A token that nobody else knows: Ray listens on all addresses of the machine, whatever it is told.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        gpus = {} if on_gpu else {"num_gpus": 0}
        return _initialized(address, _node_ip_address="127.0.0.1", num_cpus=places, **_SMALL, **gpus)
    check_reach(address)
    if team.ray_insecure:
        return _initialized(address)
    with ThreadPoolExecutor(1) as beside:
        lets_in = beside.submit(lets_strangers_in, address, os.environ)
        ray = _initialized(address)
        if lets_in.result():
            ray.shutdown()
            raise BadInput(
                f"The Ray cluster {address} asks for no token: whoever reaches it can run programs on its machines.",
                "Start it again with RAY_AUTH_MODE=token; or accept the risk with --ray-insecure.",
                "ray.unusable",
            )
    return ray


def _initialized(address: str, **given: Any) -> Any:
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **given)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise BadInput(
            f"The Ray cluster {address} cannot be used: {first_line(error)}",
            "Run on a machine that is part of it (`ray start --address=HOST:PORT --num-cpus=0`), with its token, and "
            "with its versions of Ray and Python.",
            "ray.unusable",
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process without a word
    return ray


def first_line(error: BaseException) -> str:
    """What an error says first: Ray's go on for pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(lines[0]) if lines else type(error).__name__
