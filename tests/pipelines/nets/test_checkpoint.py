"""Weight files are data: whatever is in them, they are read, or refused in a sentence; nothing of them is run."""

import os
import pickle
import random
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import safetensors.torch
import torch
from torch import nn

from memory.units import MIB
from pipelines.errors import WeightsBroken
from pipelines.nets import checkpoint

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}


def save_new(tensors: Any, path: Path) -> None:
    torch.save(tensors, path)


def save_old(tensors: Any, path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def save_safe(tensors: Any, path: Path) -> None:
    safetensors.torch.save_file(tensors, path)


FORMATS = [(save_new, "w.pth"), (save_old, "w.bin"), (save_safe, "w.safetensors")]
each_format = pytest.mark.parametrize(("save", "name"), FORMATS, ids=["zip", "legacy", "safetensors"])


@each_format
def test_every_published_format_is_read(tmp_path: Path, save: Callable[..., None], name: str) -> None:
    save(TENSORS, tmp_path / name)
    found = checkpoint.read(tmp_path / name)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[key], TENSORS[key]) for key in TENSORS)
    layer = nn.Linear(3, 2)
    checkpoint.fill(layer, found, name)
    assert torch.equal(layer.weight, TENSORS["weight"])


def test_a_table_of_tables_keeps_its_shape(tmp_path: Path) -> None:
    save_new({"mouth": OrderedDict(TENSORS), "eye": TENSORS, "epoch": 3}, tmp_path / "w.pth")
    found = checkpoint.read(tmp_path / "w.pth")
    assert torch.equal(found["mouth"]["bias"], TENSORS["bias"]) and found["epoch"] == 3


@pytest.mark.parametrize(("save", "name"), [FORMATS[0], FORMATS[2]], ids=["zip", "safetensors"])
def test_what_is_not_looked_at_is_not_held(tmp_path: Path, save: Callable[..., None], name: str) -> None:
    many, process = 64 * MIB, psutil.Process()
    save({"small": torch.ones(3), "large": torch.ones(many // 4)}, tmp_path / name)
    before = process.memory_info().rss
    found = checkpoint.read(tmp_path / name)
    assert found["small"].sum() == 3
    assert process.memory_info().rss - before < many / 4
    assert found["large"].sum() == many // 4
    assert process.memory_info().rss - before > many / 2, "what is looked at can be seen"


class Trap:
    """Pickled, it asks whoever loads it to make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def save_plain(tensors: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(tensors, protocol=2))


@pytest.mark.parametrize("save", [save_new, save_old, save_plain], ids=["zip", "legacy", "pickle"])
def test_a_file_that_wants_to_run_code_is_refused_and_runs_none(
    tmp_path: Path, save: Callable[..., None]
) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "w.pth"
    save({"extra": Trap(sprung), **TENSORS}, path)
    with pytest.raises(
        WeightsBroken, match=r"w\.pth is not a plain file of weights: it asks to run \w+\.mkdir"
    ) as told:
        checkpoint.read(path)
    assert "Do not trust" in told.value.hint
    assert not sprung.exists()
    if save is save_plain:
        pickle.loads(path.read_bytes())
        assert sprung.exists(), "the trap is a real one"


@each_format
@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.97])
def test_a_truncated_file_is_refused(
    tmp_path: Path, save: Callable[..., None], name: str, kept: float
) -> None:
    path = tmp_path / name
    save(TENSORS, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    with pytest.raises(WeightsBroken, match=f"{name} cannot be read as weights") as told:
        checkpoint.read(path)
    assert "fetch it again" in told.value.hint


@each_format
def test_damage_anywhere_is_read_or_refused_but_never_a_traceback(
    tmp_path: Path, save: Callable[..., None], name: str
) -> None:
    path, chance = tmp_path / name, random.Random(1)
    save(TENSORS, path)
    data = path.read_bytes()
    refused = 0
    for _ in range(80):
        hurt = bytearray(data)
        for _ in range(3):
            hurt[chance.randrange(len(hurt))] = chance.randrange(256)
        path.write_bytes(hurt)
        try:
            checkpoint.read(path)
        except (WeightsBroken, MemoryError):
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("w.pth", b"<html>404 Not Found</html>"),
        ("w.safetensors", b"<html>404 Not Found</html>"),
        ("w.pth", pickle.dumps([1, 2])),
        ("w.pth", pickle.dumps({1: 2})),
        ("w.pth", pickle.dumps("weights")),
    ],
)
def test_what_is_no_table_of_weights_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsBroken, match=name):
        checkpoint.read(tmp_path / name)


def test_a_file_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(WeightsBroken, match=r"w\.pth no longer exists"):
        checkpoint.read(tmp_path / "w.pth")


def test_memory_that_ends_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    save_new(TENSORS, tmp_path / "w.pth")
    monkeypatch.setattr(torch, "load", ends)
    with pytest.raises(RuntimeError, match="allocate"):
        checkpoint.read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"weight": TENSORS["weight"]}, "Missing key.*bias"),
        ({**TENSORS, "extra": torch.ones(1)}, "Unexpected key.*extra"),
        ({**TENSORS, "weight": torch.ones(5, 3)}, "size mismatch for weight"),
        ({"weight": 3, "bias": 4}, "weight"),
        ({1: torch.ones(1)}, "the-file does not fit"),
    ],
    ids=["missing", "unexpected", "shape", "no tensors", "no names"],
)
def test_weights_of_another_network_do_not_fit(tensors: Any, says: str) -> None:
    with pytest.raises(WeightsBroken, match=says) as told:
        checkpoint.fill(nn.Linear(3, 2), tensors, "the-file")
    assert "does not fit its network" in told.value.message and len(told.value.message) < 300
    assert "\n" not in str(told.value)
