"""GPUs that a process has only for the length of a call: the slices of a Hugging Face Space on ZeroGPU.

Between calls no driver lists one, so plans are made for the slice that the Space says it lends.
"""

import os
from collections.abc import Mapping

from memory.devices import Device

SPACE = "LONGTAKE_SPACE"
"""Environment variable that overrides what is found: `zero` for slices, `cpu` or `gpu` for none."""
KINDS = ("zero", "cpu", "gpu")
_NAME, _BYTES = "NVIDIA H200 MIG 3g.71gb", 74_625_056_768
"""The slice that the package `spaces` 0.51.3 describes where the Space says nothing; its other one is larger."""


def has_slices(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a Space whose GPU is lent call by call."""
    asked = environ.get(SPACE, "")
    return asked == "zero" if asked else environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def slice_device(environ: Mapping[str, str] = os.environ) -> Device | None:
    """Return the slice that a call computes on, as its only device; None where there are no slices."""
    if not has_slices(environ):
        return None
    name = environ.get("ZEROGPU_CUDA_DEVICE_NAME", _NAME)
    size = int(environ.get("ZEROGPU_CUDA_TOTAL_MEMORY", _BYTES))
    return Device("cuda", 0, name, "", size, size)
