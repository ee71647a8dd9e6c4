"""Inputs that were fetched: once for each machine, at most so many bytes, never lost to a job that reads them."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from pipelines.storage import input_cache
from pipelines.storage.kept_files import KeptFile


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "store-inputs"


def hashed(name: str) -> str:
    return hashlib.sha256(name.encode() * 4).hexdigest()


def file(name: str) -> KeptFile:
    return KeptFile(name=name, size_bytes=4, sha256=hashed(name))


def link(name: str, path: Path, fetched: list[str], most_bytes: int = 100) -> None:
    def fetch(target: Path) -> None:
        fetched.append(name)
        target.write_bytes(name.encode() * 4)

    input_cache.link(file(name), path, fetch, most_bytes=most_bytes)


def kept(cache: Path) -> list[str]:
    return sorted(path.read_text()[0] for path in cache.iterdir() if path.suffix != ".lock")


def test_several_jobs_at_once_fetch_an_input_once(tmp_path: Path) -> None:
    fetched: list[str] = []
    threads = [threading.Thread(target=link, args=("a", tmp_path / f"job{n}/a", fetched)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["a"]
    assert {(tmp_path / f"job{n}/a").read_bytes() for n in range(4)} == {b"aaaa"}


def test_what_was_used_longest_ago_goes_and_its_job_keeps_it(tmp_path: Path, cache: Path) -> None:
    fetched: list[str] = []
    for age, name in enumerate("abc"):
        link(name, tmp_path / name, fetched, most_bytes=12)
        os.utime(cache / hashed(name), (age, age))
    link("a", tmp_path / "again", fetched, most_bytes=12)
    link("d", tmp_path / "d", fetched, most_bytes=12)
    assert kept(cache) == ["a", "c", "d"] and fetched == list("abcd")
    assert (tmp_path / "b").read_bytes() == b"bbbb"


def test_one_that_is_larger_than_all_that_may_stay_is_fetched_all_the_same(
    tmp_path: Path, cache: Path
) -> None:
    fetched: list[str] = []
    link("a", tmp_path / "a", fetched)
    link("b", tmp_path / "b", fetched, most_bytes=1)
    assert kept(cache) == ["b"] and (tmp_path / "b").read_bytes() == b"bbbb"


@pytest.mark.parametrize("damaged", [b"a", b"aaab"])
def test_one_that_was_damaged_is_fetched_again(tmp_path: Path, cache: Path, damaged: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / hashed("a")).write_bytes(damaged)
    link("a", tmp_path / "a", fetched := [])
    assert fetched == ["a"] and (tmp_path / "a").read_bytes() == b"aaaa"


def test_without_hard_links_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    link("a", tmp_path / "a", [])
    assert (tmp_path / "a").read_bytes() == b"aaaa"


def test_a_full_disk_ends_the_fetch_and_the_next_one_begins_anew(tmp_path: Path, cache: Path) -> None:
    def full(target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        input_cache.link(file("a"), tmp_path / "a", full, most_bytes=100)
    link("a", tmp_path / "a", fetched := [])
    assert fetched == ["a"]


def test_who_waits_for_another_fetch_can_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_cache, "_LOCK_SECONDS", 0.01)
    inside, may_end = threading.Event(), threading.Event()

    def slow(target: Path) -> None:
        inside.set()
        may_end.wait()
        target.write_bytes(b"aaaa")

    def stop() -> None:
        raise InterruptedError

    first = threading.Thread(
        target=lambda: input_cache.link(file("a"), tmp_path / "one", slow, most_bytes=100)
    )
    first.start()
    inside.wait()
    with pytest.raises(InterruptedError):
        input_cache.link(file("a"), tmp_path / "two", pytest.fail, most_bytes=100, tick=stop)
    may_end.set()
    first.join()
