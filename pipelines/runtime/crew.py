"""The contract between a run and the processes that compute its spans together, and what is said between them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from memory.slot import Slot
from pipelines.errors import Sentence
from pipelines.jobs.events import Event
from pipelines.settings import Settings
from pipelines.spans import Span
from pipelines.stages import Warn
from pipelines.storage.names import StoredPath


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True)


class Warm(_Order):
    """Load what jobs need; answered by `Ready`. For a member that is hired before there is a job."""

    type: Literal["warm"] = "warm"


class Open(_Order):
    """Open the job in `folder` with this plan; answered by `Ready`.

    With `verify` the member first makes sure that the inputs and weights it sees are those of the job.
    """

    type: Literal["open"] = "open"
    folder: StoredPath
    plan: dict[str, Any]
    verify: bool = False
    frame_seconds: float | None = None
    """What a frame is predicted to take on a GPU that is lent call by call; None where nothing is known."""


class Compute(_Order):
    """Compute spans of a stage, `(start, stop)` each, in order; answered by their events, then `Idle`."""

    type: Literal["compute"] = "compute"
    number: int
    stage: str
    spans: tuple[tuple[int, int], ...]
    halo: int = 0
    """A stretch costs so many frames' work beside its own."""


class Until(_Order):
    """Begin no span from frame `frame` on: another member computes those. Only for the order `number`."""

    type: Literal["until"] = "until"
    number: int
    frame: int


class Less(_Order):
    """Go on with less memory."""

    type: Literal["less"] = "less"


Order = Annotated[Warm | Open | Compute | Until | Less, Field(discriminator="type")]
ORDERS: TypeAdapter[Order] = TypeAdapter(Order)


class Ready(_Order):
    """The job is open, or the member is warm."""

    type: Literal["ready"] = "ready"


class Idle(_Order):
    """The order `number` is done, or ended where another member goes on."""

    type: Literal["idle"] = "idle"
    number: int


@dataclass(frozen=True)
class Lost:
    """The member is gone; `how` completes "worker 2 ...", a `Sentence` where others can say it in their words.

    Unless `counts`, that is no fault of what it computed.
    """

    how: str
    counts: bool = True


Said = Ready | Idle | Lost | Event
REPLIES: TypeAdapter[Ready | Idle | Event] = TypeAdapter(
    Annotated[Ready | Idle | Event, Field(discriminator="type")]
)


class Crew(Protocol):
    """Processes that compute spans of one job. Members have numbers from 1, which are not used again."""

    def hire(self) -> int | None:
        """Return the number of one more member; None where none is free now. Raises OSError."""
        ...

    def device(self, member: int) -> str:
        """Return the name of the device that `member` computes on."""
        ...

    def tell(self, member: int, order: Order) -> None:
        """Give `member` an order; one that is gone is said to be `Lost` later."""
        ...

    def poll(self, timeout_seconds: float) -> Iterator[tuple[int, Said]]:
        """Wait until a member says something, at most so long, and yield all that was said, in its order."""
        ...

    def kill(self, member: int) -> None:
        """End `member` and its children at once; it is said to be `Lost` then."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """End all members: at their next frame, or at once. May be called twice, from any thread."""
        ...


def spans_of(order: Compute) -> list[Span]:
    """Return the spans that an order names."""
    return [Span(start, stop) for start, stop in order.spans]


@dataclass(frozen=True)
class CrewRequest:
    """What a crew is made for: the job in `folder`, its settings, and the slots of this machine that it may use."""

    folder: Path
    settings: Settings
    slots: Sequence[Slot]
    warn: Warn
    check: Callable[[], None] = lambda: None
    """Called by what takes long; raises where the job is to stop."""
    member_bytes: int = 0
    """Host memory that each member is planned to hold."""


_NOBODY = Sentence(
    "No worker has joined; the job waits for one. Start one with `python -m pipelines work` and the same --jobs-dir, "
    "or the same --store.",
    "nobody_joined",
)


@dataclass(frozen=True)
class Waiting:
    """What is said while nobody computes, and after how many seconds of that the job fails; None: never."""

    words: Sentence = _NOBODY
    most_seconds: float | None = None


PATIENT = Waiting()


@dataclass(frozen=True)
class Hiring:
    """How many workers compute a job together, and who brings them."""

    workers: int
    """At most so many; 0: one for each GPU that the job may use, or all that join."""
    make: Callable[[CrewRequest], Crew]
    stuck_seconds: float | None = None
    """Silence after which a member is replaced; None: as `Watchdog` finds usual."""
    joins: bool = False
    """Whether members come and go by themselves, with memory of their own: then they alone compute."""
    networks_only: bool = False
    """Whether members compute only what a network computes on a GPU: then all else is done by the run."""
    waiting: Waiting = PATIENT
