"""Registers the engine `qalign`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import ScoreSettings
from pipelines.spec import EngineSpec, Pace, register_engine
from pipelines.weights.catalog import PUBLISHED

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: ScoreSettings) -> "Pipeline":
    from pipelines.scoring.pipeline import ScorePipeline
    from pipelines.scoring.qalign.engine import QAlignEngine

    return ScorePipeline.open(QAlignEngine, inputs, settings)


register_engine(
    EngineSpec(
        task="score",
        name="qalign",
        title="Q-Align",
        open=_open,
        weights=PUBLISHED["qalign"],
        network=True,
        least_device_gib=11.2,  # the tier 12gb of presets/tiers.toml
        # tests/bench/results/qalign_full.md: 33 core seconds for a frame and its window of three, 3,600 gigaflops.
        pace={"cpu": Pace(0.0, 9.2e-3, shared=True)},
        curve=("Window score so far: higher is better", "目前的窗口评分：越高越好"),
    )
)
