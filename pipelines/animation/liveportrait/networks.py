"""LivePortrait's published networks: a portrait follows a driving one.

Pass 1 analyses crops and keeps their motions (`LivePortrait.motions`), pass 2 renders frames from a source portrait
and driving keypoints (`LivePortrait.frames`). Both take batches and know nothing of neighbouring frames, so any range
of frames can be computed on its own. `animate_crops` runs both on crops in memory.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from memory.compute import compute_device, is_on_host
from pipelines.animation.motion.keypoints import Floats
from pipelines.animation.motion.motions import Motions, decode_motions
from pipelines.vision.types import Pixels
from pipelines.weights.locate import find

if TYPE_CHECKING:
    import torch

    from pipelines.nets.liveportrait.appearance import AppearanceExtractor
    from pipelines.nets.liveportrait.generator import SpadeGenerator
    from pipelines.nets.liveportrait.loading import NetworkDevice
    from pipelines.nets.liveportrait.motion import MotionExtractor
    from pipelines.nets.liveportrait.retargeting import Perceptron
    from pipelines.nets.liveportrait.warping import Source, WarpingModule

INPUT_PX, OUTPUT_PX = 256, 512
"""Sides of the networks' input and output, in pixels."""


class LivePortrait:
    """The networks, each loaded on first use. Not thread-safe.

    Crops are (N, 256, 256, 3) uint8 RGB, keypoints (N, 21, 3) float32. On a CPU, where batches save nothing, frames
    are computed one by one: the batch size changes no bit, and memory is that of one frame.
    """

    def __init__(self, weights: Path | None = None, *, device: str = "cpu", half: bool | None = None) -> None:
        """Find the weights in a folder, or in the usual places for None; `half` selects float16, the default on CUDA.

        Raises WeightsMissing; networks raise WeightsBroken when they are loaded.
        """
        import torch

        self._files = find("liveportrait", weights)
        self._device = torch.device(device)
        self._half = compute_device(device).prefers_float16 if half is None else half

    def motions(self, crops: Pixels, landmarks: Floats | None = None) -> Motions:
        """Estimate the motions of crops; 203 landmarks (N, 203, 2) of any scale add the openness of eyes and lips."""
        import torch

        with torch.no_grad():
            parts = [self._motion(self._to_images(crops[part])) for part in self._chunks(len(crops))]
            # One transfer for all heads: each one makes the host wait for the device.
            joined = torch.cat([torch.cat(list(part.values()), 1) for part in parts]).cpu()
        heads = torch.split(joined, [head.shape[1] for head in parts[0].values()], 1)
        named = zip(parts[0], heads, strict=True)
        return decode_motions({name: np.ascontiguousarray(head.numpy()) for name, head in named}, landmarks)

    def portrait(self, crops: Pixels, keypoints: Floats) -> "Source":
        """Extract the features that frames are rendered from: one crop for all frames, or one for each."""
        import torch

        with torch.no_grad():
            features = [self._appearance(self._to_images(crops[part])) for part in self._chunks(len(crops))]
            return self._warping.source(torch.cat(features), self._to_device(keypoints))

    def frames(self, portrait: "Source", keypoints: Floats) -> Pixels:
        """Render the portrait with driving keypoints: (N, 512, 512, 3)."""
        import torch

        rendered = np.empty((len(keypoints), OUTPUT_PX, OUTPUT_PX, 3), np.uint8)
        # Load before the warp allocates: while weights load, some of them are in memory twice.
        generator = self._generator
        for part in self._chunks(len(keypoints)):
            with torch.no_grad():
                warped = self._warping(portrait[part], self._to_device(keypoints[part]))
                # Truncated, not rounded, as in the published system.
                pictures = (generator(warped) * 255).to(torch.uint8)
                rendered[part] = pictures.movedim(1, -1).cpu().numpy()
        return rendered

    def stitched(self, source: Floats, driving: Floats) -> Floats:
        """Return driving keypoints whose shoulders fit those of the source."""
        out = self._run_perceptron("retarget_shoulder", source, driving.reshape(len(driving), -1))
        points = driving + out[:, :63].reshape(driving.shape)
        points[..., :2] += out[:, None, 63:]
        return points

    def eyes(self, source: Floats, ratios: Floats) -> Floats:
        """Return the offsets that change the openness of the eyes from the first two ratios to the third."""
        return self._run_perceptron("retarget_eye", source, ratios).reshape(source.shape)

    def lips(self, source: Floats, ratios: Floats) -> Floats:
        """Return the offsets that change the openness of the lips from the first ratio to the second."""
        return self._run_perceptron("retarget_mouth", source, ratios).reshape(source.shape)

    def release(self, stage: Literal["motion", "rendering"]) -> bool:
        """Free the networks of a finished pass; tells whether there were any. They are loaded again on demand."""
        names = (
            ("_motion",)
            if stage == "motion"
            else ("_appearance", "_warping", "_generator", "_network_device")
        )
        return any([self.__dict__.pop(name, None) is not None for name in names])

    def _run_perceptron(self, name: str, source: Floats, extra: Floats) -> Floats:
        import torch

        inputs = np.concatenate([source.reshape(len(source), -1), extra], axis=1)
        with torch.no_grad():
            # Row by row: the order of summation depends on the batch size, and results must not.
            outputs = [self._retargeting[name](row) for row in torch.from_numpy(inputs)[:, None]]
            result: Floats = torch.cat(outputs).numpy()
            return result

    def _chunks(self, frames: int) -> Iterator[slice]:
        """Slice a batch into what is computed at once."""
        return slices(frames, 1 if is_on_host(self._device) else frames)

    def _to_images(self, crops: Pixels) -> "torch.Tensor":
        """Convert to (N, 3, H, W), 0 to 1, on the device."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(crops)).to(self._device).movedim(-1, 1).float() / 255

    def _to_device(self, keypoints: Floats) -> "torch.Tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(keypoints)).to(self._device)

    @cached_property
    def _network_device(self) -> "NetworkDevice":
        from pipelines.nets.liveportrait import loading as nets

        return nets.NetworkDevice(self._device, self._half)

    @cached_property
    def _motion(self) -> "MotionExtractor":
        from pipelines.nets.liveportrait import loading as nets

        return nets.load_motion(self._files, self._network_device)

    @cached_property
    def _appearance(self) -> "AppearanceExtractor":
        from pipelines.nets.liveportrait import loading as nets

        return nets.load_appearance(self._files, self._network_device)

    @cached_property
    def _warping(self) -> "WarpingModule":
        from pipelines.nets.liveportrait import loading as nets

        return nets.load_warping(self._files, self._network_device)

    @cached_property
    def _generator(self) -> "SpadeGenerator":
        from pipelines.nets.liveportrait import loading as nets

        return nets.load_generator(self._files, self._network_device)

    @cached_property
    def _retargeting(self) -> "dict[str, Perceptron]":
        from pipelines.nets.liveportrait import loading as nets

        return nets.load_retargeting(self._files)


def slices(frames: int, size: int) -> Iterator[slice]:
    """Slice `frames` into pieces of `size`, the last one shorter."""
    return (slice(start, stop) for start, stop in pairwise([*range(0, frames, size), frames]))
