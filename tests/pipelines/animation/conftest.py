"""Shared by the animation tests: two faces in the public domain, and one of them speaking."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.animation.faces.aligned_view import FacePlacement
from pipelines.animation.faces.cascade import FaceBox
from pipelines.example.moving_face import DrawnFace, MovingFace, Pose, astronaut, speaking

FRAMES = 40


def admiral() -> DrawnFace:
    """Return Grace Hopper, 512 x 512, with glasses: a photograph of the United States Navy, in the public domain."""
    file = Path(__file__).parent / "grace_hopper.jpg"
    picture = np.ascontiguousarray(np.asarray(Image.open(file).convert("RGB"))[:512])
    left = [(202.0, 187.1), (240.0, 187.1), (221.2, 181.1), (222.0, 195.9)]
    right = [(288.0, 183.9), (326.0, 187.1), (305.2, 178.3), (305.2, 191.1)]
    mouth = [(228.0, 278.4), (306.8, 277.2), (266.8, 237.1), (268.0, 331.2)]
    place, box = FacePlacement(265.3, 214.3, 231.5, -0.023), FaceBox(266, 219, 223, 153)
    return DrawnFace(picture, place, box, np.array(left + right + mouth))


@pytest.fixture(scope="session")
def driver() -> DrawnFace:
    """The face whose motion is followed."""
    return astronaut()


@pytest.fixture(scope="session")
def portrait() -> DrawnFace:
    """The face that follows it."""
    return admiral()


@pytest.fixture(scope="session")
def poses() -> list[Pose]:
    return speaking(FRAMES)


@pytest.fixture(scope="session")
def clip(driver: DrawnFace, poses: list[Pose]) -> list[Any]:
    """The driver in these poses."""
    moving = MovingFace(driver)
    return [moving.frame(pose) for pose in poses]
