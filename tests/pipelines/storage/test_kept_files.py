"""A finished file is verified: another size, another byte, no file and no hash are all told."""

import hashlib
import json
from pathlib import Path

import pytest

from pipelines.storage.kept_files import damaged, describe
from pipelines.storage.sealed import Damaged, is_as_sealed, read_sealed, seal, write_sealed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job/state").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    return tmp_path / "job"


def test_size_and_hash_are_those_of_the_bytes(folder: Path) -> None:
    path = folder / "state/a.npy"
    path.write_bytes(b"x" * 3_000_000)
    (found,) = describe(folder, [path])
    assert (found.name, found.size_bytes) == ("state/a.npy", 3_000_000)
    assert found.sha256 == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_any_flipped_byte_is_found(folder: Path) -> None:
    path = folder / "a"
    data = bytes(range(256))
    path.write_bytes(data)
    known = describe(folder, [path])
    assert damaged(folder, [path], known) is None
    for at in range(256):
        path.write_bytes(data[:at] + bytes([data[at] ^ 64]) + data[at + 1 :])
        assert damaged(folder, [path], known) == "a"


@pytest.mark.parametrize(
    "change", [lambda p: p.unlink(), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"ab")]
)
def test_what_is_gone_or_cut_off_is_found(folder: Path, change) -> None:
    path = folder / "a"
    path.write_bytes(b"abc")
    known = describe(folder, [path])
    change(path)
    assert damaged(folder, [path], known) == "a"


def test_what_was_never_described_is_not_believed(folder: Path) -> None:
    (folder / "a").write_bytes(b"abc")
    assert damaged(folder, [folder / "a"], ()) == "a"


def test_pictures_outside_are_one_entry(folder: Path) -> None:
    pictures = [folder.parent / f"out/{number:05d}.png" for number in range(3)]
    for number, path in enumerate(pictures):
        path.write_bytes(bytes([number]) * 10)
    known = describe(folder, pictures)
    assert [(each.name, each.size_bytes) for each in known] == [("out", 30)]
    assert damaged(folder, pictures, known) is None
    pictures[1].write_bytes(b"y" * 10)
    assert damaged(folder, pictures, known) == "out"


def test_a_sealed_object_comes_back_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = {"name": "Größe", "number": 0.1, "list": [1, None]}
    write_sealed(path, content)
    assert read_sealed(path) == content
    data = path.read_bytes()
    outcomes = set()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            read = read_sealed(path)
        except Damaged:
            outcomes.add("told")
        else:
            # White space, or the name of the hash itself: everything that was written is there.
            assert content.items() <= read.items()
            outcomes.add("harmless")
    assert "told" in outcomes
    for text in ("", "[1]", "{"):
        path.write_text(text)
        with pytest.raises(Damaged):
            read_sealed(path)


def test_an_object_of_an_earlier_version_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    assert read_sealed(tmp_path / "a.json") == {"a": 1}


def test_a_file_with_a_seal_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "aims-0.bin"
    assert not is_as_sealed(path)
    path.write_bytes(b"abc")
    assert not is_as_sealed(path)
    seal(path)
    assert is_as_sealed(path)
    path.write_bytes(b"abd")
    assert not is_as_sealed(path)
