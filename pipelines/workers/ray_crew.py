"""A crew of actors in a Ray cluster: where Ray has places, on whichever machines, each place with a member of its own.

Ray only places the actors and carries lines; it restarts and repeats nothing, because spans are published once and
given out again by the run.
"""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from memory.compute import CPU
from pipelines.errors import Sentence
from pipelines.jobs import events
from pipelines.runtime.crew import CrewRequest, Lost, Open, Order, Ready, Said, Waiting
from pipelines.storage.names import shortened, to_json
from pipelines.workers.builds import builds, device_of, difference
from pipelines.workers.exchange import ANSWERS, Card, Gone
from pipelines.workers.ray_cluster import Node, Probe, RayCluster, first_line
from pipelines.workers.runner import Team
from pipelines.workers.seat import HERE

WAIT_SECONDS = 600.0
"""For so long a job waits for a place by default: clusters that grow by themselves take minutes for a machine."""
_LOOK_SECONDS = 1.0
"""How often a cluster is asked for machines that have joined."""
ANSWER_SECONDS = 30.0
"""How long a machine may take to say who it is, and an actor to start: Ray first starts a process of its own for it."""
_TOGETHER_SECONDS = 3.0
"""For so long a run waits at its start for all machines to answer, so that they share evenly; then for a first one."""
_REST_SECONDS = 60.0
"""A machine that gave no place in time is asked again after so long: others use it."""
_STOP_SECONDS = 10.0
"""How long all members together may take to stop at their next frame before they are killed."""
_KILL_SECONDS = 2.0
"""How long an actor may take to kill its member before it is killed itself."""


@dataclass
class _Member:
    """An actor of this run."""

    actor: Any
    node: Node
    has_started: bool = False
    is_ready: bool = False


