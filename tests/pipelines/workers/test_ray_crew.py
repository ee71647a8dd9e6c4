"""A crew in a Ray cluster, as the run sees it; Ray is a module of the tests, and so its members are."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory.slot import Slot
from memory.units import GIB
from pipelines.errors import BadInput, Sentence
from pipelines.jobs import events
from pipelines.runtime.crew import ORDERS, Compute, CrewRequest, Idle, Lost, Open, Ready
from pipelines.storage.names import to_json
from pipelines.workers import ray_access, ray_cluster, ray_crew, seat
from pipelines.workers.builds import CPU
from pipelines.workers.exchange import Card, Gone
from pipelines.workers.ray_access import LOCAL
from pipelines.workers.ray_crew import RayCrew, waiting_for
from pipelines.workers.runner import Team
from pipelines.workers.seat import HERE, answer_to

from .fake_ray import END, ActorDiedError, ActorUnavailableError, FakeRay

BUILDS = {"longtake": "1", "ffmpeg": "7"}
TEAM = Team(0, "ray", ray_address="10.0.0.1:6379")
SECONDS = 60.0


class Scene:
    """A cluster, and crews that connect to it."""

    def __init__(self, folder: Path, ray: FakeRay) -> None:
        self.folder, self.ray = folder, ray
        self.clock = 0.0
        self.device = CPU
        self.warned: list[str] = []
        self.crews: list[RayCrew] = []

    def crew(self, team: Team = TEAM, member_bytes: int = 0) -> RayCrew:
        settings: Any = None
        slots = (Slot("cpu"),)
        request = CrewRequest(
            self.folder / "job",
            settings,
            slots,
            lambda code, words: self.warned.append(words),
            member_bytes=member_bytes,
        )
        self.crews.append(RayCrew(request, team, now=lambda: self.clock))
        return self.crews[-1]

    def hired(self, **more: Any) -> tuple[RayCrew, Any]:
        """A crew with a member that has started, and its actor."""
        crew = self.crew(**more)
        assert crew.hire() == 1
        actor = self.ray.actors[-1]
        actor.lines.said.put(HERE)
        return crew, actor

    def starts_late(self) -> None:
        """Ray gives no place to actors from now on."""
        started = self.ray._started

        def starts(*given: Any) -> Any:
            actor = started(*given)
            actor.lines.has_started = False
            return actor

        self.ray._started = starts  # type: ignore[method-assign]


def says(actor: Any, *said: Any) -> None:
    for each in said:
        actor.lines.said.put(each if isinstance(each, Exception) or each is END else to_json(each))


def heard(crew: RayCrew, count: int = 1) -> list[Any]:
    found: list[Any] = []
    while len(found) < count:
        news = list(crew.poll(SECONDS))
        assert news, "nothing was said"
        found += [said for _, said in news]
    return found


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    fake.install(monkeypatch)
    fake.machines = {"one": {"CPU": 2.0, "GPU": 1.0, "memory": 8.0 * GIB}}
    monkeypatch.setattr(ray_cluster, "check_reach", lambda address: None)
    monkeypatch.setattr(ray_cluster, "lets_strangers_in", lambda address, environ: False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123")
    for module in (ray_crew, seat):
        monkeypatch.setattr(module, "builds", lambda: dict(BUILDS))
    handler = signal.getsignal(signal.SIGTERM)
    yield fake
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def scene(tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    (tmp_path / "job").mkdir()
    scene = Scene(tmp_path, ray)
    monkeypatch.setattr(ray_crew, "device_of", lambda settings: scene.device)
    yield scene
    for crew in scene.crews:
        crew.close(at_once=True)


# -- places --------------------------------------------------------------------------------------------------


def test_each_place_gives_one_member_and_the_emptiest_machine_is_next(scene: Scene) -> None:
    scene.ray.machines["two"] = {"CPU": 3.0}
    crew = scene.crew()
    assert [crew.hire() for _ in range(6)] == [1, 2, 3, 4, 5, None]
    assert [actor.node for actor in scene.ray.actors] == ["two", "one", "two", "one", "two"]
    assert crew.device(1) == "cpu (two)"


def test_ray_restarts_and_repeats_nothing(scene: Scene) -> None:
    _, actor = scene.hired()
    assert actor.options["max_restarts"] == actor.options["max_task_retries"] == 0
    assert actor.options["num_cpus"] == 1 and actor.arguments == (CPU,)


def test_networks_on_a_gpu_take_gpus(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.device = "NVIDIA H200"
    scene.ray.look = lambda path, device, node: answered(
        path, Card(host="one", device="NVIDIA H200", builds=BUILDS)
    )
    crew, actor = scene.hired()
    assert crew.hire() is None, "there is one GPU"
    assert actor.options["num_gpus"] == 1 and actor.arguments == ("auto",)
    assert crew.device(1) == "NVIDIA H200 (one)"


def answered(path: Path, card: Card) -> Card:
    answer_to(path, card.host).write_bytes(path.read_bytes())
    return card


def test_no_more_members_than_the_memory_of_a_machine_holds(scene: Scene) -> None:
    crew = scene.crew(member_bytes=5 * GIB)
    assert [crew.hire() for _ in range(2)] == [1, None]
    assert scene.ray.actors[0].options["memory"] == 5 * GIB


def test_a_machine_that_joins_is_used_and_one_that_leaves_is_not(scene: Scene) -> None:
    machines, scene.ray.machines = scene.ray.machines, {}
    crew = scene.crew()
    assert crew.hire() is None
    scene.ray.machines = machines
    assert crew.hire() is None, "the cluster is not asked all the time"
    scene.clock += 1
    assert crew.hire() == 1
    scene.ray.dead.add("one")
    scene.clock += 1
    assert crew.hire() is None


def test_a_place_that_ray_does_not_give_is_left_for_a_while(scene: Scene) -> None:
    crew = scene.crew()
    scene.starts_late()
    crew.hire()
    (lost,) = heard(crew)
    assert lost == Lost("was given no place by Ray in 30 s", counts=False)
    assert scene.ray.actors[0].is_killed
    assert crew.hire() is None
    scene.clock += 61
    assert crew.hire() == 2


# -- machines that cannot be used ----------------------------------------------------------------------------


def test_a_machine_of_other_builds_is_refused_with_a_sentence_unless_they_may_mix(scene: Scene) -> None:
    scene.ray.look = lambda path, device, node: answered(
        path, Card(host="one", device=CPU, builds={**BUILDS, "ffmpeg": "6"})
    )
    crew = scene.crew()
    for _ in range(2):
        assert crew.hire() is None
        scene.clock += 1
    (sentence,) = scene.warned
    assert isinstance(sentence, Sentence) and sentence.key == "worker_differs"
    mixed = Team(0, "ray", ray_address=TEAM.ray_address, mixed_devices=True)
    assert scene.crew(mixed).hire() == 1


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda path, device, node: FileNotFoundError(2, "No such file or directory"), "No such file"),
        (lambda path, device, node: Card(host="one", device=CPU, builds=BUILDS), "does not arrive here"),
        (lambda path, device, node: ActorDiedError("The worker died."), "The worker died."),
    ],
    ids=["does not see the folder", "another folder", "cannot look"],
)
def test_a_machine_that_does_not_share_the_folder_is_not_used(
    scene: Scene, look: Callable[..., Any], words: str
) -> None:
    def looks(*given: Any) -> Any:
        if isinstance(found := look(*given), OSError):
            raise found
        return found

    scene.ray.look = looks
    assert scene.crew().hire() is None
    (sentence,) = scene.warned
    assert isinstance(sentence, Sentence) and sentence.key == "node_unusable" and words in sentence


def test_a_machine_that_does_not_answer_holds_nobody_up_and_is_used_once_it_does(scene: Scene) -> None:
    scene.ray.machines["two"] = {"CPU": 9.0}
    scene.ray.silent = {"two"}
    crew = scene.crew()
    crew.hire()
    assert scene.ray.actors[0].node == "one"
    scene.ray.silent = set()
    scene.clock += 1
    crew.hire()
    assert scene.ray.actors[1].node == "two"


def test_a_machine_that_cannot_open_the_job_is_no_fault_of_it(scene: Scene) -> None:
    crew, actor = scene.hired()
    says(actor, events.Failed.of("", BadInput("The file is missing.")))
    (lost,) = heard(crew)
    assert lost.how == "on one cannot open the job: The file is missing." and not lost.counts
    assert crew.hire() is None


# -- what they say -------------------------------------------------------------------------------------------


def test_orders_and_answers_are_carried(scene: Scene) -> None:
    crew, actor = scene.hired()
    order = Compute(number=1, stage="fill", spans=((0, 8),))
    crew.tell(1, Open(folder=scene.folder / "job", plan={}))
    crew.tell(1, order)
    opened, computed = map(ORDERS.validate_json, actor.told)
    assert opened == Open(folder=scene.folder / "job", plan={}, verify=True) and computed == order
    said = [Ready(), events.Segment(job="job", start=0, stop=8, path=scene.folder / "a.mp4"), Idle(number=1)]
    says(actor, *said)
    assert heard(crew, 3) == said
    crew.tell(7, order)  # whom nobody knows


def test_a_job_that_fails_once_it_is_open_fails(scene: Scene) -> None:
    crew, actor = scene.hired()
    failed = events.Failed.of("job", BadInput("Frame 3 is damaged."))
    says(actor, Ready(), failed)
    assert heard(crew, 2)[1] == failed


def test_nonsense_is_passed_over(scene: Scene) -> None:
    crew, actor = scene.hired()
    actor.lines.said.put(b'{"type": "nonsense"}')
    says(actor, Ready())
    assert heard(crew) == [Ready()]


def test_a_member_that_dies_is_lost_and_its_place_is_free(scene: Scene) -> None:
    crew, actor = scene.hired()
    says(actor, Gone(how="was killed by signal 9"))
    assert heard(crew) == [Lost("was killed by signal 9")]
    assert actor.is_killed
    assert crew.hire() == 2


def test_an_actor_that_dies_counts_and_ends_at_once(scene: Scene) -> None:
    crew, actor = scene.hired()
    says(actor, ActorDiedError("The actor died unexpectedly before finishing this task.\n\tpid: 7"))
    (lost,) = heard(crew)
    assert lost.counts
    assert lost.how == "on one was lost: The actor died unexpectedly before finishing this task."


def test_a_listener_goes_on_with_the_next_call(scene: Scene) -> None:
    crew, actor = scene.hired()
    says(actor, Ready(), END, Idle(number=1))
    assert heard(crew, 2) == [Ready(), Idle(number=1)]


def test_one_that_cannot_start_is_told_and_its_machine_left_alone(scene: Scene) -> None:
    crew, actor = scene.hired()
    error = ActorDiedError("The actor died because of an error raised in its creation task")
    error.actor_init_failed = True
    says(actor, error)
    (lost,) = heard(crew)
    assert not lost.counts and "cannot start" in lost.how
    assert crew.hire() is None


@pytest.mark.parametrize("error", [ActorDiedError("died"), ActorUnavailableError("unavailable")])
def test_a_machine_that_goes_is_no_fault_of_the_work(scene: Scene, error: Exception) -> None:
    crew, actor = scene.hired()
    if isinstance(error, ActorDiedError):
        scene.ray.dead.add("one")
    says(actor, error)
    assert heard(crew) == [Lost("was lost with its machine one", counts=False)]


def test_where_nobody_can_be_asked_the_work_is_not_blamed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew, actor = scene.hired()

    def fails() -> None:
        raise RuntimeError("the head is gone")

    monkeypatch.setattr(ray_cluster.RayCluster, "nodes", lambda self: fails())
    says(actor, ActorDiedError("died"))
    assert heard(crew) == [Lost("was lost with its machine one", counts=False)]


# -- the end -------------------------------------------------------------------------------------------------


def test_a_member_that_is_killed_ends_at_once_and_is_lost(scene: Scene) -> None:
    crew, actor = scene.hired()
    says(actor, Ready())
    assert heard(crew) == [Ready()]
    crew.kill(1)
    assert actor.ended == [True] and actor.is_killed
    (lost,) = heard(crew)
    assert isinstance(lost, Lost)
    crew.kill(1)


@pytest.mark.parametrize("at_once", [False, True])
def test_closed_it_ends_its_members_and_the_connection_once(scene: Scene, at_once: bool) -> None:
    crew, actor = scene.hired()
    says(actor, Ready())
    assert heard(crew) == [Ready()]
    for _ in range(2):
        crew.close(at_once=at_once)
    assert actor.ended == [at_once] and actor.is_killed
    assert scene.ray.shut == 1
    assert list((scene.folder / ".workers").iterdir()) == []


def test_nobody_waits_for_a_member_that_has_not_started(scene: Scene) -> None:
    crew = scene.crew()
    scene.starts_late()
    crew.hire()
    crew.close()
    assert scene.ray.actors[0].ended == [] and scene.ray.actors[0].is_killed


# -- the connection ------------------------------------------------------------------------------------------


def test_only_the_cluster_that_is_named_is_joined_and_sigterm_stays_ours(scene: Scene) -> None:
    def ours(*given: Any) -> None:
        pass

    signal.signal(signal.SIGTERM, ours)
    scene.crew()
    (begun,) = scene.ray.begun
    assert begun["address"] == TEAM.ray_address
    assert signal.getsignal(signal.SIGTERM) is ours


def test_a_cluster_of_this_machine_is_small_and_has_a_token_of_its_own(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    crew = scene.crew(Team(3, "ray", ray_address=LOCAL), member_bytes=99 * GIB)
    (begun,) = scene.ray.begun
    assert begun["address"] == "local" and begun["_node_ip_address"] == "127.0.0.1"
    assert (begun["num_cpus"], begun["num_gpus"], begun["include_dashboard"]) == (3, 0, False)
    assert len(ray_cluster.os.environ["RAY_AUTH_TOKEN"]) == 64
    assert ray_cluster.os.environ["RAY_AUTH_MODE"] == "token"
    assert crew.hire() == 1, "its memory was shared out by the run"


@pytest.mark.parametrize(
    "error", [ConnectionError("Could not connect.\nPages of it"), RuntimeError("versions")]
)
def test_a_cluster_that_cannot_be_joined_is_bad_input_and_leaves_nothing(
    scene: Scene, error: Exception
) -> None:
    scene.ray.init_error = error
    with pytest.raises(BadInput, match=str(error).splitlines()[0]):
        scene.crew()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    assert not list(scene.folder.glob(".workers/*"))


def test_a_cluster_that_lets_strangers_in_is_refused_unless_the_risk_is_taken(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "lets_strangers_in", lambda address, environ: True)
    with pytest.raises(BadInput, match="asks for no token"):
        scene.crew()
    assert scene.ray.shut == 1
    assert scene.crew(Team(0, "ray", ray_address=TEAM.ray_address, ray_insecure=True)).hire() == 1


def test_a_head_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(BadInput, match="cannot be reached"):
        ray_access.check_reach("127.0.0.1:1")


def test_the_words_and_the_patience_of_a_job_that_waits() -> None:
    default, own = waiting_for(TEAM), waiting_for(Team(0, "ray", wait_seconds=5))
    assert default.most_seconds == 600 and own.most_seconds == 5
    assert default.words.key == "nobody_free" and TEAM.ray_address in default.words
