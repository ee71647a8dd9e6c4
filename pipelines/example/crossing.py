"""Example of removing: a balloon flies across the summer landscape, so that what it hides is seen before or after."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipelines.errors import kind_of
from pipelines.example.cutouts import balloon
from pipelines.example.faults import FRAME_RATE, HEIGHT, WIDTH
from pipelines.example.paper import Camera
from pipelines.example.scenery import day
from pipelines.storage.atomic import atomic_write
from pipelines.video.info import ColourTags
from pipelines.video.writer import VideoWriter

BOX = "92,74,72,96@0"
"""The balloon on the first frame, with a margin, as the setting `box` takes it."""

_FRAMES = 60
"""Length in frames: 2.4 s."""
_PAN_PX = 0.4
"""Pixels per frame of the pan."""
_START, _SPEED = (82.0, 64.0), (6.5, -0.15)
"""Place of the balloon's sheet on the first frame, and its speed in pixels per frame: it crosses in two seconds."""
_BALLOON, _TRAIN = 3, 4
"""Their places among the sheets of the landscape, which stay at home."""
_COLOUR = ColourTags(matrix="bt709", range="tv", primaries="bt709", transfer="bt709")


class RemovalExample(BaseModel):
    """Path of the clip, and the box around its object."""

    model_config = ConfigDict(frozen=True)
    type: Literal["removal_example"] = "removal_example"
    path: Path
    box: str = BOX


def write_removal_example(path: Path) -> RemovalExample:
    """Draw the clip to `path`, an MP4; an existing file is left as it is.

    Holds a landscape (at most 120 MB while it is drawn) and a frame. Raises BadInput where nothing can be written
    there, NotEnoughDisk, EncoderDied.
    """
    try:
        if not path.exists():
            with atomic_write(path) as part:
                part.touch()  # Fail before the work where the folder cannot be written.
                _write(part)
    except OSError as error:
        raise kind_of(error)(
            f"{path} cannot be written ({error.strerror}).", "Choose another path with -o."
        ) from error
    return RemovalExample(path=path.absolute())


def _write(path: Path) -> None:
    scene = day()
    flying = balloon(np.random.default_rng(20), _START, _SPEED)
    layers = [
        flying if number == _BALLOON else layer
        for number, layer in enumerate(scene.layers)
        if number != _TRAIN
    ]
    scene = replace(scene, layers=tuple(layers))
    with VideoWriter(path, WIDTH, HEIGHT, FRAME_RATE, colour=_COLOUR, crf=18) as video:
        for frame in range(_FRAMES):
            video.write(scene.render(Camera(_PAN_PX * frame), frame))
