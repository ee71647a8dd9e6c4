"""Commands whose jobs run in the test's own process, with engines that are simple enough to be known."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.scheduler.queue import JobQueue
from pipelines.workers.in_process import InProcess

from ..animation.running import shorten, stand_in
from ..inpainting.standin import install
from ..mask_clips import encode


def run_commands_here(patch: pytest.MonkeyPatch) -> None:
    """Let the queues of all commands run their jobs in this process."""

    def queue(jobs_dir: Path, **more: object) -> JobQueue:
        return JobQueue(jobs_dir, runner=InProcess())

    patch.setattr("pipelines.cli.options.JobQueue", queue)


def inpaint_here(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let commands run in this process, with the stand-in of `inpaint`; `folder` becomes the current one."""
    install(patch.setattr)
    run_commands_here(patch)
    patch.chdir(folder)


def animate_here(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let commands run in this process, with the stand-in of `animate`; `folder`, the current one, has a portrait."""
    shorten(patch.setattr)
    stand_in(patch.setattr)
    run_commands_here(patch)
    patch.chdir(folder)
    Image.fromarray(np.full((48, 64, 3), 128, np.uint8)).save("face.png")


def draw(path: Path, frames: int = 12) -> Path:
    """A small picture that moves on by a pixel a frame, as a video."""
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    ground = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (48, 32), interpolation=cv2.INTER_CUBIC)
    return encode(path, [np.roll(ground, i, axis=1) for i in range(frames)], "-pix_fmt", "yuv420p")
