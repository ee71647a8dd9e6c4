"""The command `pose`: a portrait posed by hand, as one picture; no job, since there is nothing to resume."""

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
    """A picture that was made."""

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
    """Pose a portrait by hand, by LivePortrait: turn its head, open its eyes and lips, move points of its expression.

    Args:
        source: A picture with a face.
        settings: The pose, and how the face is cut out.
        output: Where to put the picture, a PNG, JPEG or WebP.
        json: What was made as one JSON object on stdout, and nothing else.
    """
    console = Console(json=json)
    if output.suffix.lower() not in _SUFFIXES:
        raise BadInput(f"{output.name} is no name for a picture.", f"It may end in {', '.join(_SUFFIXES)}.")
    check_target(output, [source])
    find(MODEL, settings.weights)
    state_licence(MODEL, console)
    # Read when torch is loaded: threads that wait for each other would spin, which took several times the CPU time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    pixels = PoserCache().posed(source, settings)
    # Here: it is loaded by what draws.
    import cv2

    encoded = cv2.imencode(output.suffix.lower(), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
    with writing(output):
        write_bytes(output, encoded.tobytes())
    console.show(Posed(picture=output.absolute(), width=pixels.shape[1], height=pixels.shape[0]))
