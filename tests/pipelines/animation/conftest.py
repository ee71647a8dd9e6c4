"""What the animation tests share: two faces in the public domain, and one of them speaking."""

from typing import Any

import pytest

from .moving_face import Face, MovingFace, Pose, admiral, astronaut, speaking

FRAMES = 40


@pytest.fixture(scope="session")
def driver() -> Face:
    """Whose motion is followed."""
    return astronaut()


@pytest.fixture(scope="session")
def portrait() -> Face:
    """Who follows it."""
    return admiral()


@pytest.fixture(scope="session")
def poses() -> list[Pose]:
    return speaking(FRAMES)


@pytest.fixture(scope="session")
def clip(driver: Face, poses: list[Pose]) -> list[Any]:
    """The driver in these poses."""
    moving = MovingFace(driver)
    return [moving.frame(pose) for pose in poses]
