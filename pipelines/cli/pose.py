"""The command `pose`: one picture of a manually posed portrait. It is no job, since there is nothing to resume."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import BaseModel

from pipelines.cli.console import Console
from pipelines.cli.licence import state_licence
from pipelines.cli.options import FLAT
from pipelines.cli.targets import check_target, writing
from pipelines.errors import BadInput
from pipelines.settings import PoseSettings
from pipelines.storage.atomic import write_bytes
from pipelines.weights.locate import find
from pipelines.workers.pose import MODEL, PoserCache

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_POSE = PoseSettings()


class Posed(BaseModel):
    """The picture that was written."""

    picture: Path
    width: int
    height: int


def pose(
    source: Path,
    /,
    *,
    settings: Annotated[PoseSettings, FLAT] = _POSE,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("posed.png"),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Pose a portrait by hand with LivePortrait: turn the head, open eyes and lips, move expression keypoints.

    Args:
        source: A picture with a face.
        settings: The pose, and how the face is cropped.
        output: Where to write the picture (PNG, JPEG or WebP).
        json: Print one JSON object to stdout and nothing else.
    """
    console = Console(json=json)
    if output.suffix.lower() not in _SUFFIXES:
        raise BadInput(f"{output.name} is not the name of a picture.", f"Use one of {', '.join(_SUFFIXES)}.")
    check_target(output, [source])
    find(MODEL, settings.weights)
    state_licence(MODEL, console)
    # Read when torch is loaded. Without it, waiting threads spin, which took several times the CPU time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    cache = PoserCache()
    pixels = cache.posed(source, settings)
    if cache.transparent:
        console.note(
            f"{source.name} has transparent parts. They are read as {settings.background}; colours hidden there are "
            "not used. --background chooses another colour."
        )
    import cv2  # already loaded by the poser; the command line starts without it

    encoded = cv2.imencode(output.suffix.lower(), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
    with writing(output):
        write_bytes(output, encoded.tobytes())
    console.show(Posed(picture=output.absolute(), width=pixels.shape[1], height=pixels.shape[0]))
