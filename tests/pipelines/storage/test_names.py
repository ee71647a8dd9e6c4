import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipelines.jobs import events
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.job import Job
from pipelines.settings import ScoreSettings
from pipelines.storage.names import (
    QUOTED_CHARACTERS,
    StoredPath,
    printable,
    quoted,
    read_path,
    shortened,
    to_json,
    without_folders,
    write_path,
)
from pipelines.storage.report import write_report
from pipelines.storage.video_folders import natural_key

ODD = Path(os.fsdecode(b"/films/caf\xe9 100%.mp4"))
EVEN = Path("/films/café 100%25 \\xe9.mp4")


class _Kept(BaseModel):
    path: StoredPath
    name: str


@pytest.mark.parametrize("path", [ODD, EVEN, Path("file:/x"), Path("relative.mp4")])
def test_every_path_comes_back_from_json(path: Path) -> None:
    kept = to_json(_Kept(path=path, name=path.name))
    assert _Kept.model_validate_json(kept).path == path == read_path(write_path(path))
    assert json.loads(kept)["name"] == printable(path.name)


def test_paths_that_are_text_are_kept_as_they_were() -> None:
    assert write_path(EVEN) == str(EVEN) and printable(str(EVEN)) == str(EVEN)
    kept = _Kept(path=EVEN, name="n")
    assert to_json(kept, indent=1) == kept.model_dump_json(indent=1).encode()
    assert write_path(ODD) == "file:///films/caf%E9%20100%25.mp4", "a URI that other programs read, too"
    assert printable(ODD.name) == "caf\\xe9 100%.mp4"


def test_events_say_names_that_are_not_utf8() -> None:
    outputs = events.Outputs(report=ODD, mask=ODD, worst=(ODD, EVEN))
    for event in (
        events.Done(job="1", outputs=outputs),
        events.Queued(job="1", task="score", name=ODD.name),
        events.Preview(job="1", frame=0, path=ODD),
    ):
        line = to_json(event)
        assert to_json(events.parse(line)) == line
    told = events.parse(to_json(events.Done(job="1", outputs=outputs)))
    assert isinstance(told, events.Done) and told.outputs.paths() == outputs.paths()


def test_a_visitor_sees_the_name_alone() -> None:
    line = to_json(events.Failed(job="1", code="bad_input", message=f"{ODD} is empty."))
    failed = events.parse(line)
    assert isinstance(failed, events.Failed)
    assert failed.to_error(ODD).message == "caf\\xe9 100%.mp4 is empty."


def test_a_job_knows_its_inputs_and_places_whatever_their_names(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff\xfe")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    clip = folder / os.fsdecode(b"caf\xe9.mp4")
    clip.write_bytes(b"a film")
    settings = ScoreSettings(weights=folder)
    job = Job.create(folder, "score", (clip, folder), settings, 1)
    record = Job.find(folder, job.id).record()
    assert [known.path for known in record.inputs] == [clip, folder]
    assert record.settings.weights == folder
    assert job.id.encode() in (job.folder / "job.json").read_bytes()
    clip.rename(folder / os.fsdecode(b"caf\xe8.mp4"))
    assert InputFile.of(folder).fingerprint != record.inputs[1].fingerprint, "names count"


def test_a_report_is_utf8(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", {"video": {"name": ODD.name}, "paths": [ODD]})
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report == {"video": {"name": "caf\\xe9 100%.mp4"}, "paths": [write_path(ODD)]}


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 5_000_000, "ab " * 40, "\udcff" * 50, "\x00\n" * 50, "\u202e" * 99, "字" * 81, "x" * 80),
        *("", "clip.mp4", "one\ntwo"),
    ],
    ids=lambda text: ascii(text)[:12],
)
def test_text_from_outside_is_one_short_line(text: str) -> None:
    for shown in (shortened(text), quoted(text)[1:-1]):
        assert len(shown) <= QUOTED_CHARACTERS and len(shown.splitlines()) <= 1
        assert (
            shown.encode() == shown.encode("utf-8", "replace")
            and "\u202e" not in shown
            and "\x00" not in shown
        )
        if len(text) < 10 and text.isprintable():
            assert shown == text


def test_beginning_and_end_of_a_long_name_stay() -> None:
    shown = shortened("holiday" + "-" * 200 + "part2.mp4")
    assert shown.startswith("holiday-") and shown.endswith("-part2.mp4") and "…" in shown
    assert len(shown) == QUOTED_CHARACTERS


def test_any_value_can_be_quoted() -> None:
    for value in (5, None, 10**5000, [[]] * 100, {"a": "b" * 1000}, float("nan"), b"\xff" * 999):
        assert 0 < len(quoted(value)) <= QUOTED_CHARACTERS


def test_lists_in_lists_can_be_quoted() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(quoted(deep)) <= QUOTED_CHARACTERS
    while deep:  # freed one by one, whatever the Python
        deep = deep.pop()  # type: ignore[assignment]


def test_a_visitors_file_is_told_by_its_short_name() -> None:
    short, long = Path("/jobs/uploads/1/clip.mp4"), Path("/jobs/uploads/2") / ("m" * 200 + ".zip")
    told = without_folders(f"{long} does not fit {short}: {long.name} has 3 masks.", [short, long])
    assert "/jobs" not in told and "does not fit clip.mp4: mmm" in told
    assert max(map(len, told.split())) <= QUOTED_CHARACTERS + 1
    inner = Path("/jobs/uploads/1")
    assert without_folders(f"{short} in {inner}", [inner, short]) == "clip.mp4 in 1"


def test_a_number_in_a_name_may_have_any_length_and_script() -> None:
    names = ["a10.png", "a2.png", "a" + "9" * 6000 + ".png", "a٣.png", "a002.png", "²"]
    assert sorted(names, key=natural_key)[:3] == ["a002.png", "a2.png", "a10.png"]
