"""A job on a GPU that is lent call by call: the bytes of one process, whatever is taken away, refused or ended.

The GPU is the CPU: the built-in scoring engine, which is said to have a network; a fake `spaces` forks for real.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from memory.slices import SPACE
from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime import oom_retry, planning, preparation
from pipelines.runtime.crew import Compute, Idle, Less, Lost, Open, Until
from pipelines.runtime.run import run_job
from pipelines.scheduler.queue import JobQueue
from pipelines.scoring.builtin.engine import BuiltinEngine
from pipelines.settings import ScoreSettings
from pipelines.spec import task_spec
from pipelines.workers import main, space_crew
from pipelines.workers.runner import Team
from pipelines.workers.space_call import lent_gpu
from pipelines.workers.space_worker import SpaceWorker

from .crews import Files, made

PLACE = Path(__file__).parent / "fake_spaces"
QUOTA = "ZeroGPU quota exceeded", "You have exceeded your free ZeroGPU quota (60s requested vs. 3s left)."
ABORTED = "GPU task aborted"


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The fake package, with a fresh account, and spans of eight frames."""
    monkeypatch.syspath_prepend(str(PLACE))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    choose = planning.choose

    def short(*given: Any, **more: Any) -> Any:
        choice = choose(*given, **more)
        return replace(choice, values={**choice.values, "span_frames": 8})

    monkeypatch.setattr(planning, "choose", short)
    monkeypatch.setattr(BuiltinEngine, "network", True)
    import spaces as fake  # type: ignore[import-not-found,unused-ignore]

    fake.account = fake.Account()
    yield fake
    del sys.modules["spaces"]


class Scene:
    """A job, the page's side of a crew for it, and what the job has told."""

    def __init__(self, spaces: Any, clip: Path, folder: Path) -> None:
        self.spaces, self.folder = spaces, folder
        (folder / "jobs").mkdir(parents=True)
        version = task_spec("score").result_version
        self.job = Job.create(folder / "jobs", "score", (clip,), ScoreSettings(engine="builtin"), version)
        self.page = SpaceWorker(folder / "jobs", lent_gpu())
        self.click()
        self.page.start()

    @property
    def account(self) -> Any:
        return self.spaces.account

    def click(self, token: str = "ann") -> None:
        context = copy_context()
        context.run(self.spaces.TOKEN.set, token)
        self.page.asked(self.job.id, context)

    def run(self) -> list[Event]:
        """Run or resume the job as its worker process does."""
        heard: list[Event] = []
        self.job.forget_request()
        self.job.journal.append(events.Queued(job=self.job.id, task="score", name="clip"))
        run_job(self.job, echo=heard.append, hiring=main._hiring(Team(crew="lent"), None))
        return heard

    def files(self) -> Files:
        return {name: data for name, data in made(self.folder).items() if not name.endswith("lock")}


