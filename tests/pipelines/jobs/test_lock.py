"""The lock on a folder that others look at, make and delete at the same time."""

import fcntl
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.jobs import lock as locking
from pipelines.jobs.lock import is_locked, lock


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "none")
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_holds_it_until_it_is_closed(tmp_path: Path) -> None:
    first = lock(tmp_path / "job")
    assert first and is_locked(tmp_path / "job") and lock(tmp_path / "job") is None
    first.close()
    assert not is_locked(tmp_path / "job")
    again = lock(tmp_path / "job")
    assert again
    again.close()


def test_whoever_looks_is_not_taken_for_a_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = lock(tmp_path)
    assert held
    held.close()
    with (tmp_path / "lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_locked(tmp_path), "two may look at once"
        monkeypatch.setattr(locking.time, "sleep", lambda s: s and fcntl.flock(looking, fcntl.LOCK_UN))
        taken = lock(tmp_path)
        assert taken, "who looked has gone meanwhile"
        taken.close()


def test_the_lock_of_a_deleted_folder_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, hold = tmp_path / "job", locking._hold
    deleted: list[Path] = []

    def deleted_meanwhile(file: Any) -> bool:
        if not deleted:
            deleted.append(folder)
            shutil.rmtree(folder)
        return hold(file)

    monkeypatch.setattr(locking, "_hold", deleted_meanwhile)
    file = lock(folder)
    assert file and deleted and is_locked(folder) and lock(folder) is None
    file.close()
