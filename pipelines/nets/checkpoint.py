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
_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
"""The name in torch's message about a pickle that asks for code outside the allow list."""
_MAX_REASON_CHARS = 240
"""Two lines of a terminal: torch's messages may name hundreds of tensors."""
_FETCH_AGAIN = "The file is damaged or not a published one; fetch it again."
_BROKEN = (
    pickle.UnpicklingError,
    safetensors.SafetensorError,
    zipfile.BadZipFile,
    struct.error,
    # A damaged pickle may raise any of these.
    *(EOFError, OSError, RuntimeError, AssertionError, AttributeError),
    *(ValueError, TypeError, LookupError, ArithmeticError),
)


def read(path: Path) -> dict[str, Any]:
    """Read the tensors of a `.pth`, `.bin` or `.safetensors` file by name (nested as they were saved), on the CPU.

    Runs no code from the file. The file is mapped: only pages that are read take memory. Files older than PyTorch 1.6
    cannot be mapped and are held in full.
    Raises WeightsBroken for a file that is truncated, not a table of weights, or a pickle that asks for code.
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
    """Load `tensors` into `module`, strictly. Raises WeightsBroken, naming them, if names or shapes differ."""
    try:
        module.load_state_dict(tensors, strict=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        # The first line only says that loading failed; the second one names the tensors.
        said = [line.strip() for line in str(error).splitlines()]
        why = (said[1] if len(said) > 1 else said[0] if said else type(error).__name__)[:_MAX_REASON_CHARS]
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
        # Torch warns about old pickle protocols, about which the user can do nothing.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _broken(path: Path, error: Exception) -> WeightsBroken:
    if isinstance(error, FileNotFoundError):
        return WeightsBroken(f"{path} no longer exists.", "Put it back or fetch it again.")
    code = _REFUSED_GLOBAL.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if code:
        return WeightsBroken(
            f"{path} is not a plain file of weights: it asks to run {code[1]}, which was refused.",
            "Do not trust the file; fetch the published one.",
        )
    return WeightsBroken(f"{path} cannot be read as weights ({type(error).__name__}).", _FETCH_AGAIN)
