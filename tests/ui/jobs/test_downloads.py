"""Downloads: names that say what a file is, on every system, and all files as one zip that nothing is written for."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from memory.units import MIB
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.settings import InpaintSettings, ScoreSettings
from ui.jobs import downloads
from ui.server.visitors import Keys


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Job]:
    """A finished job of a video of this name."""

    def make(task: str, name: str, settings: Any, *files: str, contents: bytes = b"film") -> Job:
        path = tmp_path / name
        path.write_bytes(b"video")
        job = Job.create(tmp_path / "jobs", task, (path,), settings, 1)
        for file in files:
            (job.folder / file).write_bytes(contents)
        paths = [job.folder / file for file in files]
        result = next((path for path in paths if path.stem == "result"), None)
        others = {path.stem: path for path in paths if path != result}
        job.journal.append(events.Done(job=job.id, outputs=events.Outputs(result=result, **others)))
        return job

    return make


def named(job: Job) -> list[str]:
    last = job.journal.last_state()
    assert isinstance(last, events.Done)
    return sorted(downloads.names(job.record(), last.outputs.paths(), last.outputs.result).values())


def test_a_name_says_of_what_and_what(made: Callable[..., Job]) -> None:
    removal = made(
        "inpaint", "bmx-trees.mp4", InpaintSettings(box=("1,1,9,9@0",)), "result.mp4", "report.json"
    )
    assert named(removal) == ["bmx-trees_removed.mp4", "bmx-trees_report.json"]
    settings = InpaintSettings(box=("1,1,9,9@0",), start=1, end=3)
    assert named(made("inpaint", "b.mov", settings, "result.mov")) == ["b_removed_preview.mov"]
    outpaint = InpaintSettings(engine="propainter", mode="video_outpainting")
    assert named(made("inpaint", "b.mp4", outpaint, "result.mp4")) == ["b_extended.mp4"]
    assert named(made("score", "b.mp4", ScoreSettings(), "scores.csv")) == ["b_scores.csv"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("clip.mp4", "clip"),
        ('a"b<c>:|?*.mp4', "a_b_c_____"),
        ("..mp4", "video"),
        ("  .mp4", "video"),
        ("line\nfeed\x7f.mp4", "line_feed_"),
        ("\u202egpj.mp4", "_gpj"),
        ("旅行.mp4", "旅行"),
        ("\udcff.mp4", "_xff"),
        ("é" * 200 + ".mp4", "é" * 60),
        ("a.b.c.mp4", "a.b.c"),
    ],
)
def test_a_name_is_one_on_every_system(name: str, stem: str) -> None:
    assert downloads.safe_stem(name) == stem


def test_a_header_holds_any_name() -> None:
    said = downloads.disposition('旅行"\r\nX: y.zip')
    assert said.isascii() and "\r" not in said and "\n" not in said
    assert said.startswith('attachment; filename="') and said.count('"') == 2
    assert "filename*=UTF-8''%E6%97%85" in said


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    keys = Keys((tmp_path / "jobs").absolute())
    return TestClient(Starlette(routes=[downloads.route(tmp_path / "jobs", keys)]))


def test_all_files_come_as_a_zip_to_whoever_has_the_address_of_one(
    made: Callable[..., Job], tmp_path: Path
) -> None:
    job = made("score", "旅行.mp4", ScoreSettings(), "scores.csv", "report.json", contents=b"12345")
    keys = Keys(tmp_path / "jobs")
    client = TestClient(Starlette(routes=[downloads.route(tmp_path / "jobs", keys)]))
    before = {path for path in (tmp_path / "jobs").rglob("*")}
    answer = client.get("/" + downloads.address(job, keys.files(job)))
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/zip"
    assert "filename*=UTF-8''%E6%97%85%E8%A1%8C_files.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == {
            "旅行_scores.csv": b"12345",
            "旅行_report.json": b"12345",
        }
    assert {path for path in (tmp_path / "jobs").rglob("*")} == before, "nothing is written for it"
    for id, key in (
        (job.id, keys.view(job)),
        (job.id, keys.edit(job)),
        (job.id, "é"),
        ("0" * 16, keys.files(job)),
        ("..", keys.files(job)),
    ):
        refused = client.get(f"{downloads.PATH}/{id}/{key}")
        assert refused.status_code == 404 and b"PK" not in refused.content


def test_a_zip_of_large_files_is_never_held(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(40 * MIB)
    parts: Iterator[bytes] = downloads.zipped({large: "large.bin"})
    sizes = [len(part) for part in parts]
    assert sum(sizes) > 40 * MIB and max(sizes) < 1.1 * MIB
