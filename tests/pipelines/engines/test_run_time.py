"""How long a run takes is told roughly, and only where somebody has measured it."""

import pytest

from pipelines.engines.availability import engines_of
from pipelines.engines.run_time import PACES, expected_seconds


@pytest.mark.parametrize(("task", "engine", "device"), PACES)
def test_it_takes_longer_for_more(task: str, engine: str, device: str) -> None:
    assert engine in engines_of(task) and device in ("cpu", "cuda", "mps")
    few, many, large = (
        expected_seconds(task, engine, device, frames, pixels) or 0
        for frames, pixels in ((100, 10**5), (1000, 10**5), (1000, 10**6))
    )
    assert 0 < few < many < large


def test_the_tables_are_those_that_were_measured() -> None:
    assert expected_seconds("score", "builtin", "cpu", 18_000, 1920 * 1080) == pytest.approx(83.7, rel=0.1)
    assert expected_seconds("inpaint", "flow", "cpu", 1000, 854 * 480) == pytest.approx(73, rel=0.1)


def test_cores_share_what_they_can() -> None:
    alone, two = (expected_seconds("inpaint", "propainter", "cpu", 100, 432 * 240, cores) for cores in (1, 2))
    assert alone == pytest.approx(645, rel=0.02) and two == pytest.approx(323, rel=0.02)
    assert expected_seconds("inpaint", "flow", "cpu", 9, 9, 2) == expected_seconds(
        "inpaint", "flow", "cpu", 9, 9
    )


def test_what_nobody_has_measured_is_not_told() -> None:
    assert expected_seconds("score", "builtin", "abacus", 10, 10) is None
