"""`resume` without an ID: everything that can go on does, and what cannot is told."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.cli.console import Console
from pipelines.errors import FolderUnusable
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.settings import CopySettings
from pipelines.spec import task_spec

from .in_process import draw, run_commands_here

ROOT = Path(__file__).parents[3]


@pytest.fixture
def jobs_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three copies that were not finished, one of which failed, one of which cannot be read."""
    run_commands_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        draw(tmp_path / f"films/{name}.mp4", frames=10 + ord(name) % 7)
        job = copying(tmp_path, name)
        job.journal.append(events.Failed(job=job.id, code="encoder_died", message="Gone."))
    (copying(tmp_path, "b").folder / "job.json").write_text("{}")
    return tmp_path / "jobs"


def copying(folder: Path, name: str) -> Job:
    version = task_spec("copy").result_version
    return Job.create(
        folder / "jobs", "copy", (folder / f"films/{name}.mp4",), CopySettings(engine="builtin"), version
    )


def test_failed_jobs_go_on_and_one_that_cannot_be_read_is_told(
    jobs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resume"]) == 2
    told = capsys.readouterr().err
    assert "holds no readable job" in told and "1 cannot be read" in told
    done = [path.parent.name for path in jobs_dir.glob("*/result.mp4")]
    assert len(done) == 2


def test_one_that_fails_again_costs_the_others_nothing(
    jobs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(next(path.parent for path in jobs_dir.glob("*/job.json") if path.read_text() == "{}"))
    (jobs_dir.parent / "films/a.mp4").write_bytes(b"something else")
    assert main(["resume"]) == 2
    assert "1 of 2 jobs were not finished" in capsys.readouterr().err
    assert len(list(jobs_dir.glob("*/result.mp4"))) == 1


def test_where_all_is_done_there_is_nothing_to_do(jobs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(jobs_dir)
    assert main(["resume"]) == 0
    assert "Nothing to resume" in capsys.readouterr().out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_full_stdout_is_told_by_its_name(flags: tuple[str, ...], tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "pipelines", "resume", "--jobs-dir", str(tmp_path), *flags],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
    if flags:  # nothing to say in JSON
        assert done.returncode == 0
    else:
        assert done.returncode == 3 and "full" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_job_whose_folder_is_removed_is_not_followed_for_ever(tmp_path: Path) -> None:
    class Ended:
        def listen(self, job: Job) -> Iterator[events.Event]:
            return iter(())

    with pytest.raises(FolderUnusable, match="is gone"):
        Console(json=True).follow(Ended(), Job(tmp_path / "gone"))  # type: ignore[arg-type]
