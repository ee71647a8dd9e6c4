"""Animation of face crops in memory: LivePortrait without the frames around the crops."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines.animation.liveportrait.networks import INPUT_PX, LivePortrait, slices
from pipelines.animation.liveportrait.targets import (
    InputKinds,
    KeypointDriver,
    compute_targets,
    smooth_targets,
)
from pipelines.animation.motion.keypoints import Floats
from pipelines.animation.motion.motions import Motions
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions
from pipelines.vision.types import Pixels


def animate_crops(
    source: Pixels,
    driving: Pixels,
    weights_dir: Path | str | None,
    options: PortraitOptions | Mapping[str, Any],
    landmarks: Mapping[str, NDArray[Any] | None] | None = None,
    batch_size: int = 1,
    device: str = "cpu",
) -> tuple[Floats, Floats, Iterator[Pixels]]:
    """Animate a source portrait by the motion of a driving one, from crops that fit in memory.

    `source` and `driving` are uint8 RGB: (256, 256, 3) for a picture, (T, 256, 256, 3) for a video. `options` may be
    a mapping that names some of the fields of `PortraitOptions`; `landmarks` holds 203 points, (203, 2) or (T, 203,
    2), under "source" and "driving", from which the openness of eyes and lips is measured. The result is as long as
    the shorter video.

    Returns the keypoints of the source (1 or T, 21, 3), the driving keypoints (T, 21, 3) as they enter the warp, and
    an iterator of frames (512, 512, 3) uint8 that computes `batch_size` of them at a time, on demand. Raises
    BadInput, WeightsMissing and WeightsBroken.
    """
    if not isinstance(options, PortraitOptions):
        options = portrait_options(options)
    sources, drivings = _crops(source, "source"), _crops(driving, "driving")
    kind = InputKinds(source.ndim == 4, len(drivings) > 1)
    if kind.source_video and kind.driving_video:
        frames = min(len(sources), len(drivings))
        sources, drivings = sources[:frames], drivings[:frames]
    engine = LivePortrait(None if weights_dir is None else Path(weights_dir), device=device)
    marks = landmarks or {}
    source_motion = _motions(engine, sources, marks.get("source"), batch_size)
    driving_motion = _motions(engine, drivings, marks.get("driving"), batch_size)
    targets = compute_targets(options, kind, source_motion, driving_motion, driving_motion[:1])
    targets = smooth_targets(options, kind, targets)
    driver = KeypointDriver(options, kind, source_motion, driving_motion, engine)
    points = driver.keypoints(source_motion, driving_motion, targets)
    engine.release("motion")
    keypoints = source_motion.keypoints
    return keypoints, points, _frames(engine, sources, keypoints, points, batch_size)


def portrait_options(values: Mapping[str, Any]) -> PortraitOptions:
    """Build options by name. Raises BadInput, naming the option, for one that is unknown or out of range."""
    try:
        return PortraitOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"The option {name} cannot be used: {first['msg'].lower()}.", "See `PortraitOptions`."
        ) from error


def _frames(
    engine: LivePortrait, sources: Pixels, keypoints: Floats, points: Floats, batch_size: int
) -> Iterator[Pixels]:
    """Yield one frame after the other. Holds one batch."""
    portrait = engine.portrait(sources, keypoints) if len(sources) == 1 else None
    for batch in slices(len(points), batch_size):
        features = portrait or engine.portrait(sources[batch], keypoints[batch])
        yield from engine.frames(features, points[batch])


def _motions(engine: LivePortrait, crops: Pixels, landmarks: NDArray[Any] | None, batch_size: int) -> Motions:
    marks = None
    if landmarks is not None:
        marks = np.asarray(landmarks, np.float32).reshape(-1, 203, 2)[: len(crops)]
        if len(marks) != len(crops):
            raise BadInput(
                f"There are landmarks for {len(marks)} of {len(crops)} frames.",
                "Give landmarks for every frame.",
            )
    parts = slices(len(crops), batch_size)
    return Motions.concatenate(engine.motions(crops[b], None if marks is None else marks[b]) for b in parts)


def _crops(pictures: Pixels, name: str) -> Pixels:
    """Return a picture or a video as (N, 256, 256, 3). Raises BadInput for anything else."""
    crops = pictures[None] if pictures.ndim == 3 else pictures
    if crops.dtype != np.uint8 or crops.shape[1:] != (INPUT_PX, INPUT_PX, 3) or not len(crops):
        raise BadInput(
            f"The {name} must be crops of {INPUT_PX} x {INPUT_PX} pixels in 8-bit RGB, "
            f"not {pictures.dtype} {pictures.shape}.",
            "Cut the face out first.",
        )
    return crops
