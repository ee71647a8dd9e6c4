"""Registers the engine `propainter`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import InpaintSettings
from pipelines.spec import EngineSpec, Pace, register_engine
from pipelines.weights.catalog import PUBLISHED

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: InpaintSettings) -> "Pipeline":
    from pipelines.inpainting.pipeline import InpaintPipeline
    from pipelines.inpainting.propainter.engine import ProPainterEngine

    return InpaintPipeline.open(ProPainterEngine, inputs, settings)


register_engine(
    EngineSpec(
        task="inpaint",
        name="propainter",
        title="ProPainter",
        open=_open,
        weights=PUBLISHED["propainter"],
        network=True,
        least_device_gib=3.5,  # the tier 4gb of presets/tiers.toml
        # tests/bench/bench_propainter.py: 6.4 core seconds for a frame of 432 x 240.
        pace={"cpu": Pace(0.0, 6.2e-5, shared=True)},
    )
)
