"""A published checkpoint on disk: its shards, `.bin` or `.safetensors`, with or without an index.

Opening reads names and shapes alone. Values are read through memory maps that are closed and opened again after some
bytes, because the pages of a map count as held until it is closed.
"""

import json
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.errors import WeightsBroken, WeightsMissing
from pipelines.nets import checkpoint

Shape = tuple[int, ...]

MAPPED_BYTES = 2**27
"""Bytes that are read through one map before it is opened anew; a larger tensor is read as a whole."""

_FORMATS = (("*.safetensors", "*.safetensors.index.json"), ("pytorch_model*.bin", "*.bin.index.json"))
# Old files hold this table of the rotary embedding, which is computed instead.
_IGNORED = "model.layers.*.self_attn.rotary_emb.inv_freq"
_AGAIN = "Fetch the files of q-future/one-align again."


class Checkpoint:
    """The tensors of a checkpoint by name, over all of its shards. Holds names and paths.

    `files` maps published file names to paths.
    Raises WeightsMissing if there are no weights or a shard is missing, WeightsBroken for a file that cannot be read or
    does not hold what the index says.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._shapes: dict[str, Shape] = {}
        self._file_of: dict[str, Path] = {}
        named, shards = _shards(files)
        for path in shards:
            for name, tensor in _open(path).items():
                if name in self._shapes:
                    raise WeightsBroken(f"{name} is in {path} and in another file.", _AGAIN)
                self._shapes[name], self._file_of[name] = tuple(tensor.shape), path
        for name, file in named.items():
            if self._file_of.get(name) != files[file]:
                raise WeightsBroken(f"{files[file]} does not hold {name}, as the index says.", _AGAIN)

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def check(self, wanted: Mapping[str, Shape], optional: Sequence[str]) -> None:
        """Raise WeightsBroken if a tensor is missing, unknown, or has another shape."""
        has = {name: shape for name, shape in self._shapes.items() if not fnmatch(name, _IGNORED)}
        missing = [name for name in wanted if name not in has and name not in optional]
        unknown = [name for name in has if name not in wanted]
        for names, fault in ((missing, "Missing"), (unknown, "Unknown")):
            if names:
                raise WeightsBroken(
                    f"{fault} tensors in Q-Align's weights: {len(names)}, such as {names[0]}.", _AGAIN
                )
        for name, shape in has.items():
            if shape != wanted[name]:
                raise WeightsBroken(f"{name} has the shape {shape} instead of {wanted[name]}.", _AGAIN)

    def tensors(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors `names`, shard by shard, on the CPU. Copy each before taking the next one.

        Raises WeightsBroken for values that are not finite.
        """
        by_file: defaultdict[Path, list[str]] = defaultdict(list)
        for name in names:
            by_file[self._file_of[name]].append(name)
        for path, wanted in by_file.items():
            while wanted:
                wanted = yield from _some(path, wanted)

    def rows(self, name: str, rows: Sequence[int]) -> Tensor:
        """Read only these rows of a matrix. Raises WeightsBroken for values that are not finite."""
        path = self._file_of[name]
        return _finite(_open(path)[name][list(rows)], name, path)


def _some(path: Path, wanted: list[str]) -> Generator[tuple[str, Tensor], None, list[str]]:
    """Yield as many of the `wanted` tensors as one map may read; return the remaining names."""
    held, read_bytes = _open(path), 0
    for done, name in enumerate(wanted):
        tensor = held[name]
        read_bytes += tensor.nbytes
        if done and read_bytes > MAPPED_BYTES:
            return wanted[done:]
        yield name, _finite(tensor, name, path)
    return []


def _finite(tensor: Tensor, name: str, path: Path) -> Tensor:
    if not all(torch.isfinite(end) for end in tensor.aminmax()):
        raise WeightsBroken(f"{name} in {path} holds values that are not finite.", _AGAIN)
    return tensor


def _open(path: Path) -> dict[str, Tensor]:
    """Return the file's tensors by name, memory-mapped. Raises WeightsBroken."""
    held = checkpoint.read(path)
    if not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise WeightsBroken(f"{path} holds more than weights.", _AGAIN)
    return held


def _shards(files: Mapping[str, Path]) -> tuple[Mapping[str, str], list[Path]]:
    """Return the index (tensor -> file; empty without one) and the paths of the shards; prefers safetensors."""
    for shards, index in _FORMATS:
        if indices := [name for name in files if fnmatch(name, index)]:
            named = _read_index(files[indices[0]])
            if missing := sorted(set(named.values()) - set(files)):
                raise WeightsMissing(
                    f"{missing[0]} is missing beside {files[indices[0]]}, which names it.",
                    "Fetch all files of q-future/one-align into one folder.",
                )
            return named, [files[name] for name in sorted(set(named.values()))]
        if found := sorted(name for name in files if fnmatch(name, shards)):
            return {}, [files[name] for name in found]
    raise WeightsMissing(
        "There are no weights of Q-Align beside its config.json.",
        "Give --weights the folder of q-future/one-align with all of its files.",
    )


def _read_index(path: Path) -> dict[str, str]:
    try:
        named: Any = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): str(file) for name, file in named.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsBroken(f"{path} is not a readable index of weights.", _AGAIN) from error
