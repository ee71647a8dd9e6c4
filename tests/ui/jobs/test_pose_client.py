"""Posing on the page: the process behind it, who may ask it, and the sliders of points."""

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pipelines.errors import BadInput, LongtakeError, NotEnoughMemory, QueueFull
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import PoseSettings
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED
from pipelines.workers.pose import PoseQuestion
from ui.components.pose_panel import _move_of, _with_move
from ui.jobs.pose_client import MOST_WAITING, PosingProcess
from ui.jobs.service import JobService
from ui.server.policy import Policy
from ui.server.visitors import Visitor

ANSWERS = """
import json, sys, os
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    what = asked["asked"].get("do", "draw")
    if what == "die":
        os.kill(os.getpid(), int(asked["asked"]["signal"]))
    if what == "refuse":
        event = {"type": "failed", "job": "", "code": "bad_input", "message": "No face.", "hint": "Say where."}
    else:
        event = {"type": "preview", "job": "", "frame": number, "path": asked["picture"] + str(os.getpid())}
    print(json.dumps(event), flush=True)
"""


def process() -> PosingProcess:
    return PosingProcess((sys.executable, "-c", ANSWERS))


ANN = Visitor("ann", "ann")


def question(name: str = "one", **asked: object) -> PoseQuestion:
    return PoseQuestion(source=Path("portrait.png"), asked=asked, picture=Path(name))


def test_one_process_answers_everybody_in_turn() -> None:
    async def ask() -> list[Path]:
        posing = process()
        return await asyncio.gather(*(posing.ask(question(name)) for name in ("a", "b", "c")))

    found = [path.name for path in asyncio.run(ask())]
    assert [name[0] for name in found] == ["a", "b", "c"] and len({name[1:] for name in found}) == 1


def test_more_than_a_few_do_not_wait() -> None:
    async def ask() -> None:
        posing = process()
        asked = [posing.ask(question(str(number))) for number in range(MOST_WAITING + 2)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in found if isinstance(each, QueueFull)]
        assert len(refused) == 2 and all(isinstance(each, Path) for each in found if each not in refused)
        assert await posing.ask(question("later"))

    asyncio.run(ask())


@pytest.mark.parametrize(("signal", "kind"), [(9, NotEnoughMemory), (11, LongtakeError)])
def test_a_process_that_dies_is_replaced(signal: int, kind: type[LongtakeError]) -> None:
    async def ask() -> Path:
        posing = process()
        with pytest.raises(LongtakeError) as told:
            await posing.ask(question(do="die", signal=signal))
        assert type(told.value) is kind and told.value.hint
        return await posing.ask(question("again"))

    assert asyncio.run(ask()).name.startswith("again")


def test_a_refusal_is_told_and_costs_nothing() -> None:
    async def ask() -> Path:
        posing = process()
        with pytest.raises(BadInput, match="No face") as told:
            await posing.ask(question(do="refuse"))
        assert told.value.code == "bad_input"
        return await posing.ask(question("again"))

    assert asyncio.run(ask()).name.startswith("again")


def test_whoever_leaves_takes_their_answer_along() -> None:
    async def ask() -> Path:
        posing = PosingProcess((sys.executable, "-c", "import time; time.sleep(600)"))
        leaving = asyncio.create_task(posing.ask(question("left")))
        while posing._process is None:
            await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert posing._process is None, "or it would answer the next question with the picture of this one"
        posing._command = (sys.executable, "-c", ANSWERS)
        return await posing.ask(question("stayed"))

    assert asyncio.run(ask()).name.startswith("stayed")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path)
    return path


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in PUBLISHED["liveportrait"].files:
        (folder / file.name).write_bytes(b"x")
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(folder))
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "config"))


def posed(queue: JobQueue, policy: Policy, picture: Path, tmp_path: Path) -> Path:
    service = JobService(queue, policy)
    service._posing = process()
    return asyncio.run(service.pose(ANN, str(picture), PoseSettings(yaw=3), tmp_path / "cache"))


def test_an_owner_who_asks_accepts_the_licence(
    queue: JobQueue, picture: Path, weights: None, tmp_path: Path
) -> None:
    assert posed(queue, Policy(), picture, tmp_path).suffix == ".jpg"
    assert licences.is_accepted("liveportrait")


def test_visitors_pose_what_the_owner_has_accepted(
    queue: JobQueue, picture: Path, weights: None, tmp_path: Path
) -> None:
    with pytest.raises(LongtakeError, match="has not accepted"):
        posed(queue, Policy.public(), picture, tmp_path)
    licences.accept("liveportrait")
    assert posed(queue, Policy.public(), picture, tmp_path).suffix == ".jpg"


def test_a_server_without_weights_says_so(queue: JobQueue, picture: Path, tmp_path: Path) -> None:
    with pytest.raises(LongtakeError, match="--fetch"):
        posed(queue, Policy(), picture, tmp_path)
    with pytest.raises(LongtakeError, match="This server has no weights"):
        posed(queue, Policy.public(), picture, tmp_path)


def test_a_pose_is_drawn_once(
    queue: JobQueue, picture: Path, weights: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[PoseQuestion] = []

    async def draw(self: PosingProcess, question: PoseQuestion) -> Path:
        asked.append(question)
        question.picture.parent.mkdir(parents=True, exist_ok=True)
        question.picture.write_bytes(b"x")
        return question.picture

    monkeypatch.setattr(PosingProcess, "ask", draw)
    service = JobService(queue, Policy())
    for yaw in (3, 4, 3):
        asyncio.run(service.pose(ANN, str(picture), PoseSettings(yaw=yaw), tmp_path / "cache"))
    assert [each.asked["yaw"] for each in asked] == [3, 4]
    assert {each.most_pixels for each in asked} == {None}
    licences.accept("liveportrait")
    asyncio.run(JobService(queue, Policy.space()).pose(ANN, str(picture), PoseSettings(), tmp_path / "cache"))
    assert asked[-1].most_pixels == 2_100_000


def test_the_api_says_what_is_missing(served: Client, picture: Path) -> None:
    with pytest.raises(AppError, match=r"weights_missing"):
        served.predict(source=handle_file(picture), yaw=10, api_name="/pose")
    with pytest.raises(AppError, match=r"bad_input"):
        served.predict(source=handle_file(picture), key="99:0,0,0", api_name="/pose")


@pytest.fixture
def served(make_queue, page_over, serve, good_run, tmp_path: Path) -> Client:  # type: ignore[no-untyped-def]
    return Client(
        serve(page_over(make_queue(good_run))), verbose=False, download_files=str(tmp_path / "downloads")
    )


def test_sliders_write_the_points_as_text() -> None:
    text = _with_move("", 14, 0.01, -0.02, 0.0)
    assert text == "14:0.01,-0.02,0"
    assert _with_move(text, 3, 0.05, 0.05, 0.05) == "3:0,0.05,0 14:0.01,-0.02,0", "only where it moves"
    assert _with_move(text, 14, 0, 0, 0) == "", "what is back where it was is not told"
    assert _move_of(text, 14) == (0.01, -0.02, 0.0) and _move_of(text, 6) == (0.0, 0.0, 0.0)
    assert PoseSettings(key=tuple(_with_move(text, 6, 0.001, 0, 0).split()))
    for stranger in ([], {}, None, "14", ["a", ["b"]], float("nan")):
        assert _with_move(text, stranger, 1, 1, 1) == text and _move_of(text, stranger) == (0.0, 0.0, 0.0)
