"""What runs and workers say to each other, and the places where they do: a shared folder, or an object store.

A worker's post serves one run: who has the last word there leaves it to the other to remove.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.record import JobRecord
from pipelines.runtime.crew import Compute, CrewRequest, Idle, Less, Open, Order, Ready, Said, Until
from pipelines.storage.kept_files import KeptFile

RUN = "run-"
"""What the name of a run begins with, and that of no worker."""
FORGOTTEN_SECONDS = 600.0
"""What is left of those who are gone is removed after so long."""

MessageT = TypeVar("MessageT")


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)


class Card(_Line):
    """Who a worker is: its machine, its device, and the builds of all that shapes a result."""

    host: str
    device: str
    builds: dict[str, str]


class SentInput(_Line):
    """An input of a job by its contents: one file, or with `is_folder` those of a folder, `name/file` each."""

    name: str
    is_folder: bool
    files: tuple[KeptFile, ...]


class OpenSent(_Line):
    """Open a job that is sent, with this plan: its record, and its inputs, which are to be fetched."""

    type: Literal["open_sent"] = "open_sent"
    record: JobRecord
    plan: dict[str, Any]
    inputs: tuple[SentInput, ...]


class Deliver(_Line):
    """Files below the folder of the job that what is ordered next may read; they are to be fetched."""

    type: Literal["deliver"] = "deliver"
    files: tuple[KeptFile, ...]


class Leave(_Line):
    """The run needs the worker no longer: it stops at its next frame, or at once."""

    type: Literal["leave"] = "leave"
    at_once: bool = False


class Gone(_Line):
    """The worker has left; `how` completes "worker 2 ...", `by_itself` says that it is no fault of its work."""

    type: Literal["gone"] = "gone"
    how: str
    by_itself: bool = False


Asked = Open | OpenSent | Deliver | Compute | Until | Less | Leave
ASKED: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="type")])
Answer = Ready | Idle | Gone | Event
ANSWERS: TypeAdapter[Answer] = TypeAdapter(
    Annotated[Ready | Idle | Gone | Event, Field(discriminator="type")]
)
Pictured = events.Segment | events.Preview
"""Answers that name a file."""


class Mailbox(Protocol):
    """Messages in one direction, of one writer and one reader."""

    def put(self, message: BaseModel) -> None:
        """Add a message. Raises OSError."""
        ...

    def take(self, adapter: TypeAdapter[MessageT]) -> list[MessageT]:
        """Return the messages since the last call; what is none is passed over. Raises OSError."""
        ...


class Post(Protocol):
    """Where a worker is met: who it is, who has taken it, and the two mailboxes."""

    name: str

    @property
    def orders(self) -> Mailbox:
        """From the run to the worker."""
        ...

    @property
    def answers(self) -> Mailbox:
        """From the worker to the run."""
        ...

    def open(self, card: Card) -> None:
        """Make the post. Only for the worker; it can be taken once this returns, and its sign of life is there."""
        ...

    def exists(self) -> bool:
        """Whether nobody has removed it, taking the worker for dead."""
        ...

    def card(self) -> Card | None:
        """Who the worker is; None where nothing tells."""
        ...

    def take(self, by: str) -> bool:
        """Take the worker for the run called `by`; False where another has it, or the post is gone."""
        ...

    def taken_by(self) -> str | None:
        """The name of the run that has the worker."""
        ...

    def remove(self) -> None:
        """Remove the post."""
        ...


class Pulse(Protocol):
    """Gives signs of life of a run or a worker while the context lasts, and knows the age of those of others."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def renew(self) -> None:
        """Give a sign now, also where somebody has removed all."""
        ...

    def age(self, name: str) -> float:
        """Return for how many seconds the run or worker called `name` has given no sign; for ever where it is gone."""
        ...

    def close(self, *, remove: bool = False) -> None:
        """Give no more signs, and remove the last one."""
        ...


class RunSide(Protocol):
    """What a run's orders and answers mean elsewhere: other paths, or files that have to be sent and fetched."""

    def orders(self, to: str, order: Order) -> Sequence[BaseModel]:
        """Return what is to be said to the worker `to` for an order."""
        ...

    def received(self, answer: Pictured) -> Pictured:
        """Return an answer with paths of the run, whose files are there. Raises LongtakeError where they cannot be."""
        ...

    def close(self) -> None:
        """Forget what was only sent for this run."""
        ...


class WorkerSide(Protocol):
    """The same for a worker."""

    def order(self, order: Asked, tick: Callable[[], None]) -> Order | None:
        """Return an order with paths of the worker, whose files are there; None where nothing is left to do.

        `tick` is called meanwhile and may raise. Raises LongtakeError where the files cannot be had.
        """
        ...

    def sent(self, said: Said) -> BaseModel | None:
        """Return what is to be said to the run, to which the files are sent. Raises LongtakeError."""
        ...

    def close(self) -> None:
        """Remove what was only fetched for this job."""
        ...


class Exchange(Protocol):
    """A place where runs and workers meet. Its methods raise OSError."""

    gone_seconds: float
    """Who has given no sign of life for so long is gone."""

    def posts(self) -> Sequence[Post]:
        """Return the posts of all workers, in the order of their names."""
        ...

    def post(self, name: str) -> Post:
        """Return the post of the worker called `name`."""
        ...

    def pulse(self, name: str) -> Pulse:
        """Return the signs of life of a run or worker of this process, which is called `name`."""
        ...

    def hurry(self) -> None:
        """Wait for nothing from now on: what cannot be had at once raises OSError."""
        ...

    def forget_the_gone(self, pulse: Pulse) -> None:
        """Remove what is left of runs and workers that are long gone."""
        ...

    def run_side(self, name: str, request: CrewRequest) -> RunSide:
        """Return how the run called `name` sends and fetches. Raises BadInput where the job cannot be sent."""
        ...

    def worker_side(self, run: str) -> WorkerSide:
        """Return how a worker of the run called `run` does."""
        ...
