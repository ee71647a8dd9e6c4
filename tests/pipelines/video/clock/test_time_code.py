"""Times in a video as people read them."""

import pytest

from pipelines.video.clock.time_code import time_code, time_range


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00.000"),
        (1 / 24, "0:00.042"),
        (1.5, "0:01.500"),
        (59.9996, "1:00.000"),
        (754.25, "12:34.250"),
        (3599.9999, "1:00:00.000"),
        (3723.004, "1:02:03.004"),
        (360_000, "100:00:00.000"),
        (-0.04, "-0:00.040"),
    ],
)
def test_a_time_code_is_exact_to_the_millisecond(seconds: float, shown: str) -> None:
    assert time_code(seconds) == shown


def test_a_range_has_both_ends() -> None:
    assert time_range(1, 2.5) == "0:01.000 – 0:02.500"
