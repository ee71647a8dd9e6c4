"""Registers the engine `builtin` of `score`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import ScoreSettings
from pipelines.spec import EngineSpec, Pace, register_engine

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: ScoreSettings) -> "Pipeline":
    from pipelines.scoring.builtin.engine import BuiltinEngine
    from pipelines.scoring.pipeline import ScorePipeline

    return ScorePipeline.open(BuiltinEngine, inputs, settings)


register_engine(
    EngineSpec(
        task="score",
        name="builtin",
        open=_open,
        # tests/bench/results/score.md: 655 frames a second at 854 x 480, 220 at 1920 x 1080, on two cores.
        pace={"cpu": Pace(0.8e-3, 1.8e-9)},
    )
)
