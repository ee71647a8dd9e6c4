"""What a worker loads before there is a job: all that opening one imports, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

LOADED = """
import sys
from pipelines.engines.preload import preload
preload()
before = set(sys.modules)
from pipelines.scoring.pipeline import ScorePipeline
from pipelines.inpainting.flow.engine import FlowEngine
from pipelines.inpainting.propainter.engine import ProPainterEngine
from pipelines.animation.liveportrait.engine import LivePortraitEngine
from pipelines.tracking.pipeline import TrackPipeline
print(len(set(sys.modules) - before), "cv2" in before, "av" in before, "torch" in before)
"""


def loaded(**environment: str) -> list[str]:
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_engines_and_decoders_are_loaded_and_torch_only_where_it_can_be_used(tmp_path: Path) -> None:
    """A worker without weights computes without networks: torch would hold 200 MB of its memory for nothing."""
    no_weights = {
        "LONGTAKE_WEIGHTS": str(tmp_path),
        "LONGTAKE_CACHE": str(tmp_path),
        "HF_HUB_CACHE": str(tmp_path),
    }
    assert loaded(**no_weights) == ["0", "True", "True", "False"]
