"""The network engine: a portrait follows a driving one by LivePortrait's published networks.

Pass 1 looks at crops and keeps their motions (`LivePortrait.motions`), pass 2 draws frames from a source portrait and
driving keypoints (`LivePortrait.frames`). Both take batches and know nothing of the frames around them, so any range of
frames can be computed on its own. `animate_crops` is both, on crops that are there.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.animation.portrait.driving import Director, Kind, smoothed, targets
from pipelines.animation.portrait.keypoints import Floats
from pipelines.animation.portrait.motion import Motions, motions_of
from pipelines.animation.portrait.options import options_of
from pipelines.errors import BadInput
from pipelines.nets.finding import find
from pipelines.settings import PortraitOptions

if TYPE_CHECKING:
    import torch

    from pipelines.nets.liveportrait import Place
    from pipelines.nets.liveportrait_appearance import AppearanceExtractor
    from pipelines.nets.liveportrait_generator import Generator
    from pipelines.nets.liveportrait_motion import MotionExtractor
    from pipelines.nets.liveportrait_retargeting import Perceptron
    from pipelines.nets.liveportrait_warping import Source, WarpingModule

Bytes = NDArray[np.uint8]

CROP, DRAWN = 256, 512
"""The sides of what the networks see, and of what they draw, in pixels."""


class LivePortrait:
    """The networks, each loaded when it is first needed. Computes for one thread at a time.

    Crops are (N, 256, 256, 3) uint8 RGB, keypoints (N, 21, 3) float32. On a processor, where batches save nothing,
    frames are computed one by one: the batch changes no bit, and holds the memory of one.
    """

    def __init__(self, weights: Path | None = None, *, device: str = "cpu", half: bool | None = None) -> None:
        """`weights` is a folder, None looks in the usual places; `half` computes in float16: on cards, by default.

        Raises WeightsMissing; networks raise WeightsBroken when they are loaded.
        """
        import torch

        self._files = find("liveportrait", weights)
        self._device = torch.device(device)
        self._half = self._device.type == "cuda" if half is None else half

    def motions(self, crops: Bytes, landmarks: Floats | None = None) -> Motions:
        """The motions of crops, and how open eyes and lips are by 203 landmarks (N, 203, 2) in any coordinates."""
        import torch

        with torch.no_grad():
            parts = [self._motion(self._pictures(crops[part])) for part in self._parts(len(crops))]
        heads = {name: np.concatenate([part[name].cpu().numpy() for part in parts]) for name in parts[0]}
        return motions_of(heads, landmarks)

    def portrait(self, crops: Bytes, keypoints: Floats) -> "Source":
        """What frames of these source crops are drawn from: of one crop for all frames, or of one for each."""
        import torch

        with torch.no_grad():
            features = [self._appearance(self._pictures(crops[part])) for part in self._parts(len(crops))]
            return self._warping.source(torch.cat(features), self._tensor(keypoints))

    def frames(self, portrait: "Source", keypoints: Floats) -> Bytes:
        """The portrait with driving keypoints: (N, 512, 512, 3)."""
        import torch

        drawn = np.empty((len(keypoints), DRAWN, DRAWN, 3), np.uint8)
        # Loaded before the warp computes: for a moment weights are there twice, in part.
        generator = self._generator
        for part in self._parts(len(keypoints)):
            with torch.no_grad():
                warped = self._warping(portrait[part], self._tensor(keypoints[part]))
                # Cut off, not rounded, as in the published system.
                pictures = (generator(warped) * 255).to(torch.uint8)
                drawn[part] = pictures.movedim(1, -1).cpu().numpy()
        return drawn

    def stitched(self, source: Floats, driving: Floats) -> Floats:
        """Driving keypoints whose shoulders fit those of the source."""
        out = self._small("retarget_shoulder", source, driving.reshape(len(driving), -1))
        points = driving + out[:, :63].reshape(driving.shape)
        points[..., :2] += out[:, None, 63:]
        return points

    def eyes(self, source: Floats, ratios: Floats) -> Floats:
        """How the points move so that the eyes, open as the first two ratios say, open as the third says."""
        return self._small("retarget_eye", source, ratios).reshape(source.shape)

    def lips(self, source: Floats, ratios: Floats) -> Floats:
        """How the points move so that the lips, open as the first ratio says, open as the second says."""
        return self._small("retarget_mouth", source, ratios).reshape(source.shape)

    def let_go(self, stage: Literal["motion", "drawing"]) -> bool:
        """Free the networks of a pass that is over; says whether there were any. They are loaded again when needed."""
        names = ("_motion",) if stage == "motion" else ("_appearance", "_warping", "_generator", "_place")
        return any([self.__dict__.pop(name, None) is not None for name in names])

    def _small(self, name: str, source: Floats, others: Floats) -> Floats:
        import torch

        given = np.concatenate([source.reshape(len(source), -1), others], axis=1)
        with torch.no_grad():
            # One by one: sums over a batch are taken in an order that depends on its size.
            rows = [self._retargeting[name](row) for row in torch.from_numpy(given)[:, None]]
            numbers: Floats = torch.cat(rows).numpy()
            return numbers

    def _parts(self, frames: int) -> Iterator[slice]:
        """What is computed at a time."""
        return _batches(frames, 1 if self._device.type == "cpu" else frames)

    def _pictures(self, crops: Bytes) -> "torch.Tensor":
        """(N, 3, H, W) in 0 to 1 on the device."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(crops)).to(self._device).movedim(-1, 1).float() / 255

    def _tensor(self, keypoints: Floats) -> "torch.Tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(keypoints)).to(self._device)

    @cached_property
    def _place(self) -> "Place":
        from pipelines.nets import liveportrait as nets

        return nets.Place(self._device, self._half)

    @cached_property
    def _motion(self) -> "MotionExtractor":
        from pipelines.nets import liveportrait as nets

        return nets.motion(self._files, self._place)

    @cached_property
    def _appearance(self) -> "AppearanceExtractor":
        from pipelines.nets import liveportrait as nets

        return nets.appearance(self._files, self._place)

    @cached_property
    def _warping(self) -> "WarpingModule":
        from pipelines.nets import liveportrait as nets

        return nets.warping(self._files, self._place)

    @cached_property
    def _generator(self) -> "Generator":
        from pipelines.nets import liveportrait as nets

        return nets.generator(self._files, self._place)

    @cached_property
    def _retargeting(self) -> "dict[str, Perceptron]":
        from pipelines.nets import liveportrait as nets

        return nets.retargeting(self._files)


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
    asked = options if isinstance(options, PortraitOptions) else options_of(options)
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
    points = Director(asked, kind, still, moving, engine).keypoints(still, moving, aims)
    engine.let_go("motion")
    return still.keypoints, points, _frames(engine, sources, still.keypoints, points, batch_size)


def _frames(
    engine: LivePortrait, sources: Bytes, keypoints: Floats, points: Floats, batch_size: int
) -> Iterator[Bytes]:
    """Frame after frame. Holds one batch."""
    portrait = engine.portrait(sources, keypoints) if len(sources) == 1 else None
    for batch in _batches(len(points), batch_size):
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
    batches = _batches(len(crops), batch_size)
    return Motions.joined(engine.motions(crops[b], None if marks is None else marks[b]) for b in batches)


def _batches(frames: int, size: int) -> Iterator[slice]:
    return (slice(start, stop) for start, stop in pairwise([*range(0, frames, size), frames]))


def _crops(pictures: Bytes, name: str) -> Bytes:
    """(N, 256, 256, 3) of a picture or a video. Raises BadInput for anything else."""
    crops = pictures[None] if pictures.ndim == 3 else pictures
    if crops.dtype != np.uint8 or crops.shape[1:] != (CROP, CROP, 3) or not len(crops):
        raise BadInput(
            f"The {name} must be crops of {CROP} x {CROP} pixels in 8-bit RGB, not {pictures.dtype} {pictures.shape}.",
            "Cut the face out first.",
        )
    return crops
