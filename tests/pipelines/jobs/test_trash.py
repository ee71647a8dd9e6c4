"""What is measured, taken out of sight and erased, and what never is."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from memory.units import KIB
from pipelines.errors import BadInput
from pipelines.jobs import trash
from pipelines.jobs.job import Job
from pipelines.jobs.trash import disk_bytes, erase, leftovers, move_job, remove_empty_folders
from pipelines.settings import ScoreSettings


def make(path: Path, size_bytes: int = 64 * KIB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size_bytes))
    return path


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job.create(tmp_path / "jobs", "score", (make(tmp_path / "clip.mp4", 1),), ScoreSettings(), 1)


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    file = make(tmp_path / "file")
    before = disk_bytes([tmp_path])
    assert before >= 64 * KIB
    (tmp_path / "other").hardlink_to(file)
    assert disk_bytes([tmp_path]) - before < 64 * KIB


def test_only_what_has_no_name_elsewhere_is_freed(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    one, two = make(here / "one"), make(here / "two")
    (here / "two again").hardlink_to(two)
    there.mkdir()
    (there / "one").hardlink_to(one)
    assert 64 * KIB <= disk_bytes([here], freed=True) < 128 * KIB
    assert disk_bytes([here, there], freed=True) >= 128 * KIB


def test_links_are_not_followed(tmp_path: Path) -> None:
    big = make(tmp_path / "elsewhere" / "big", 1024 * KIB)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").symlink_to(big)
    (folder / "loop").symlink_to(folder)
    (folder / "deep").symlink_to(big.parent)
    assert disk_bytes([folder]) < 64 * KIB
    link = tmp_path / "link"
    link.symlink_to(big.parent)
    erase([link, folder])
    assert not os.path.lexists(link) and not folder.exists() and big.exists()


def test_a_binned_job_is_no_job_and_what_a_kill_left_is_found(job: Job) -> None:
    jobs_dir = job.folder.parent
    binned = move_job(job)
    assert Job.all(jobs_dir) == [] and not job.exists()
    assert leftovers(jobs_dir) == [binned]
    assert erase(leftovers(jobs_dir)) > 0
    assert leftovers(jobs_dir) == [] and erase([binned]) == 0, "erased twice is erased"


def test_a_job_that_somebody_holds_stays(job: Job) -> None:
    with job.runner(), pytest.raises(BadInput, match="is running"):
        move_job(job)
    assert job.exists()


def test_a_job_can_be_asked_anew_while_the_old_one_is_erased(job: Job) -> None:
    with job.runner():
        job.folder.rename(job.folder.with_name("moved"))
        again = Job.create(
            job.folder.parent, "score", (job.folder.parents[1] / "clip.mp4",), ScoreSettings(), 1
        )
        assert again == job and again.exists() and not again.is_running()


def test_what_cannot_be_moved_is_refused_in_plain_words(job: Job) -> None:
    (job.folder.parent / ".trash").write_text("in the way")
    with pytest.raises(BadInput, match=r"cannot be deleted.*permissions"):
        move_job(job)
    assert job.exists()


def test_what_cannot_be_erased_is_logged_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make(tmp_path / ".trash" / "x" / "file").parent
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
        erase([folder])
    assert "cannot be erased" in caplog.text
    erase(leftovers(tmp_path))
    assert not folder.exists()


def test_an_upload_is_known_in_a_folder_of_jobs_that_was_moved(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    upload = make(before / "uploads" / "0123" / "clip.mp4")
    Job.create(before, "score", (upload,), ScoreSettings(), 1)
    before.rename(after)
    moved = after / "uploads" / "0123" / "clip.mp4"
    assert trash.move_unread(after, [moved]) == {} and moved.exists()
    (job,) = Job.all(after)
    assert trash.uploads_of(job) == {moved}


def test_folders_are_removed_when_they_have_been_empty_for_a_while(tmp_path: Path) -> None:
    young, old, used = (tmp_path / "uploads" / name for name in ("young", "old", "used"))
    make(used / "clip.mp4")
    for folder in (young, old):
        folder.mkdir()
    for folder in (old, used):
        os.utime(folder, (1000, 1000))
    remove_empty_folders(tmp_path, 2000)
    assert young.exists() and used.exists() and not old.exists()


def test_what_vanishes_while_it_is_measured_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make(tmp_path / "file")
    deep = make(tmp_path / "deep" / "file").parent
    scandir = os.scandir

    def vanishing(folder: str | int):
        if folder == str(deep):
            monkeypatch.undo()
            shutil.rmtree(deep)
            return scandir(folder)
        listed = list(scandir(folder))
        file.unlink()
        return contextlib.nullcontext(listed)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert disk_bytes([tmp_path, tmp_path / "none"]) < 64 * KIB
    assert not file.exists() and not deep.exists()


def test_an_upload_with_the_longest_name_can_be_deleted(tmp_path: Path) -> None:
    upload = tmp_path / "uploads/0123" / ("n" * 251 + ".mp4")
    upload.parent.mkdir(parents=True)
    make(upload)
    moved = trash.move_unread(tmp_path, [upload])
    assert not upload.exists() and leftovers(tmp_path) == [moved[upload]]
    assert erase(moved.values()) == 64 * KIB and leftovers(tmp_path) == []
