"""Weight files of PyTorch networks: the only module that calls `torch.load` or safetensors.

ONNX models are opened by `pipelines.nets.onnx`, SAM 2 by transformers in `pipelines.tracking.sam2_model`. Files are
located without torch by `pipelines.weights.locate`.
"""

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from memory.oom import is_out_of_memory
from pipelines.errors import WeightsBroken

_ZIP = b"PK\x03\x04"
_WANTED_CODE = re.compile(r"GLOBAL ([\w.]+)")
_MOST_LETTERS = 240
_FETCH_AGAIN = "The file is damaged or none of the published ones; fetch it again."
_BROKEN = (
    pickle.UnpicklingError,
    safetensors.SafetensorError,
    zipfile.BadZipFile,
    struct.error,
    # What a damaged pickle runs into, whatever is done to it.
    *(EOFError, OSError, RuntimeError, AssertionError, AttributeError),
    *(ValueError, TypeError, LookupError, ArithmeticError),
)


def read(path: Path) -> dict[str, Any]:
    """The tensors of a `.pth`, `.bin` or `.safetensors` file by name (nested as they were saved), on the CPU.

    Runs no code of the file. Holds the file's pages that are looked at, mapped from disk; the format of before
    PyTorch 1.6 cannot be mapped and is held in full.
    Raises WeightsBroken for a file that is truncated, none of ours, or that wants to run code.
    """
    try:
        found = _read(path)
    except _BROKEN as error:
        if is_out_of_memory(error):
            raise
        raise _broken(path, error) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise WeightsBroken(f"{path} holds no table of weights.", _FETCH_AGAIN)
    return found


def fill(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load `tensors` into `module`, strictly. Raises WeightsBroken, with the names, where they do not fit."""
    try:
        module.load_state_dict(tensors, strict=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        # The first line only says that something is wrong; one after it may name hundreds of tensors.
        said = [line.strip() for line in str(error).splitlines()]
        why = (said[1] if len(said) > 1 else said[0] if said else type(error).__name__)[:_MOST_LETTERS]
        raise WeightsBroken(
            f"{name} does not fit its network: {why}",
            "The file was renamed or belongs to another release; fetch it again.",
        ) from error


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path, device="cpu")
    with path.open("rb") as file:
        mapped = file.read(len(_ZIP)) == _ZIP
    with warnings.catch_warnings():
        # Old pickles are read, or refused; either way there is nothing to be done about their protocol.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _broken(path: Path, error: Exception) -> WeightsBroken:
    if isinstance(error, FileNotFoundError):
        return WeightsBroken(f"{path} is gone.", "Put it back or fetch it again.")
    code = _WANTED_CODE.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if code:
        return WeightsBroken(
            f"{path} is no plain file of weights: it asks for {code[1]}, which was not run.",
            "Do not trust the file; fetch the published one.",
        )
    return WeightsBroken(f"{path} holds no weights that can be read ({type(error).__name__}).", _FETCH_AGAIN)
