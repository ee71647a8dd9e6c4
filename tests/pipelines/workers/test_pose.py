"""The process that poses portraits: what it keeps, what it refuses, when it leaves."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from memory.devices import Device
from memory.probe import Hardware, Host
from memory.units import GIB
from pipelines.animation.liveportrait import networks
from pipelines.jobs import events
from pipelines.settings import PoseSettings
from pipelines.weights.catalog import PUBLISHED
from pipelines.workers import pose as posing
from pipelines.workers.pose import PoseQuestion, PoserCache, answer, lines, serve

from ..animation.liveportrait.fakes import FakePortrait

READY = {"source_crop": "none"}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in PUBLISHED["liveportrait"].files:
        (folder / file.name).write_bytes(b"x")
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakePortrait]]:
    monkeypatch.setattr(networks, "LivePortrait", FakePortrait)
    monkeypatch.setattr(FakePortrait, "made", [])
    return FakePortrait.made


def ask(cache: PoserCache, source: Path, weights: Path, **pose: Any) -> events.Event:
    asked = {**READY, "weights": str(weights), **pose}
    return answer(cache, PoseQuestion(source=source, asked=asked, picture=source.parent / "out/posed.jpg"))


def test_a_pose_is_answered_with_a_picture(picture: Path, weights: Path, fakes: list[FakePortrait]) -> None:
    told = ask(PoserCache(), picture, weights, yaw=3)
    assert isinstance(told, events.Preview), told
    with Image.open(told.path) as drawn:
        assert drawn.size == (512, 512)


def test_a_pose_says_whether_the_portrait_is_transparent(
    picture: Path, weights: Path, fakes: list[FakePortrait]
) -> None:
    cache, described = PoserCache(), picture.parent / "out/posed.json"
    ask(cache, picture, weights)
    assert json.loads(described.read_text()) == {"transparent": False}
    Image.new("RGBA", (300, 300), (9, 9, 9, 90)).save(picture)
    ask(cache, picture, weights)
    assert json.loads(described.read_text()) == {"transparent": True}


def test_a_portrait_stays_while_only_its_pose_changes(
    picture: Path, weights: Path, fakes: list[FakePortrait]
) -> None:
    cache = PoserCache()
    for yaw in (1, 2, 3):
        ask(cache, picture, weights, yaw=yaw)
    assert [(fake.seen, fake.drawn, fake.let) for fake in fakes] == [([1], [1, 1, 1], ["motion"])]
    ask(cache, picture, weights, flag_do_rot=False)
    assert len(fakes) == 2, "it is cut out in another way"
    Image.new("RGB", (320, 300)).save(picture)
    os.utime(picture, ns=(1, 1))
    ask(cache, picture, weights, flag_do_rot=False)
    assert len(fakes) == 3, "it is another picture by the same name"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"key": ["0:1,0,0"]}, "bad_input"),
        ({"ram_limit_gb": 0.2}, "not_enough_memory"),
        ({"eyes": 0.1}, "bad_input"),
    ],
)
def test_what_stands_against_a_pose_is_told(
    asked: dict[str, Any], code: str, picture: Path, weights: Path, fakes: list[FakePortrait]
) -> None:
    cache = PoserCache()
    told = ask(cache, picture, weights, **asked)
    assert isinstance(told, events.Failed) and told.code == code and told.hint
    assert isinstance(ask(cache, picture, weights), events.Preview), "and the next one is answered"


def test_nothing_is_loaded_that_would_not_fit(
    picture: Path, weights: Path, fakes: list[FakePortrait], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Hardware(Host(8 * GIB, GIB, 8 * GIB))
    monkeypatch.setattr(posing, "probe_hardware", lambda: full)
    told = ask(PoserCache(), picture, weights)
    assert isinstance(told, events.Failed) and told.code == "not_enough_memory" and not fakes


def test_a_card_that_is_too_small_is_told_before_anything_is_loaded(
    picture: Path, weights: Path, fakes: list[FakePortrait], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Device("cuda", 0, "small", "GPU-a", GIB, GIB)
    monkeypatch.setattr(
        posing, "probe_hardware", lambda: Hardware(Host(64 * GIB, 60 * GIB, 64 * GIB), (card,))
    )
    told = ask(PoserCache(), picture, weights)
    assert isinstance(told, events.Failed) and "device memory" in told.message and not fakes
    assert isinstance(ask(PoserCache(), picture, weights, device="cpu"), events.Preview)


def test_missing_weights_are_told(picture: Path, tmp_path: Path) -> None:
    told = ask(PoserCache(), picture, tmp_path)
    assert isinstance(told, events.Failed) and told.code == "weights_missing" and told.exit_code == 4


def test_a_larger_picture_than_is_served_is_refused(
    picture: Path, weights: Path, fakes: list[FakePortrait]
) -> None:
    asked = {**READY, "weights": str(weights)}
    there = picture.with_suffix(".jpg")
    told = [
        answer(PoserCache(), PoseQuestion(source=picture, asked=asked, picture=there, most_pixels=most))
        for most in (300 * 300 - 1, 300 * 300)
    ]
    assert [event.type for event in told] == ["failed", "preview"]
    assert isinstance(told[0], events.Failed) and told[0].code == "over_limit" and len(fakes) == 1


def test_memory_that_ends_meanwhile_is_told(
    picture: Path, weights: Path, fakes: list[FakePortrait], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(frames: int) -> None:
        raise RuntimeError("CUDA out of memory")

    cache = PoserCache()
    with monkeypatch.context() as patch:
        patch.setattr(FakePortrait, "before_drawing", staticmethod(full))
        told = ask(cache, picture, weights)
    assert isinstance(told, events.Failed) and told.code == "not_enough_memory"
    assert isinstance(ask(cache, picture, weights), events.Preview)


def test_questions_come_as_lines_and_are_answered_in_order(
    picture: Path, weights: Path, fakes: list[FakePortrait]
) -> None:
    poses: tuple[dict[str, Any], ...] = ({"yaw": 1}, {"key": ["7:1,1,1"]}, {"yaw": 2})
    asked = [{**READY, "weights": str(weights), **pose} for pose in poses]
    there = picture.with_suffix(".jpg")
    questions = [PoseQuestion(source=picture, asked=each, picture=there) for each in asked]
    told: list[events.Event] = []
    serve((question.model_dump_json().encode() for question in questions), told.append)
    assert [event.type for event in told] == ["preview", "failed", "preview"]


def test_lines_end_where_the_pipe_does_however_they_are_cut() -> None:
    out, into = os.pipe()
    for piece in (b"on", b"e\ntwo\nthr", b"ee\nnothing"):
        os.write(into, piece)
    os.close(into)
    assert list(lines(out)) == [b"one", b"two", b"three"]
    os.close(out)


def test_a_process_that_nobody_asks_leaves() -> None:
    out, into = os.pipe()
    os.write(into, b"one\n")
    assert list(lines(out, idle_seconds=0.0)) == [b"one"]
    os.close(into)
    os.close(out)


def test_only_the_pose_may_change_without_another_look() -> None:
    assert set(posing._POSE_SETTINGS) <= set(PoseSettings.model_fields)


def test_the_portraits_decoding_counts_beside_the_networks(
    picture: Path, weights: Path, fakes: list[FakePortrait], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that holds the networks, but not a large portrait that has to be decoded whole."""
    Image.new("RGB", (6000, 6000), (90, 60, 30)).save(picture, compress_level=1)
    told = [ask(PoserCache(), picture, weights, ram_limit_gb=limit) for limit in (1.2, 1.5)]
    assert isinstance(told[0], events.Failed) and told[0].code == "not_enough_memory"
    assert "1.1" in told[0].message and isinstance(told[1], events.Preview)
    assert len(fakes) == 1, "nothing is loaded, or decoded, that does not fit"
