"""Disk before a job: each visitor's own quota, what jobs leave for all, and nobody pays with a job for leftovers."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from memory.units import GIB, MIB
from pipelines.jobs.trash import disk_bytes
from ui.limits import ledger, room
from ui.limits.ledger import Ledger
from ui.limits.room import NoRoom, Room
from ui.server.policy import Policy


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    folder = tmp_path / "jobs"
    (folder / "cache").mkdir(parents=True)
    return folder


def policy(mine: float | None = None, all: float | None = None) -> Policy:
    """Limits in MiB."""
    return Policy(visitor_max_gb=mine and mine / 1024, jobs_max_gb=all and (all * MIB + 256 * 1024) / GIB)


def put(there: Room, visitor: str, name: str, mib: float) -> Path:
    """An upload that is granted, comes and stays."""
    file = there._cache / name / "clip.mp4"
    with there.arrival(visitor) as arrival:
        arrival.grant(int(mib * MIB))
        file.parent.mkdir(exist_ok=True)
        part = there._cache / f"tmp-{name}"
        arrival.begin(part)
        part.write_bytes(os.urandom(int(mib * MIB)))
        part.rename(file)
        arrival.keep([file])
    return file


def test_more_than_a_visitor_may_ever_keep_is_refused_for_good(jobs: Path) -> None:
    there = Room(jobs, policy(mine=2))
    with pytest.raises(NoRoom, match=r"3\.0 MiB would be more than the 2\.0 MiB that one visitor") as told:
        put(there, "ann", "a", 3)
    assert told.value.is_final
    put(there, "ann", "b", 2)


def test_above_the_quota_an_upload_is_refused_and_others_have_theirs(jobs: Path) -> None:
    there = Room(jobs, policy(mine=2))
    put(there, "ann", "a", 1.5)
    with pytest.raises(
        NoRoom, match=r"take up 1\.5 MiB, .* 1\.0 MiB more; one visitor may keep 2\.0"
    ) as told:
        put(there, "ann", "b", 1)
    assert not told.value.is_final and "10 minutes" in told.value.hint
    put(there, "bob", "b", 1)
    put(there, "ann", "c", 0.25)


def test_what_comes_at_the_same_time_counts(jobs: Path) -> None:
    there = Room(jobs, policy(mine=2, all=3))
    with there.arrival("ann") as first, there.arrival("ann") as second, there.arrival("bob") as other:
        first.grant(MIB)
        second.grant(MIB // 2)
        with pytest.raises(NoRoom, match=r"take up 1\.5 MiB"):
            second.grant(MIB)
        other.grant(MIB)
        with pytest.raises(NoRoom, match="The server's disk is full"):
            other.grant(MIB)
    put(there, "ann", "a", 2)


def test_the_oldest_unused_of_ones_own_makes_room(jobs: Path, clock: Clock) -> None:
    there = Room(jobs, policy(mine=3), clock=clock)
    first, second = put(there, "ann", "a", 1), put(there, "ann", "b", 1)
    others = put(there, "bob", "c", 1)
    clock.now += room.UNUSED_SECONDS + 1
    there.ledger.use([first])
    put(there, "ann", "d", 1.5)
    assert first.exists() and not second.exists() and others.exists()
    with pytest.raises(NoRoom):
        put(there, "ann", "e", 1)
    assert first.exists()


def test_a_job_takes_its_upload_over(jobs: Path) -> None:
    there = Room(jobs, policy(mine=2))
    upload = put(there, "ann", "a", 1.5)
    kept = jobs / "kept.mp4"
    kept.hardlink_to(upload)
    put(there, "ann", "b", 1.5)
    kept.unlink()
    with pytest.raises(NoRoom, match=r"3\.0 MiB"):
        put(there, "ann", "c", 0.1)


def test_the_same_file_of_two_goes_when_neither_has_it(jobs: Path, clock: Clock) -> None:
    there = Room(jobs, policy(mine=2), clock=clock)
    file = put(there, "ann", "a", 1.5)
    assert put(there, "bob", "a", 1.5) == file
    clock.now += room.UNUSED_SECONDS + 1
    put(there, "ann", "b", 1)
    assert file.exists(), "it is bob's, too"
    put(there, "bob", "c", 1)
    assert not file.exists() and not file.parent.exists()


def test_when_the_disk_is_full_those_pay_who_hold_most(jobs: Path, clock: Clock) -> None:
    there = Room(jobs, policy(all=4), clock=clock)
    small = put(there, "ann", "a", 0.5)
    flood = [put(there, "bob", f"b{n}", 1) for n in range(3)]
    with pytest.raises(NoRoom, match="Try again in a few minutes"):
        put(there, "eve", "c", 1)
    clock.now += room.UNUSED_SECONDS + 1
    put(there, "eve", "c", 1)
    assert small.exists() and [file.exists() for file in flood] == [False, True, True]
    assert disk_bytes([jobs]) <= 4 * MIB + 256 * 1024


def test_what_nobody_put_there_goes_first(jobs: Path, clock: Clock) -> None:
    there = Room(jobs, policy(all=2), clock=clock)
    mine = put(there, "ann", "a", 0.5)
    old = jobs / "cache" / "stills" / "x" / "0.jpg"
    old.parent.mkdir(parents=True)
    old.write_bytes(os.urandom(MIB))
    clock.now += room.UNUSED_SECONDS + 1
    put(there, "bob", "b", 1)
    assert mine.exists() and not old.exists()


def test_jobs_are_never_erased_here(jobs: Path, clock: Clock) -> None:
    there = Room(jobs, policy(all=2), clock=clock)
    result = jobs / "job" / "result.mp4"
    result.parent.mkdir()
    result.write_bytes(os.urandom(int(1.5 * MIB)))
    served = jobs / "cache" / "key" / "result.mp4"
    served.parent.mkdir()
    served.hardlink_to(result)
    clock.now += 1e5
    with pytest.raises(NoRoom):
        put(there, "ann", "a", 1)
    assert result.exists() and there.spare(MIB) == 0


def test_an_upload_that_breaks_off_leaves_nothing(jobs: Path) -> None:
    there = Room(jobs, policy(mine=2))
    part = jobs / "cache" / "tmp1"
    with pytest.raises(RuntimeError), there.arrival("ann") as arrival:
        arrival.grant(2 * MIB)
        arrival.begin(part)
        part.write_bytes(b"x")
        raise RuntimeError
    assert not part.exists() and not there._coming and not there._parts
    put(there, "ann", "a", 2)


def test_the_janitor_spares_what_is_read_just_now(jobs: Path, clock: Clock) -> None:
    there = Room(jobs, policy(), clock=clock)
    file = put(there, "ann", "a", 1)
    assert there.spare(MIB) == 0 and file.exists()
    clock.now += 61
    assert there.spare(1) == MIB and not file.exists()


def test_files_are_counted_too(jobs: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_FILES", 3)
    there = Room(jobs, policy(), clock=clock)
    files = [put(there, "ann", f"a{n}", 0) for n in range(3)]
    with pytest.raises(NoRoom, match="You have 3 files here"):
        there.check("ann")
    there.check("bob")
    clock.now += room.UNUSED_SECONDS + 1
    there.check("ann")
    assert [file.exists() for file in files] == [False, True, True]


def test_a_disk_that_is_nearly_full_takes_nothing(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(_: Path) -> Any:
        return type("Usage", (), {"free": room._SPARE_BYTES + MIB})

    monkeypatch.setattr(room.shutil, "disk_usage", usage)
    there = Room(jobs, policy())
    put(there, "ann", "a", 0.9)
    with pytest.raises(NoRoom, match="disk is full"):
        put(there, "ann", "b", 2)


# -- the ledger ------------------------------------------------------------------------------------------------


def test_the_ledger_survives_a_restart_and_a_move_and_a_line_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    file = tmp_path / "a" / "x" / "clip.mp4"
    file.touch()
    first = Ledger(tmp_path / "lines", tmp_path / "a", clock=lambda: 5.0)
    first.add("ann", [file, tmp_path / "elsewhere"])
    (tmp_path / "a").rename(tmp_path / "b")
    with (tmp_path / "lines").open("ab") as lines:
        lines.write(b'["eve", "../../etc/passwd", 1]\n["bob", 7')
    second = Ledger(tmp_path / "lines", tmp_path / "b")
    assert second.files("ann") == {tmp_path / "b" / "x" / "clip.mp4": 5.0}
    assert second.visitors() == ["ann"]


def test_the_ledger_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_STALE_LINES", 10)
    file = tmp_path / "clip.mp4"
    file.touch()
    clock = Clock()
    mine = Ledger(tmp_path / "lines", tmp_path, clock=clock)
    mine.add("ann", [file])
    for _ in range(100):
        clock.now += 61
        mine.use([file])
        mine.use([file])
    lines = (tmp_path / "lines").read_bytes().splitlines()
    assert len(lines) <= 12 and json.loads(lines[-1]) == ["ann", "clip.mp4", clock.now]
    file.unlink()
    assert mine.files("ann") == {} and mine.visitors() == []