class RayCrew:
    """Members in the places of a cluster, on those machines that have the files and builds of this run.

    Others are not used unless `team` is mixed; a warning says why.
    """

    def __init__(
        self, request: CrewRequest, team: Team, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Connect, and ask all machines who they are. Raises BadInput, and OSError for the folder."""
        self._team, self._warn, self._now = team, request.warn, now
        device = device_of(request.settings)
        self._here = Card(host=socket.gethostname(), device=device, builds=builds())
        self._cluster = RayCluster(team, device, request.member_bytes, team.workers or len(request.slots))
        self._probe = Probe(request.folder.parent)
        self._members: dict[int, _Member] = {}
        self._devices: dict[int, str] = {}
        self._said: queue.SimpleQueue[tuple[int, Said]] = queue.SimpleQueue()
        self._nodes: list[Node] = []
        self._known: set[str] = set()
        self._closed = False
        self._look(_TOGETHER_SECONDS)
        if not any(node.card for node in self._nodes):
            self._hear_nodes(ANSWER_SECONDS, least=1)

    def hire(self) -> int | None:
        """Start an actor where most places are free; None where there is no place."""
        if self._now() >= self._next_look:
            self._look(0)
        taken = [member.node.id for member in self._members.values()]
        free = {
            node.id: node.places - taken.count(node.id)
            for node in self._nodes
            if node.card and not node.trouble and node.rests_until <= self._now()
        }
        node = max(self._nodes, key=lambda each: free.get(each.id, 0), default=None)
        if node is None or free.get(node.id, 0) < 1:
            return None
        number = len(self._devices) + 1
        member = self._members[number] = _Member(self._cluster.seat(node), node)
        kind = node.card.device if node.card and self._cluster.on_gpu else CPU
        self._devices[number] = f"{kind} ({shortened(node.host)})"
        threading.Thread(target=self._listen, args=(number, member), daemon=True).start()
        return number

    def device(self, member: int) -> str:
        """Return the name of the device that `member` computes on, and of its machine."""
        return self._devices[member]

    def tell(self, member: int, order: Order) -> None:
        """Give `member` an order; one that is gone is said to be `Lost` later."""
        if isinstance(order, Open):
            order = order.model_copy(update={"verify": True})
        if each := self._members.get(member):
            each.actor.tell.options(concurrency_group="tell").remote(to_json(order))

    def poll(self, timeout_seconds: float) -> Iterator[tuple[int, Said]]:
        """Wait until a member says something, at most so long, and yield all that was said, in its order."""
        with contextlib.suppress(queue.Empty):
            yield self._said.get(timeout=timeout_seconds)
            while True:
                yield self._said.get_nowait()

    def kill(self, member: int) -> None:
        """End `member` and its children at once; it is said to be `Lost` then."""
        if each := self._members.pop(member, None):
            self._end([each], _KILL_SECONDS, at_once=True)

    def close(self, *, at_once: bool = False) -> None:
        """End all members, at their next frame or at once, and the connection."""
        if self._closed:
            return
        self._closed = True
        members, self._members = list(self._members.values()), {}
        self._end(members, _KILL_SECONDS if at_once else _STOP_SECONDS, at_once=at_once)
        self._probe.remove()
        self._cluster.close()

    def _end(self, members: list[_Member], seconds: float, *, at_once: bool) -> None:
        ray = self._cluster.ray
        # One that was given no place yet has nothing to end.
        started = [each.actor for each in members if each.has_started]
        ends = [actor.end.options(concurrency_group="tell").remote(at_once) for actor in started]
        if ends:
            ray.wait(ends, num_returns=len(ends), timeout=seconds)
        for each in members:
            ray.kill(each.actor)

    # -- who is there ----------------------------------------------------------------------------------------

    def _look(self, timeout_seconds: float) -> None:
        """Look for machines that have joined or left; a new one can be used once it has said who it is."""
        self._next_look = self._now() + _LOOK_SECONDS
        self._nodes = self._cluster.nodes()
        new = [node for node in self._nodes if node.id not in self._known]
        self._known |= {node.id for node in new}
        self._cluster.ask(new, self._probe)
        self._hear_nodes(timeout_seconds)

    def _hear_nodes(self, timeout_seconds: float, least: int | None = None) -> None:
        for node in self._cluster.answers(self._probe, timeout_seconds, least):
            if node.card and not node.trouble and not self._team.mixed_devices:
                if differs := difference(self._here, node.card):
                    node.trouble = str(differs)
                    self._warn("workers", differs)
            elif node.trouble:
                self._warn("workers", _unusable(node))

    def _is_there(self, node: Node) -> bool:
        """Whether the cluster says so; not where it cannot be asked."""
        with contextlib.suppress(Exception):
            return any(each.id == node.id for each in self._cluster.nodes())
        return False

    # -- what they say ---------------------------------------------------------------------------------------

    def _listen(self, number: int, member: _Member) -> None:
        """Pass on what a member says, until it is lost. In a thread of its own."""
        try:
            lost = self._heard_out(number, member)
        except Exception as error:  # noqa: BLE001  of Ray, which raises all kinds where a connection ends
            lost = self._why(error, member)
        self._members.pop(number, None)
        with contextlib.suppress(Exception):  # the connection may have ended
            self._cluster.ray.kill(member.actor)
        self._said.put((number, lost))

    def _heard_out(self, number: int, member: _Member) -> Lost:
        """Pass on what a member says, call by call, until it is lost."""
        ray = self._cluster.ray
        while True:
            lines = member.actor.listen.options(concurrency_group="listen").remote()
            if not member.has_started:
                started, _ = ray.wait([lines], timeout=ANSWER_SECONDS)
                if not started:
                    member.node.rests_until = self._now() + _REST_SECONDS
                    return Lost(f"was given no place by Ray in {ANSWER_SECONDS:.0f} s", counts=False)
                member.has_started = True
            for ref in lines:
                if (line := ray.get(ref)) != HERE and (lost := self._heard(number, member, line)):
                    return lost

    def _heard(self, number: int, member: _Member, line: bytes) -> Lost | None:
        """Pass on a line; returns how the member is lost, where that is what it says."""
        try:
            said = ANSWERS.validate_json(line)
        except ValidationError:
            return None
        match said:
            case Gone():
                return Lost(said.how)
            case events.Failed() if not member.is_ready:
                member.node.trouble = said.message
                where = f"on {shortened(member.node.host)} cannot open the job"
                return Lost(f"{where}: {said.message}", counts=False)
            case Ready():
                member.is_ready = True
        self._said.put((number, said))
        return None

    def _why(self, error: Exception, member: _Member) -> Lost:
        """What became of an actor: one whose machine has gone, or cannot be reached, is no fault of its work."""
        errors = self._cluster.ray.exceptions
        host = shortened(member.node.host)
        if isinstance(error, errors.ActorUnavailableError) or not self._is_there(member.node):
            return Lost(f"was lost with its machine {host}", counts=False)
        if isinstance(error, errors.RayActorError) and error.actor_init_failed:
            member.node.trouble = first_line(error)
            return Lost(f"on {host} cannot start: {first_line(error)}", counts=False)
        return Lost(f"on {host} was lost: {first_line(error)}")


def waiting_for(team: Team) -> Waiting:
    """Return what a job says while no place is free."""
    words = Sentence(
        f"No worker of the Ray cluster {team.ray_address} is free; the job waits for one.",
        "nobody_free",
    )
    return Waiting(words, WAIT_SECONDS if team.wait_seconds is None else team.wait_seconds)


def _unusable(node: Node) -> Sentence:
    machine, why = shortened(node.host), node.trouble
    return Sentence(f"{machine} is not used: {why}", "node_unusable", machine=machine, why=why)
