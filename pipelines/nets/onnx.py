"""ONNX models on the CPU: the only module that opens an onnxruntime session.

onnxruntime is an extra (`requirements-faces.txt`) and loaded at the first call. Needs no torch.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import BadInput, WeightsBroken

Floats = NDArray[np.float32]


def run(path: Path, values: Floats) -> list[Floats]:
    """The outputs of the model at `path` for its one input; the model is opened once and kept.

    Raises WeightsBroken if the file is not a model that takes `values`, BadInput if onnxruntime is not installed.
    """
    session = _session(path)
    try:
        return [np.asarray(output) for output in session.run(None, {session.get_inputs()[0].name: values})]
    except _runtime_errors() as error:
        raise not_published(path) from error


@functools.cache
def _session(path: Path) -> Any:
    """A session on the CPU with one thread: the models are small, and several may run beside the decoder."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BadInput(
            "Landmarks by ONNX need onnxruntime, which is not installed.",
            "`pip install -r requirements-faces.txt`, or give a box of the face.",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise not_published(path) from error


def _runtime_errors() -> tuple[type[Exception], ...]:
    """The exceptions of onnxruntime, which have no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (getattr(state, name) for name in dir(state))
    return tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))


def not_published(path: Path) -> WeightsBroken:
    """The error for a model that cannot be opened, or whose outputs are not those of the published one."""
    return WeightsBroken(
        f"{path} is not the published {path.name}.",
        "Fetch it again, or remove it to use the built-in face box.",
    )
