"""Files are complete or absent, the first of several stands, and what the dead left behind is swept."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.storage import atomic
from pipelines.storage.atomic import atomic_write, claim, put_once, sweep


@pytest.mark.parametrize("write", [atomic_write, put_once])
def test_a_file_appears_whole_and_nothing_else_stays(write, tmp_path: Path) -> None:
    with write(tmp_path / "new/a.csv") as part:
        assert part.parent == tmp_path / "new" and part.suffix == ".csv"
        part.write_bytes(b"1")
        assert not (tmp_path / "new/a.csv").exists()
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "new").iterdir()] == [("a.csv", b"1")]


@pytest.mark.parametrize("write", [atomic_write, put_once])
def test_a_body_that_fails_leaves_what_was_there(write, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(RuntimeError), write(tmp_path / "a") as part:
        part.write_bytes(b"new")
        raise RuntimeError
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_who_publishes_once_more_replaces_nothing(tmp_path: Path) -> None:
    with put_once(tmp_path / "a") as one:
        one.write_bytes(b"first")
        with put_once(tmp_path / "a") as two:
            assert two != one
            two.write_bytes(b"first")
        inode = (tmp_path / "a").stat().st_ino
    assert (tmp_path / "a").stat().st_ino == inode
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_without_hard_links_a_file_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with put_once(tmp_path / "a") as part:
        part.write_bytes(b"1")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"1")]


@pytest.mark.parametrize("write", [atomic_write, put_once])
def test_contents_are_on_the_disk_before_the_name_and_the_name_before_the_end(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []
    real = atomic.flush

    def flush(path: Path) -> None:
        told.append(("folder" if path.is_dir() else "file", (tmp_path / "a").exists()))
        real(path)

    monkeypatch.setattr(atomic, "flush", flush)
    with write(tmp_path / "a") as part:
        part.write_bytes(b"1")
    assert told == [("file", False), ("folder", True)]


def test_only_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ours, theirs = f"part-{os.getpid()}-0a-a.csv", f"part-{dead.pid}-0b-a.csv"
    for name in (ours, theirs, f"part-{dead.pid}-0c-b.csv", "a.csv", "part-of-a-story.txt"):
        (tmp_path / name).touch()
    sweep(tmp_path, "a.csv")
    assert {p.name for p in tmp_path.iterdir()} == {
        ours,
        f"part-{dead.pid}-0c-b.csv",
        "a.csv",
        "part-of-a-story.txt",
    }
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {ours, "a.csv", "part-of-a-story.txt"}
    sweep(tmp_path / "gone")


def test_names_of_new_folders_are_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(atomic, "flush", flushed.append)
    atomic.make_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir() and flushed == [tmp_path, tmp_path / "a"]
    atomic.make_folder(tmp_path / "a/b")
    assert len(flushed) == 2


def claim_in_a_process(path: Path, name: str) -> "subprocess.Popen[str]":
    words = (
        "import sys; from pathlib import Path; from pipelines.storage.atomic import claim;"
        "sys.stdin.readline(); print(claim(Path(sys.argv[1]), sys.argv[2].encode()))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", words, str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_of_several_that_claim_a_name_one_gets_it(tmp_path: Path) -> None:
    racers = {name: claim_in_a_process(tmp_path / "mine", name) for name in ("a", "b", "c")}
    for racer in racers.values():
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    won = [name for name, racer in racers.items() if racer.communicate()[0].strip() == "True"]
    assert [(tmp_path / "mine").read_text()] == won
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def no_links(self: Path, target: Path) -> None:
    raise OSError(errno.EPERM, "no links here")


def test_without_hard_links_one_gets_it_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert [claim(tmp_path / "mine", b"a"), claim(tmp_path / "mine", b"b")] == [True, False]
    assert (tmp_path / "mine").read_bytes() == b"a"


def test_a_claim_whose_answer_was_lost_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system made the link, the answer did not arrive, and asking again found a name that exists."""
    link = Path.hardlink_to

    def linked_but_refused(self: Path, target: Path) -> None:
        link(self, target)
        raise FileExistsError(self)

    monkeypatch.setattr(Path, "hardlink_to", linked_but_refused)
    assert claim(tmp_path / "mine", b"a")


def test_a_claim_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        claim(tmp_path / "gone/mine", b"a")
