"""The command `weights`, licences on the command line, and `estimate` with the settings of each task."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import imageio_ffmpeg
import pytest
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory

from pipelines.__main__ import main
from pipelines.doctor import examine
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED

PROPAINTER = [file.name for file in PUBLISHED["propainter"].files]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of their own."""
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "config"))
    return tmp_path


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in PROPAINTER:
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    source = "testsrc2=size=64x64:rate=10:duration=1"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, str(path)]
    subprocess.run(command, check=True, timeout=300)
    return path


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_all_weights_are_listed_with_licence_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights"]) == 0
    told = capsys.readouterr().out
    for published in PUBLISHED.values():
        assert published.title in told and published.licence.sentence in told
        assert f"python -m pipelines weights {published.model} --fetch" in told


def test_what_is_there_is_told_with_its_place(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(home / "w")
    assert main(["weights", "propainter", "--weights", str(folder), "--json"]) == 0
    (finding,) = lines(capsys.readouterr().out)
    assert finding["ok"] and str(folder) in finding["found"] and "3 files" in finding["found"]
    assert "not accepted yet" in finding["found"]
    assert main(["weights", "propainter", "--weights", str(home / "none"), "--json"]) == 0
    (finding,) = lines(capsys.readouterr().out)
    assert not finding["ok"] and f"--fetch --weights {home / 'none'}" in finding["advice"]


@pytest.mark.parametrize("flag", ["--fetch", "--accept-licence"])
@pytest.mark.parametrize("model", [[], ["nonsense"]])
def test_which_weights_are_meant_must_be_said(
    model: list[str], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", *model, flag]) == 2
    assert "propainter, qalign" in capsys.readouterr().err


def test_fetching_states_the_licence_and_offline_is_exit_4(
    offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "propainter", "--fetch"]) == 4
    licence, error = capsys.readouterr().err.splitlines()
    assert "NTU S-Lab License 1.0, non-commercial use only" in licence
    assert "raft-things.pth could not be fetched from https://github.com" in error
    assert licences.is_accepted("propainter")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a network, on which retries are made without a pause."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    set_client_factory(lambda: httpx2.Client(transport=httpx2.MockTransport(fail)))
    yield
    set_client_factory(default_client_factory)


def test_what_is_there_already_is_not_fetched(
    home: Path, offline: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(put(home / "w")))
    assert main(["weights", "propainter", "--fetch"]) == 0
    assert "accepted) in" in capsys.readouterr().out


def test_an_acceptance_that_cannot_be_recorded_is_no_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "file"))
    assert main(["weights", "qalign", "--accept-licence"]) == 2
    assert "cannot be recorded" in capsys.readouterr().err


def test_a_licence_can_be_accepted_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "qalign", "--accept-licence"]) == 0
    assert licences.is_accepted("qalign") and not licences.is_accepted("propainter")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_network_by_name_states_its_licence_once_and_asks_nobody(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The weights are there; the video is not, so nothing is run.
    asked = ["inpaint", str(home / "no.mp4"), "--mask", str(home / "m.png"), "--engine", "propainter"]
    asked += ["--weights", str(put(home / "w")), "--jobs-dir", str(home / "jobs"), "--json"]
    assert main(asked) == 2
    first = capsys.readouterr().err.splitlines()
    assert len(first) == 2 and "ProPainter are under the NTU S-Lab License 1.0" in first[0]
    assert main(asked) == 2
    assert capsys.readouterr().err.splitlines() == first[1:]


def test_a_network_without_weights_is_one_line_and_exit_4(
    home: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("inpaint", "estimate inpaint"):
        asked = [*task.split(), str(clip), "--engine", "propainter", "--box", "1,1,9,9@0"]
        assert main([*asked, "--weights", str(home / "none"), "--jobs-dir", str(home / "jobs")]) == 4
        (error,) = capsys.readouterr().err.splitlines()
        assert "ProPainter needs raft-things.pth, " in error and "weights propainter --fetch" in error
    assert not licences.is_accepted("propainter"), "there was nothing to use"


@pytest.mark.parametrize(
    ("asked", "engine"),
    [
        (["score", "--window", "5"], "builtin"),
        (["inpaint", "--mask-dilation", "2", "--box", "1,1,9,9@0"], "flow"),
        (["track", "--box", "1,1,9,9@0"], "builtin"),
        (["copy"], "builtin"),
    ],
)
def test_estimate_takes_the_settings_of_every_task(
    home: Path, clip: Path, asked: list[str], engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    task, *flags = asked
    assert main(["estimate", task, str(clip), *flags, "--jobs-dir", str(home / "jobs"), "--json"]) == 0
    (planned,) = lines(capsys.readouterr().out)
    assert planned["type"] == "planned" and planned["predicted_host_bytes"] > 0
    if task in ("score", "inpaint"):
        assert planned["predicted_seconds"] > 0
    assert not (home / "jobs").exists()


def test_a_setting_of_another_task_is_refused(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "copy", str(clip), "--window", "5"]) == 2
    assert "--window" in capsys.readouterr().err


def test_the_doctor_lists_the_weights_of_every_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(put(home / "w")))
    found = {finding.what: finding for finding in examine(home)}
    assert set(PUBLISHED) < set(found)
    assert "3 files" in found["propainter"].found and str(home / "w") in found["propainter"].found
    assert (
        found["qalign"].ok
        and "is not installed" in found["qalign"].found
        and "--fetch" in found["qalign"].advice
    )
    (home / "w" / "config.json").touch()
    (home / "w" / "model.safetensors.index.json").write_text("{")
    broken = {finding.what: finding for finding in examine(home)}["qalign"]
    assert not broken.ok and "not a readable index of weights" in broken.found
