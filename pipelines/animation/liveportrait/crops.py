"""Face crops animated in memory: LivePortrait without the frames around them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines.animation.liveportrait.networks import CROP, Bytes, LivePortrait, slices
from pipelines.animation.liveportrait.targets import KeypointDriver, Kind, smoothed, targets
from pipelines.animation.motion.keypoints import Floats
from pipelines.animation.motion.motions import Motions
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions


def animate_crops(
    source: Bytes,
    driving: Bytes,
    weights_dir: Path | str | None,
    options: PortraitOptions | Mapping[str, Any],
    landmarks: Mapping[str, NDArray[Any] | None] | None = None,
    batch_size: int = 1,
    device: str = "cpu",
) -> tuple[Floats, Floats, Iterator[Bytes]]:
    """A source portrait moved as a driving one, from crops that fit in memory.

    `source` and `driving` are uint8 RGB: (256, 256, 3) is a picture, (T, 256, 256, 3) a video. `options` may name some
    of `PortraitOptions`; `landmarks` gives 203 points (203, 2) or (T, 203, 2) under "source" and "driving", which tell
    how open eyes and lips are. The result is as long as the shorter video.

    Returns the source's keypoints (1 or T, 21, 3) and the driving ones (T, 21, 3) as they enter the warp, and the
    frames, (512, 512, 3) uint8, computed when they are asked for, `batch_size` at a time.
    Raises BadInput, WeightsMissing and WeightsBroken.
    """
    asked = options if isinstance(options, PortraitOptions) else portrait_options(options)
    sources, drivings = _crops(source, "source"), _crops(driving, "driving")
    kind = Kind(source.ndim == 4, len(drivings) > 1)
    if kind.source_video and kind.driving_video:
        frames = min(len(sources), len(drivings))
        sources, drivings = sources[:frames], drivings[:frames]
    engine = LivePortrait(None if weights_dir is None else Path(weights_dir), device=device)
    marks = landmarks or {}
    still = _motions(engine, sources, marks.get("source"), batch_size)
    moving = _motions(engine, drivings, marks.get("driving"), batch_size)
    aims = smoothed(asked, kind, targets(asked, kind, still, moving, moving[:1]))
    points = KeypointDriver(asked, kind, still, moving, engine).keypoints(still, moving, aims)
    engine.let_go("motion")
    return still.keypoints, points, _frames(engine, sources, still.keypoints, points, batch_size)


def portrait_options(values: Mapping[str, Any]) -> PortraitOptions:
    """Build options from their names. Raises BadInput, naming the option, for one that is unknown or out of range."""
    try:
        return PortraitOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"The option {name} cannot be used: {first['msg'].lower()}.", "See `PortraitOptions`."
        ) from error


def _frames(
    engine: LivePortrait, sources: Bytes, keypoints: Floats, points: Floats, batch_size: int
) -> Iterator[Bytes]:
    """Frame after frame. Holds one batch."""
    portrait = engine.portrait(sources, keypoints) if len(sources) == 1 else None
    for batch in slices(len(points), batch_size):
        drawn_from = portrait or engine.portrait(sources[batch], keypoints[batch])
        yield from engine.frames(drawn_from, points[batch])


def _motions(engine: LivePortrait, crops: Bytes, landmarks: NDArray[Any] | None, batch_size: int) -> Motions:
    marks = None
    if landmarks is not None:
        marks = np.asarray(landmarks, np.float32).reshape(-1, 203, 2)[: len(crops)]
        if len(marks) != len(crops):
            raise BadInput(
                f"There are landmarks of {len(marks)} of {len(crops)} frames.", "Give those of every frame."
            )
    parts = slices(len(crops), batch_size)
    return Motions.joined(engine.motions(crops[b], None if marks is None else marks[b]) for b in parts)


def _crops(pictures: Bytes, name: str) -> Bytes:
    """(N, 256, 256, 3) of a picture or a video. Raises BadInput for anything else."""
    crops = pictures[None] if pictures.ndim == 3 else pictures
    if crops.dtype != np.uint8 or crops.shape[1:] != (CROP, CROP, 3) or not len(crops):
        raise BadInput(
            f"The {name} must be crops of {CROP} x {CROP} pixels in 8-bit RGB, not {pictures.dtype} {pictures.shape}.",
            "Cut the face out first.",
        )
    return crops
