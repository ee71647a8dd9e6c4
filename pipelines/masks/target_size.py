"""Bringing stored masks of another size to the size of their video."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import BadInput
from pipelines.masks.resize import large_mask
from pipelines.video.info import VideoInfo
from pipelines.vision.types import Mask, Size

_ASPECT_TOLERANCE = 0.05
"""Relative difference of aspect ratios up to which a mask is resized: rounding, not another orientation."""


@dataclass(frozen=True)
class TargetSize:
    """The size of `video` as it is displayed, for the masks at `path`, which are resized by nearest neighbour."""

    path: Path
    video: VideoInfo
    scale: bool = False
    """Whether a mask of another aspect ratio is stretched to the video, not refused."""

    @property
    def size(self) -> Size:
        """The width and height to which masks are resized."""
        return (self.video.width, self.video.height)

    def fits(self, width: int, height: int) -> bool:
        """Whether the aspect ratio is that of the stored pixels or of the displayed frame."""
        shape, stored = width / height, self.video.width / self.video.height
        return any(
            abs(shape / each - 1) <= _ASPECT_TOLERANCE
            for each in (stored, stored * self.video.sample_aspect_ratio)
        )

    def check(self, width: int, height: int) -> None:
        """Raise BadInput for an aspect ratio that does not fit, unless it is to be stretched."""
        video = self.video
        if not self.scale and not self.fits(width, height):
            raise BadInput(
                f"The mask {self.path} is {width}x{height}, the video {video.width}x{video.height} as displayed.",
                "Draw it on a frame of this video, in the orientation in which the video is displayed, or stretch it "
                "with --scale-mask.",
                "mask.size",
                name=self.path.name,
                width=width,
                height=height,
                video_width=video.width,
                video_height=video.height,
            )

    def resized(self, mask: Mask) -> Mask:
        """Resize `mask` (H, W) to the video. Raises BadInput for another aspect ratio."""
        height, width = mask.shape
        self.check(width, height)
        return large_mask(mask, (self.video.width, self.video.height))

    def nearest(self, width: int, height: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows and the columns of an upright mask of this size that `resized` takes."""
        return _nearest(height, self.video.height), _nearest(width, self.video.width)


def _nearest(stored: int, wanted: int) -> NDArray[np.intp]:
    # OpenCV resizes the numbers themselves, so that they are rounded as masks are.
    if stored == wanted:
        return np.arange(stored)
    numbers = np.arange(stored, dtype=np.float32)[None]
    numbers = cast(Any, cv2.resize(numbers, (wanted, 1), interpolation=cv2.INTER_NEAREST_EXACT))
    return np.asarray(numbers[0], np.intp)
