"""Registers the engine `flow`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import InpaintSettings
from pipelines.spec import EngineSpec, Pace, register_engine

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: InpaintSettings) -> "Pipeline":
    from pipelines.inpainting.flow.engine import FlowEngine
    from pipelines.inpainting.pipeline import InpaintPipeline

    return InpaintPipeline.open(FlowEngine, inputs, settings)


register_engine(
    EngineSpec(
        task="inpaint",
        name="flow",
        open=_open,
        # tests/bench/results/flowfill.md: about 26 frames per second at 432 x 240, 14 at 854 x 480, on one core.
        pace={"cpu": Pace(27e-3, 1.08e-7)},
    )
)
