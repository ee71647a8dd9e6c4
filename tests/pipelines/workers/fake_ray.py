"""A module in the place of Ray: machines, actors and their lines are what a test says; functions run at once, here."""

import importlib.machinery
import queue
import signal
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

END = None


class RayError(Exception):
    """As ray.exceptions.RayError."""


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(f"ray::look_at()\n{cause}")
        self.cause = cause


class RayActorError(RayError):
    actor_init_failed = False


class ActorDiedError(RayActorError):
    pass


class ActorUnavailableError(RayActorError):
    pass


class Lines:
    """What an actor says: bytes, or an error that Ray raises for them; `END` ends it."""

    def __init__(self) -> None:
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.has_started = True

    def __iter__(self) -> Iterator[Any]:
        return iter(self.said.get, END)


class Actor:
    """An actor that was started with `options` and hears what it is told."""

    def __init__(self, options: dict[str, Any], arguments: tuple[Any, ...]) -> None:
        self.options, self.arguments = options, arguments
        self.lines = Lines()
        self.told: list[bytes] = []
        self.ended: list[bool] = []
        self.is_killed = False
        self.tell = Method("tell", self.told.append)
        self.listen = Method("listen", lambda: self.lines)
        self.end = Method("tell", self.ended.append)

    @property
    def node(self) -> str:
        return str(self.options["scheduling_strategy"].node_id)


class Method:
    """A method of an actor; each may only be called in the group that keeps its calls in order."""

    def __init__(self, group: str, call: Callable[..., Any]) -> None:
        self._group, self.remote = group, call

    def options(self, *, concurrency_group: str) -> "Method":
        assert concurrency_group == self._group
        return self


class FakeRay:
    """What a test says and sees."""

    def __init__(self) -> None:
        self.machines: dict[str, dict[str, float]] = {}
        self.dead: set[str] = set()
        self.actors: list[Actor] = []
        self.begun: list[dict[str, Any]] = []
        self.shut = 0
        self.init_error: Exception | None = None
        self.look: Callable[..., Any] | None = None
        self.silent: set[str] = set()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Let `import ray` find this."""
        ray, util, strategies = (
            ModuleType("ray"),
            ModuleType("ray.util"),
            ModuleType("ray.util.scheduling_strategies"),
        )
        ray.__spec__ = importlib.machinery.ModuleSpec("ray", None)
        strategies.NodeAffinitySchedulingStrategy = lambda id, soft: SimpleNamespace(node_id=id, soft=soft)  # type: ignore[attr-defined]
        errors = SimpleNamespace(
            RayError=RayError,
            RayTaskError=RayTaskError,
            RayActorError=RayActorError,
            ActorUnavailableError=ActorUnavailableError,
        )
        for name, value in {
            "__version__": "2.0",
            "exceptions": errors,
            "init": self._init,
            "shutdown": self._shutdown,
            "nodes": self._nodes,
            "remote": self._remote,
            "wait": self._wait,
            "get": self._get,
            "kill": self._kill,
        }.items():
            setattr(ray, name, value)
        for module in (ray, util, strategies):
            patch.setitem(sys.modules, module.__name__, module)

    def _init(self, **given: Any) -> None:
        self.begun.append(given)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray does, though with another handler
        if self.init_error:
            raise self.init_error

    def _shutdown(self) -> None:
        self.shut += 1

    def _nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "NodeManagerHostname": name,
                "Alive": name not in self.dead,
                "Resources": resources,
            }
            for name, resources in self.machines.items()
        ]

    def _remote(self, **options: Any) -> Callable[[Any], Any]:
        def made(thing: Any) -> Any:
            if isinstance(thing, type):
                return SimpleNamespace(remote=lambda *given: self._started(options, given))
            return SimpleNamespace(remote=lambda *given: Answer(self, options, self.look or thing, given))

        return made

    def _started(self, options: dict[str, Any], given: tuple[Any, ...]) -> Actor:
        self.actors.append(Actor(options, given))
        return self.actors[-1]

    def _wait(self, refs: list[Any], *, timeout: float, num_returns: int = 1) -> tuple[list[Any], list[Any]]:
        def is_done(ref: Any) -> bool:
            if isinstance(ref, Answer):
                return ref.node not in self.silent
            return not isinstance(ref, Lines) or ref.has_started

        return [ref for ref in refs if is_done(ref)], [ref for ref in refs if not is_done(ref)]

    def _get(self, ref: Any) -> Any:
        found = ref.call() if isinstance(ref, Answer) else ref
        if isinstance(found, Exception):
            raise found
        return found

    def _kill(self, actor: Actor) -> None:
        actor.is_killed = True
        actor.lines.said.put(ActorDiedError("The actor died.\nIt was killed by `ray.kill`."))


class Answer:
    """A call of a function on a machine."""

    def __init__(
        self, ray: FakeRay, options: dict[str, Any], function: Callable[..., Any], given: Any
    ) -> None:
        self.options, self._function, self._given = options, function, given
        self.node = str(options["scheduling_strategy"].node_id)

    def call(self) -> Any:
        try:
            return self._function(*self._given)
        except OSError as error:
            raise RayTaskError(error) from error
