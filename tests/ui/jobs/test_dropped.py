"""A `job.json` that somebody brings: settings and marks come back, files only to whoever uploaded them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import BadInput
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import InpaintSettings
from ui.jobs import again, dropped
from ui.jobs.service import JobService
from ui.jobs.uploads import keep
from ui.server.policy import Policy
from ui.server.visitors import Visitor, add_owner

# At one address, with a cookie each.
ANN, BOB = Visitor("ann", "192.0.2.7"), Visitor("bob", "192.0.2.7")
BOX = ("4,4,20,20@0",)


@pytest.fixture
def service(make_queue: Callable[..., JobQueue]) -> Iterator[JobService]:
    service = JobService(make_queue(lambda _: iter(())), Policy.public(), grace_seconds=0)
    yield service
    service.presence.close()


@pytest.fixture
def job(service: JobService, clip: Path) -> Job:
    """A removal that Ann asked for."""
    kept = keep(clip, service.queue.jobs_dir)
    job = service.queue.submit("inpaint", kept, InpaintSettings(box=BOX, quality="high", start=0.4))
    add_owner(job, ANN)
    return job


@pytest.fixture
def record(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.folder / "job.json").read_text())
    return found


def asked_by(visitor: Visitor, service: JobService, record: dict[str, Any]) -> again.Again:
    cache = service.queue.jobs_dir / "cache"
    return dropped.question(service, visitor, dropped.read(json.dumps(record)), cache)


def test_settings_marks_and_media_come_back_to_whoever_asked(
    service: JobService, job: Job, record: dict[str, Any], clip: Path
) -> None:
    found = asked_by(ANN, service, record)
    assert (found.asked["box"], found.asked["quality"], found.asked["start"]) == ([*BOX], "high", 0.4)
    assert found.files[0] and Path(found.files[0]).read_bytes() == clip.read_bytes()
    assert found.painted == again.Paint()
    again.save_marks(job, again.Paint("20:1,1,9,9@0", follow=False))
    assert asked_by(ANN, service, record).painted.strokes == "20:1,1,9,9@0"


def test_others_get_settings_and_no_media_though_they_know_the_hash(
    service: JobService, job: Job, record: dict[str, Any], clip: Path
) -> None:
    again.save_marks(job, again.Paint("20:1,1,9,9@0"))
    served = service.queue.jobs_dir / "cache" / "upload" / "clip.mp4"
    served.parent.mkdir(parents=True)
    served.write_bytes(clip.read_bytes())
    service.room.ledger.add(ANN.counted_as, [served])
    found = asked_by(BOB, service, record)
    assert found.asked["box"] == [*BOX]
    assert (found.files, found.names, found.painted) == ((None,), ("clip.mp4",), again.Paint())
    user = Visitor("192.0.2.7", "192.0.2.7")  # who logs in is counted by name
    assert asked_by(user, service, record).files == (str(served),)


def test_no_path_of_it_is_opened(
    service: JobService, record: dict[str, Any], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = clip.with_name("secret.txt")
    secret.write_text("secret")
    record["inputs"][0] |= {"path": str(secret), "content": "0" * 64}
    record["asked"]["weights"] = str(secret.parent)
    touched: list[str] = []
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: (touched.append(str(self)), real(self, *a, **k))[1]
    )
    found = asked_by(ANN, service, record)
    assert (found.files, found.names) == ((None,), ("secret.txt",))
    assert found.asked["weights"] is None
    assert str(secret) not in touched
    for path in ("C:\\Users\\ann\\clip.mp4", "../../clip.mp4", ""):
        record["inputs"][0]["path"] = path
        (name,) = asked_by(ANN, service, record).names
        assert "/" not in name and "\\" not in name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"job"',
        "{}",
        "{",
        "[" * 100_000,
        '{"a":' * 20_000,
        '{"result_version": ' + "9" * 10_000 + "}",
        "\ud800",
    ],
)
def test_what_is_no_record_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(BadInput, match=r"no job\.json"):
        dropped.read(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"result_version": 1}, "another version"),
        ({"result_version": "8"}, "no job.json"),
        ({"result_version": True}, "no job.json"),
        ({"task": "of a plug-in that is gone"}, "not known"),
        ({"task": "copy"}, "not known"),
        ({"task": ["inpaint"]}, "no job.json"),
        ({"inputs": []}, "no job.json"),
        ({"inputs": {}}, "no job.json"),
        ({"inputs": [{"path": 1, "size_bytes": 1, "content": "00"}]}, "no job.json"),
        ({"inputs": [{"path": "a", "size_bytes": -1, "content": "../.."}]}, "no job.json"),
        ({"asked": []}, "no job.json"),
        ({"asked": {"quality": "best"}}, "settings"),
        ({"asked": {"of_another_version": 1}}, "settings"),
        ({"asked": {"box": [["1"]]}}, "settings"),
        ({"asked": {"start": 5, "end": 1}}, "settings"),
        ({"asked": {"start": float("nan")}}, "no job.json"),
        ({"asked": {f"a{number}": 1 for number in range(501)}}, "no job.json"),
        ({"more": "x" * 256_000}, "too large"),
    ],
)
def test_a_record_that_fits_nothing_here_is_refused_in_a_sentence(
    record: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        dropped.read(json.dumps({**record, **change}))
    assert len(str(refused.value)) < 300
