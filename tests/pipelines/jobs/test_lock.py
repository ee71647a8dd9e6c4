"""The lock on a folder that others inspect, create and delete at the same time."""

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.jobs import lock as locking
from pipelines.jobs.lock import is_locked, lock

ROOT = Path(__file__).parents[3]


def test_inspecting_creates_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "none")
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lock").touch()
    assert not is_locked(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_one_holds_it_until_it_is_closed(tmp_path: Path) -> None:
    first = lock(tmp_path / "job")
    assert first and is_locked(tmp_path / "job") and lock(tmp_path / "job") is None
    first.close()
    assert not is_locked(tmp_path / "job")
    again = lock(tmp_path / "job")
    assert again
    again.close()


def test_however_many_inspect_none_is_taken_for_a_holder_and_no_runner_is_refused(tmp_path: Path) -> None:
    folder, over = tmp_path / "job", threading.Event()
    held = lock(folder)
    assert held
    held.close()
    start = threading.Barrier(9)

    def inspect(times: int) -> int:
        start.wait()
        return sum(is_locked(folder) for _ in range(times))

    def inspect_on() -> int:
        start.wait()
        count = 0
        while not over.is_set():
            is_locked(folder)
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        seen = [pool.submit(inspect, 100) for _ in range(8)]
        start.wait()
        assert [each.result() for each in seen] == [0] * 8, "nobody held it"
        busy = [pool.submit(inspect_on) for _ in range(8)]
        start.wait()
        refused = 0
        try:
            for _ in range(100):
                file = lock(folder)
                refused += file is None
                if file:
                    file.close()
        finally:
            over.set()
        assert refused == 0
        assert sum(each.result() for each in busy), "some were inspecting meanwhile"


def test_the_kernel_lets_go_when_the_holder_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipelines.jobs.lock import lock\n"
        f"held = lock(Path({str(tmp_path)!r})); print(bool(held), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == b"True\n"
        assert is_locked(tmp_path) and lock(tmp_path) is None
        holder.kill()
    assert not is_locked(tmp_path)
    again = lock(tmp_path)
    assert again
    again.close()


@pytest.mark.parametrize("remade", [False, True])
def test_the_lock_of_a_deleted_folder_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remade: bool
) -> None:
    folder, take = tmp_path / "job", locking.lock_descriptor
    deleted: list[Path] = []

    def deleted_meanwhile(fd: int, **options: object) -> bool:
        if not deleted:
            deleted.append(folder)
            shutil.rmtree(folder)
            if remade:
                folder.mkdir()
                (folder / "lock").touch()
        return take(fd, **options)

    monkeypatch.setattr(locking, "lock_descriptor", deleted_meanwhile)
    file = lock(folder)
    assert file and deleted and is_locked(folder) and lock(folder) is None
    file.close()
