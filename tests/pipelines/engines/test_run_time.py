"""How long a run takes is told roughly, and only where somebody has measured it."""

import pytest

from pipelines.engines.run_time import expected_seconds
from pipelines.spec import EngineSpec, all_engines, engine_spec

MEASURED = [
    pytest.param(spec, device, id=f"{spec.task}-{spec.name}-{device}")
    for spec in all_engines()
    for device in spec.pace
]
FLOW = engine_spec("inpaint", "flow")


@pytest.mark.parametrize(("engine", "device"), MEASURED)
def test_it_takes_longer_for_more(engine: EngineSpec, device: str) -> None:
    assert device in ("cpu", "cuda", "mps")
    few, many, large = (
        expected_seconds(engine, device, frames, pixels) or 0
        for frames, pixels in ((100, 10**5), (1000, 10**5), (1000, 10**6))
    )
    assert 0 < few < many < large


def test_the_tables_are_those_that_were_measured() -> None:
    score = engine_spec("score", "builtin")
    assert expected_seconds(score, "cpu", 18_000, 1920 * 1080) == pytest.approx(83.7, rel=0.1)
    assert expected_seconds(FLOW, "cpu", 1000, 854 * 480) == pytest.approx(73, rel=0.1)


def test_cores_share_what_they_can() -> None:
    network = engine_spec("inpaint", "propainter")
    alone, two = (expected_seconds(network, "cpu", 100, 432 * 240, cores) for cores in (1, 2))
    assert alone == pytest.approx(645, rel=0.02) and two == pytest.approx(323, rel=0.02)
    assert expected_seconds(FLOW, "cpu", 9, 9, 2) == expected_seconds(FLOW, "cpu", 9, 9)


def test_what_nobody_has_measured_is_not_told() -> None:
    assert expected_seconds(engine_spec("score", "builtin"), "abacus", 10, 10) is None
