"""Contents are known by all their bytes, which are read once for as long as nothing says that they changed."""

import hashlib
import json
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import InputChanged
from pipelines.storage import contents, hash_cache
from pipelines.storage.contents import read_contents, remember

MIB = 2**20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in which small files are kept too."""
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "_WORTH_KEEPING_BYTES", 1)
    hash_cache._memory.clear()
    return tmp_path / "cache" / "fingerprints"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each time that contents are read."""
    times: list[int] = []
    real = contents._hash

    def counted(*given: object) -> object:
        times.append(1)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(contents, "_hash", counted)
    return times


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def as_new_process() -> None:
    hash_cache._memory.clear()


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_a_file_has_the_sha256_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    found = read_contents(write(tmp_path / "clip.bin", data[:size]))
    assert (found.size_bytes, found.sha256) == (size, hashlib.sha256(data[:size]).hexdigest())


@pytest.mark.parametrize("size", [3, 9000, 2 * MIB + 3, 5 * MIB])
def test_a_byte_in_the_middle_makes_another(tmp_path: Path, size: int) -> None:
    data = bytearray(size)
    one = read_contents(write(tmp_path / "one", data))
    data[size // 2] = 1
    other = read_contents(write(tmp_path / "other", data))
    assert one.sha256 != other.sha256


def test_a_folder_is_known_by_names_sizes_and_all_bytes(tmp_path: Path) -> None:
    first, second = os.urandom(20_000), os.urandom(20_000)
    changed = bytearray(second)
    changed[10_000] ^= 1
    folders: list[dict[str, bytes]] = [
        {"a": first, "b": second},
        {"a": first, "b": bytes(changed)},
        {"a": second, "b": first},
        {"a": first, "c": second},
        {"a": first + second, "b": b""},
        {"a": first},
        {"a\udcff": first, "b": second},
    ]
    found = set()
    for number, files in enumerate(folders):
        for name, data in files.items():
            write(tmp_path / str(number) / name, data)
        found.add(read_contents(tmp_path / str(number)).sha256)
    assert len(found) == len(folders)
    for name, data in folders[0].items():
        write(tmp_path / "again" / name, data)
    (tmp_path / "again" / "deeper").mkdir()
    assert read_contents(tmp_path / "again").sha256 in found


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(96 * MIB)
    tracemalloc.start()
    read_contents(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MIB


def test_what_is_unchanged_is_read_once_here_and_in_other_processes(
    tmp_path: Path, hashed: list[int]
) -> None:
    path = write(tmp_path / "clip.bin", b"film")
    folder = write(tmp_path / "pictures" / "0.png", b"picture").parent
    known = read_contents(path), read_contents(folder)
    assert (read_contents(path), read_contents(folder)) == known and len(hashed) == 2
    as_new_process()
    assert (read_contents(path), read_contents(folder)) == known and len(hashed) == 2


@pytest.mark.parametrize("where", ["same times", "same size", "replaced", "one picture"])
def test_what_changed_is_read_again(tmp_path: Path, hashed: list[int], where: str) -> None:
    path = write(tmp_path / "folder" / "0.png", b"film")
    given = path.parent if where == "one picture" else path
    before, times = read_contents(given), path.stat()
    if where == "replaced":
        write(tmp_path / "new", b"FILM").replace(path)
    else:
        path.write_bytes(b"FILM")
    if where != "same size":
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read_contents(given).sha256 != before.sha256
    assert len(hashed) == 2


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[:-9],
        lambda data: b"[]",
        lambda data: b"\xff" * len(data),
        lambda data: json.dumps({**json.loads(data), "sha256": "0" * 64}).encode(),
        lambda data: json.dumps({**json.loads(data), "sha256": 5}).encode(),
        lambda data: json.dumps({**json.loads(data), "state": "0" * 64}).encode(),
        lambda data: b" " * 10**6 + data,
    ],
    ids=["empty", "cut", "list", "bytes", "other hash", "number", "other state", "long"],
)
def test_a_damaged_answer_costs_time_alone(
    tmp_path: Path, cache: Path, hashed: list[int], harm: Callable[[bytes], bytes]
) -> None:
    path = write(tmp_path / "clip.bin", b"film")
    known = read_contents(path)
    (answer,) = cache.iterdir()
    answer.write_bytes(harm(answer.read_bytes()))
    as_new_process()
    assert read_contents(path) == known and len(hashed) == 2
    as_new_process()
    assert read_contents(path) == known and len(hashed) == 2, "the answer is whole again"