@pytest.fixture
def scene(spaces: Any, tasks: dict[str, Any], tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(spaces, Path(tasks["score"].arguments[1]), tmp_path / "lent")
    yield scene
    scene.page.close()
    scene.page._thread.join()


@pytest.fixture
def alone(spaces: Any, tasks: dict[str, Any], tmp_path: Path) -> Callable[[], Files]:
    """What a process makes of the same job by itself."""

    def files() -> Files:
        scene = Scene(spaces, Path(tasks["score"].arguments[1]), tmp_path / "alone")
        scene.job.journal.append(events.Queued(job=scene.job.id, task="score", name="clip"))
        run_job(scene.job)
        scene.page.close()
        scene.page._thread.join()
        return scene.files()

    return files


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in which a file `hold-N` lets whoever computes wait before frame N."""
    folder, usual = tmp_path / "gate", oom_retry.OomRetry._next
    folder.mkdir()

    def held(self: Any, effort: Any, stop: int) -> Any:
        while (folder / f"hold-{self._at}").exists():
            self._check()
            time.sleep(0.005)
        return usual(self, effort, stop)

    monkeypatch.setattr(oom_retry.OomRetry, "_next", held)
    return folder


def told(heard: list[Event], kind: type) -> list[Any]:
    return [event for event in heard if isinstance(event, kind)]


def spans(heard: list[Event]) -> list[tuple[int, int]]:
    return sorted((event.start, event.stop) for event in told(heard, events.Segment))


def test_the_bytes_are_those_of_one_process(scene: Scene, alone: Callable[[], Files]) -> None:
    heard = scene.run()
    assert isinstance(heard[-1], events.Done), heard[-1]
    assert spans(heard) == [(0, 8), (8, 16), (16, 24)]
    assert {event.worker for event in told(heard, events.Segment)} == {1}
    assert scene.account.tokens == ["ann"] * len(scene.account.tokens)
    # Nothing is known of its speed: the first call is one span and a minute, the second what that measured.
    assert [len(each[3]) for each in scene.account.arguments] == [1, 2]
    first, second = scene.account.seconds
    assert first == 60 and 15 <= second <= 60
    assert not any(map(psutil.pid_exists, scene.account.pids)), "the forks are gone"
    assert scene.files() == alone()


def test_what_is_taken_away_is_asked_for_again(scene: Scene, alone: Callable[[], Files], gate: Path) -> None:
    """The second call ends at frame 16, where it waits; what it had published stays."""
    (gate / "hold-16").touch()
    scene.account.taken_at = {1: '"segment"'}
    scene.account.began = lambda number: number == 2 and (gate / "hold-16").unlink()
    heard = scene.run()
    assert isinstance(heard[-1], events.Done), heard[-1]
    (warning,) = [event for event in told(heard, events.Warned) if event.key == "lent_taken"]
    assert warning.values == {"frame": 16, "seconds": scene.account.seconds[1]}
    assert [each[3] for each in scene.account.arguments] == [((0, 8),), ((8, 16), (16, 24)), ((16, 24),)]
    assert spans(heard) == [(0, 8), (8, 16), (16, 24)], "none is published twice"
    assert scene.files() == alone()


def test_a_span_that_is_taken_away_is_tried_for_longer_and_then_given_up(scene: Scene, gate: Path) -> None:
    (gate / "hold-0").touch()
    scene.account.taken_at = {None: '"ready"'}
    heard = scene.run()
    assert scene.account.seconds == [60, 120]
    assert heard[-1].type == "failed" and heard[-1].key == "lent.too_short"
    assert heard[-1].values == {"seconds": 120, "first": 0, "last": 7}
    scene.account.taken_at = {}
    (gate / "hold-0").unlink()
    assert isinstance(scene.run()[-1], events.Done), "a resume tries again"


def test_without_quota_the_job_pauses_and_a_resume_goes_on(scene: Scene, alone: Callable[[], Files]) -> None:
    scene.account.refusals = {1: scene.spaces.Error(*QUOTA)}
    heard = scene.run()
    assert heard[-1].type == "paused" and heard[-1].key == "paused.quota"
    assert spans(heard) == [(0, 8)]
    scene.click("bob")
    heard = scene.run()
    assert isinstance(heard[-1], events.Done) and spans(heard) == [(8, 16), (16, 24)]
    assert scene.account.tokens[-1] == "bob", "the newest click pays"
    assert scene.files() == alone()


@pytest.mark.parametrize(
    ("title", "words", "key"),
    [
        ("ZeroGPU client error", "Expired ZeroGPU proxy token", "paused.token"),
        ("ZeroGPU pending credits exceeded", "You have too many credits allocated.", "paused.quota"),
    ],
)
def test_other_refusals_pause_it_too(scene: Scene, title: str, words: str, key: str) -> None:
    scene.account.refusals = {None: scene.spaces.Error(title, words)}
    ended = scene.run()[-1]
    assert (ended.type, ended.key) == ("paused", key) and ended.message


def test_nobody_pays_for_a_job_that_nobody_clicked(scene: Scene) -> None:
    scene.page._contexts.clear()
    ended = scene.run()[-1]
    assert (ended.type, ended.key) == ("paused", "paused.token") and not scene.account.seconds


def test_fewer_seconds_are_asked_for_where_so_many_are_not_given(scene: Scene) -> None:
    scene.account.refusals = {
        0: scene.spaces.Error("ZeroGPU illegal duration", "larger than the maximum allowed")
    }
    assert isinstance(scene.run()[-1], events.Done)
    assert scene.account.seconds[:2] == [60, 30]


def test_a_busy_space_is_asked_again_and_then_left_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_crew, "_BUSY_SECONDS", 0)
    busy = scene.spaces.Error("ZeroGPU queue timeout", "No GPU was available after 60s.")
    scene.account.refusals = {0: busy, 1: busy}
    heard = scene.run()
    assert isinstance(heard[-1], events.Done)
    scene.job.forget_work()
    scene.account.refusals = {None: busy}
    before = len(scene.account.seconds)
    ended = scene.run()[-1]
    assert (ended.type, ended.key) == ("paused", "paused.busy")
    assert len(scene.account.seconds) - before == 5


def test_what_the_call_raises_is_told_in_its_words(scene: Scene) -> None:
    """Three times at one span, as of any worker."""
    scene.account.refusals = {None: scene.spaces.Error("ZeroGPU worker error", "PicklingError")}
    ended = scene.run()[-1]
    assert ended.type == "failed" and "PicklingError" in ended.message and len(scene.account.seconds) == 3


@pytest.mark.parametrize("what", ["pause", "cancel"])
def test_a_request_to_stop_ends_the_call(scene: Scene, gate: Path, what: Any) -> None:
    (gate / "hold-12").touch()
    scene.account.began = lambda number: number == 1 and scene.job.request(what)
    ended = scene.run()[-1]
    assert ended.type == {"pause": "paused", "cancel": "cancelled"}[what]
    scene.page.close()
    scene.page._thread.join()
    assert not any(map(psutil.pid_exists, scene.account.pids)), "its fork has ended"


def test_an_engine_without_a_network_asks_for_no_gpu(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BuiltinEngine, "network", False)
    assert isinstance(scene.run()[-1], events.Done)
    assert not scene.account.seconds


def test_the_processor_is_used_where_it_is_asked_for(
    spaces: Any, tasks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SPACE, "cpu")
    (tmp_path / "jobs").mkdir()
    clip, version = Path(tasks["score"].arguments[1]), task_spec("score").result_version
    job = Job.create(tmp_path / "jobs", "score", (clip,), ScoreSettings(engine="builtin"), version)
    job.journal.append(events.Queued(job=job.id, task="score", name="clip"))
    heard: list[Event] = []
    run_job(job, echo=heard.append, hiring=main._hiring(Team(crew="lent"), None))
    assert isinstance(heard[-1], events.Done) and not spaces.account.seconds


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)
    with pytest.raises(BadInput, match=r"requirements\.txt"):
        lent_gpu()


def test_a_worker_process_leads_such_a_job(
    scene: Scene,
    alone: Callable[[], Files],
    tasks: dict[str, Any],
    short_spans: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """As on the page: the queue's worker process writes the journal, this process makes the calls."""
    (tmp_path / "with_network.py").write_text(
        "from pipelines.scoring.builtin.engine import BuiltinEngine\nBuiltinEngine.network = True\n"
    )
    path = f"{tmp_path}:{short_spans['PYTHONPATH']}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("LONGTAKE_PLUGINS", "short_spans,with_network")
    with JobQueue(scene.folder / "jobs", team=Team(crew="lent")) as queue:
        queue.start(scene.job)
        heard = list(queue.listen(scene.job))
    assert isinstance(heard[-1], events.Done), heard[-1]
    assert scene.account.seconds and told(heard, events.Started)[0].worker_pid not in scene.account.pids
    assert scene.files() == alone()


def test_the_estimate_adds_up_what_is_asked_for(
    spaces: Any, tasks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = Path(tasks["score"].arguments[1])

    def estimated() -> int | None:
        return planning.estimate("score", (clip,), ScoreSettings(engine="builtin"), tmp_path).gpu_seconds

    assert estimated() is None, "of this engine nothing is known"
    monkeypatch.setattr(preparation, "lent_frame_seconds", lambda spec, work: 1.0)
    assert estimated() == round(10 + 1.3 * 24), "one call: its start, 24 frames and a margin"
    monkeypatch.setenv(SPACE, "gpu")
    assert estimated() is None


class Stubbed:
    """A crew whose calls are the generators of a test; what it has said."""

    def __init__(self, folder: Path, *answers: Callable[[], Iterator[dict[str, Any]]]) -> None:
        self.arguments: list[Any] = []
        self.clock = 0.0
        left = list(answers)

        def call(*arguments: Any) -> Any:
            self.arguments.append(arguments)
            return left.pop(0)()

        click = copy_context()
        self.crew = space_crew.SpaceCrew(call, lambda job: click, "H", now=lambda: self.clock)
        assert (self.crew.hire(), self.crew.hire(), self.crew.device(1)) == (1, None, "H")
        self.folder = folder

    def begin(self) -> None:
        self.crew.tell(1, Open(folder=self.folder, plan={}))
        self.crew.tell(1, Compute(number=7, stage="fill", spans=((0, 8), (8, 16))))

    def until(self, kind: type) -> list[Any]:
        said: list[Any] = []
        while not (said and isinstance(said[-1], kind)):
            said += [each for _, each in self.crew.poll(0.05)]
            assert kind is Lost or not told(said, Lost), said[-1]
        return said


def done(*spans: tuple[int, int]) -> Iterator[dict[str, Any]]:
    yield {"pid": 1}
    for start, stop in spans:
        yield {"said": events.Segment(job="j", start=start, stop=stop, path="x").model_dump_json()}
    yield {"said": Idle(number=1).model_dump_json()}


def test_with_less_memory_the_call_is_made_again(tmp_path: Path) -> None:
    def until_closed() -> Iterator[dict[str, Any]]:
        yield {"pid": 1}
        stubbed.crew.tell(1, Less())
        while True:
            yield {}

    def asked_again() -> Iterator[dict[str, Any]]:
        stubbed.crew.tell(1, Less())
        yield from done((0, 8))

    stubbed = Stubbed(tmp_path, until_closed, asked_again, lambda: done((8, 16)))
    stubbed.begin()
    said = stubbed.until(Idle)
    assert [each[3:5] for each in stubbed.arguments] == [
        (((0, 8),), False),
        (((0, 8),), True),
        (((8, 16),), True),
    ]
    assert said[-1] == Idle(number=7) and not told(said, events.Warned)


def test_waiting_for_a_gpu_is_no_silence(tmp_path: Path) -> None:
    free = threading.Event()

    def waits() -> Iterator[dict[str, Any]]:
        free.wait()
        yield from done((0, 8))

    stubbed = Stubbed(tmp_path, waits, lambda: done((8, 16)))
    stubbed.begin()
    for _ in range(3):
        stubbed.clock += 5
        assert isinstance(stubbed.until(events.Heartbeat)[-1], events.Heartbeat)
    free.set()
    stubbed.until(Idle)
    stubbed.clock += 5
    assert not list(stubbed.crew.poll(0.01)), "an idle member says nothing"


def test_nothing_begins_where_another_goes_on(tmp_path: Path) -> None:
    def told_to_end() -> Iterator[dict[str, Any]]:
        stubbed.crew.tell(1, Until(number=7, frame=8))
        yield from done((0, 8))

    stubbed = Stubbed(tmp_path, told_to_end)
    stubbed.begin()
    assert stubbed.until(Idle)[-1] == Idle(number=7)


def test_at_once_the_fork_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as fork:
        begun, gone = threading.Event(), threading.Event()

        def hangs() -> Iterator[dict[str, Any]]:
            yield {"pid": fork.pid}
            begun.set()
            fork.wait()
            gone.set()
            raise RuntimeError(ABORTED)

        stubbed = Stubbed(tmp_path, hangs)
        stubbed.begin()
        begun.wait()
        stubbed.crew.kill(1)
        assert isinstance(stubbed.until(Lost)[-1], Lost)
        gone.wait()
        assert fork.returncode == -9
