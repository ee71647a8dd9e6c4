"""A Space that lends its GPU call by call is known by its variables, and planned for as the slice that it lends."""

import pytest

from memory.probe import probe_hardware
from memory.slices import has_slices, slice_device


@pytest.mark.parametrize(
    ("environ", "has"),
    [
        ({}, False),
        ({"SPACES_ZERO_GPU": "true"}, True),
        ({"SPACES_ZERO_GPU": "1"}, True),
        ({"SPACES_ZERO_GPU": "false"}, False),
        ({"SPACES_ZERO_GPU": "true", "LONGTAKE_SPACE": "cpu"}, False),
        ({"SPACES_ZERO_GPU": "true", "LONGTAKE_SPACE": "gpu"}, False),
        ({"LONGTAKE_SPACE": "zero"}, True),
    ],
)
def test_variables_tell_whether_there_are_slices(environ: dict[str, str], has: bool) -> None:
    assert has_slices(environ) is has
    assert (slice_device(environ) is not None) is has
    assert has == any(
        device.kind == "cuda" for device in probe_hardware(environ=environ, nvml=_NoDriver()).devices
    )


def test_the_slice_is_the_one_that_the_space_describes() -> None:
    lent = slice_device(
        {"LONGTAKE_SPACE": "zero", "ZEROGPU_CUDA_DEVICE_NAME": "A", "ZEROGPU_CUDA_TOTAL_MEMORY": "5"}
    )
    assert lent and (lent.name, lent.total_bytes, lent.available_bytes) == ("A", 5, 5)


class _NoDriver:
    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:
        raise self.NVMLError("there is no driver")