def test_an_answer_of_another_user_is_not_believed(
    tmp_path: Path, hashed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "clip.bin", b"film")
    read_contents(path)
    as_new_process()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    read_contents(path)
    assert len(hashed) == 2


def test_without_a_place_for_answers_all_works(tmp_path: Path, cache: Path, hashed: list[int]) -> None:
    write(cache.parent, b"no folder")
    path = write(tmp_path / "clip.bin", b"film")
    known = read_contents(path)
    assert read_contents(path) == known and len(hashed) == 1, "this process remembers"
    as_new_process()
    assert read_contents(path) == known and len(hashed) == 2


def test_answers_are_bounded_on_disk_and_in_memory(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "_MOST_FILES", 6)
    monkeypatch.setattr(hash_cache, "_DROPPED", 3)
    monkeypatch.setattr(hash_cache, "_MOST_IN_MEMORY", 4)
    for number in range(20):
        hash_cache.keep(tmp_path / str(number), "state", "0" * 64)
        assert len(list(cache.iterdir())) <= 6
    assert len(hash_cache._memory) == 4
    as_new_process()
    assert hash_cache.find(tmp_path / "19", "state") == "0" * 64, "the newest stay"


def test_many_at_once_get_the_same_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.bin", b"film" * 100_000)
    found = []

    def read() -> None:
        for _ in range(5):
            as_new_process()
            found.append(read_contents(path))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 30 and len(set(found)) == 1


def test_a_file_that_was_written_in_this_moment_is_not_trusted_by_its_times(
    tmp_path: Path, hashed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that keeps whole seconds, the next change may get the same time."""
    monkeypatch.setattr(contents._State, "has_settled", lambda state, now: False)
    path = write(tmp_path / "clip.bin", b"film")
    assert read_contents(path) == read_contents(path) and len(hashed) == 2


# -- changes while it is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["rewritten", "longer", "shorter", "replaced", "another file"])
def test_what_changes_while_it_is_read_is_refused(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "folder" / "clip.bin", bytes(3 * MIB))
    given = path.parent if change == "another file" else path

    def tick(count: int) -> None:
        if change == "replaced":
            write(tmp_path / "new", bytes(3 * MIB)).replace(path)
        elif change == "another file":
            write(path.parent / "more", b"more")
        else:
            with path.open("r+b") as file:
                file.seek(0, os.SEEK_END if change == "longer" else os.SEEK_SET)
                file.write(b"x" * 2 * MIB)
                if change == "shorter":
                    file.truncate()

    with pytest.raises(InputChanged, match="is being changed"):
        read_contents(given, tick)


def test_a_file_that_grows_as_fast_as_it_is_read_is_given_up(tmp_path: Path) -> None:
    path = write(tmp_path / "log", bytes(MIB))

    def grow(count: int) -> None:
        with path.open("ab") as file:
            file.write(bytes(2 * MIB))

    with pytest.raises(InputChanged):
        read_contents(path, grow)
    assert path.stat().st_size < 8 * MIB


def test_a_new_link_is_no_change(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.bin", b"film")
    found = read_contents(path, lambda count: (tmp_path / "link").hardlink_to(path))
    assert found.sha256 == hashlib.sha256(b"film").hexdigest()


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    path, read = write(tmp_path / "clip.bin", bytes(5 * MIB)), []

    def stop(count: int) -> None:
        read.append(count)
        if len(read) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_contents(path, stop)
    assert sum(read) == 2 * MIB


# -- links ---------------------------------------------------------------------------------------------------


def test_a_link_to_what_was_read_is_not_read_again_and_what_was_written_since_is(
    tmp_path: Path, hashed: list[int]
) -> None:
    path, link = write(tmp_path / "clip.bin", b"film"), tmp_path / "link.bin"
    known = read_contents(path)
    link.hardlink_to(path)
    remember(link, known)
    remember(path, known)
    assert read_contents(link) == read_contents(path) == known and len(hashed) == 1
    link.write_bytes(b"FILM")
    remember(link, known)
    assert read_contents(link).sha256 == hashlib.sha256(b"FILM").hexdigest()
