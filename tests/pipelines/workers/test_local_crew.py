"""Where the members of a crew are started, and what is heard of them."""

import io
import subprocess
import sys
from collections import Counter
from typing import Any, ClassVar

import pytest

from memory.slot import Slot
from pipelines.runtime.crew import Lost
from pipelines.workers.crew import LocalCrew

SLOTS = tuple(Slot(f"cuda:{i}", (("CUDA_VISIBLE_DEVICES", f"GPU-{i}"),)) for i in range(2))


class Started:
    """A process that is not one."""

    made: ClassVar[list["Started"]] = []

    def __init__(self, command: list[str], **options: Any) -> None:
        self.environment = options["env"]
        self.stdin, self.stdout, self.stderr = io.BytesIO(), None, None
        self.pid = 0
        Started.made.append(self)

    def wait(self, timeout: float | None = None) -> int:
        return 0


def test_members_are_spread_over_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Started, "made", [])
    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(LocalCrew, "_listen", lambda *_: None)
    crew = LocalCrew(SLOTS)
    devices = [crew.device(crew.hire()) for _ in range(4)]
    assert Counter(devices) == {"cuda:0": 2, "cuda:1": 2}
    seen = [process.environment["CUDA_VISIBLE_DEVICES"] for process in Started.made]
    assert seen == [device.replace("cuda:", "GPU-") for device in devices]
    monkeypatch.setattr("pipelines.workers.crew.kill_tree", lambda pid: None)
    crew.kill(2)
    assert crew.device(crew.hire()) == devices[1], "where one has gone"


def test_a_member_that_ends_is_said_to_be_lost_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [sys.executable, "-c", "import sys; sys.exit('the driver is too old')"]
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: popen(said, **options))
    crew = LocalCrew([Slot("cpu")])
    number = crew.hire()
    heard: list[Any] = []
    while not heard:
        heard += crew.poll(60)
    assert heard == [(number, Lost("ended with exit status 1: the driver is too old"))]
    crew.close()
