"""One mask per frame of a video, read one at a time from any frame on, whatever the source.

The source is one image for all frames; a folder or zip of images, one per frame in natural order; a mask video or an
animated GIF, PNG, WebP or AVIF. `pipelines.masks.rules` says which values mean "masked". Masks of another size are
resized by nearest neighbour to the video as it is displayed.
"""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from pipelines.errors import BadInput, DamagedVideo, NotAVideo, NoVideoStream
from pipelines.masks.bundle import ACCEPTED, max_pixels, open_bundle
from pipelines.masks.sources import AnimatedImages, ImageSequence, MaskSource, MaskVideo
from pipelines.masks.target_size import TargetSize
from pipelines.spans import Span
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.images import is_animation
from pipelines.video.probe import probe
from pipelines.vision.types import Mask

__all__ = ["Mask", "Masks", "dilate", "open_masks", "reject_unusable"]

MOST_SHARE = 0.95
"""Masks that mark more of the frame are refused: they are inverted, or a layer painted over as a whole."""
HALF_WHITE = 127
"""Encoded masks ring around edges: thresholded at one half they are exact, at 0 they grow by a seventh."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class Masks:
    """The masks of a video, opened by `open_masks`. Holds no open file; iterators hold one mask and its decoder."""

    def __init__(self, source: MaskSource, path: Path, *, first: int = 0, invert: bool) -> None:
        self.path = path
        self._source = source
        self._first = first
        self._invert = invert

    @property
    def still(self) -> bool:
        """Whether one mask serves all frames."""
        return self._source.frames == 1

    @property
    def reading(self) -> str:
        """How the masks are read, as a sentence for the user. May read all of them. Raises as `read` does."""
        return self._source.rule.sentence

    @property
    def by_brightness(self) -> bool:
        """Whether brightness decides, as in an ordinary black and white mask. May read all masks."""
        return self._source.rule.kind == "brightness"

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `(H, W)` bool, True to remove, of frames `[start, stop)`; the same for any `start`.

        Close the generator when leaving early. Do not write to the arrays: a still mask is one array for all frames.
        Raises DamagedVideo if a mask cannot be read, BadInput if its aspect ratio is not the video's, and OverLimit
        if it is far too large.
        """
        members = (0, 1) if self.still else (start - self._first, stop - self._first)
        with closing(self._source.read(*members)) as stored:
            for mask in stored:
                marked = ~mask if self._invert else mask
                yield from [marked] * (stop - start if self.still else 1)


def open_masks(
    path: Path, video: VideoInfo, *, frames: Span | None = None, invert: bool = False, scale: bool = False
) -> Masks:
    """Open the masks at `path` for `video`; with `scale`, those of another aspect ratio are stretched to it.

    If only `frames` of the video are used, one mask for each of these will do.

    Raises:
        BadInput: `path` holds no masks, or neither one for all frames nor one for each; or a zip is not plain.
        DamagedVideo, UnsupportedVideo: a mask, or the mask video, cannot be read.
        OverLimit: images or zip members are far larger than the video, or far too many.
    """
    source = _open(TargetSize(path.expanduser(), video, scale))
    used = frames if frames and source.frames == len(frames) < video.frames else None
    if source.frames not in (1, video.frames) and used is None:
        raise BadInput(
            f"There are {source.frames} masks in {path} for {video.frames} frames of {video.path.name}.",
            "Give one mask for all frames, or one for each frame.",
            "mask.count",
            masks=source.frames,
            name=path.name,
            frames=video.frames,
        )
    return Masks(source, path, first=used.start if used else 0, invert=invert)


def read_prompt_masks(path: Path, video: VideoInfo) -> Generator[tuple[str, Mask]]:
    """Yield file name and mask of each image at `path`, at the size of `video`; there may be any number. Holds one.

    Raises the errors of `open_masks`, and BadInput for a mask video.
    """
    path = path.expanduser()
    bundle = open_bundle(path, video.frames, max_pixels(video))
    if bundle is None:
        raise BadInput(
            f"{path} is not an image.",
            "A painted prompt is an image whose file name ends with its frame number.",
            "mask.not_an_image",
            name=path.name,
        )
    masks = Masks(ImageSequence(bundle, TargetSize(path, video)), path, invert=False)
    with closing(masks.read(0, len(bundle.names))) as found:
        yield from zip(bundle.names, found, strict=True)


def reject_unusable(masks: Masks, frames: Span) -> None:
    """Check the first mask of `frames` that marks anything; empty masks before it are fine.

    Raises BadInput if no mask marks a pixel, or if that first one marks more than `MOST_SHARE` of the frame: such a
    mask is inverted, or a layer that was painted over as a whole.
    """
    stop = frames.start + 1 if masks.still else frames.stop
    with closing(masks.read(frames.start, stop)) as found:
        for index, mask in enumerate(found, frames.start):
            if not mask.any():
                continue
            if (share := float(mask.mean())) > MOST_SHARE:
                raise BadInput(
                    f"The mask of frame {index} marks {share:.0%} of the frame; at most {MOST_SHARE:.0%} may be.",
                    "White is removed; --invert inverts a mask.",
                    "mask.too_much",
                    frame=index,
                    percent=round(100 * share),
                    most=round(100 * MOST_SHARE),
                )
            return
    raise BadInput(
        f"The mask {masks.path} is empty: it marks no pixel of frames {frames.start} to {frames.stop - 1}.",
        "White is removed, black stays; --invert inverts a mask.",
        "mask.empty",
        name=masks.path.name,
        start=frames.start,
        stop=frames.stop - 1,
    )


def dilate(mask: Mask, steps: int) -> Mask:
    """Dilate `mask` by `steps` pixels with a cross, so by a diamond; 0 returns it unchanged."""
    if steps == 0:
        return mask
    return cast(Mask, cv2.dilate(mask.view(np.uint8), _CROSS, iterations=steps).view(np.bool_))


def _open(target: TargetSize) -> MaskSource:
    bundle = open_bundle(target.path, target.video.frames, max_pixels(target.video))
    if bundle is not None:
        return ImageSequence(bundle, target)
    info = _probe_mask(target.path)
    return AnimatedImages(info, target) if is_animation(info) else MaskVideo(info, target)


def _probe_mask(path: Path) -> VideoInfo:
    try:
        return probe(path)
    except (NotAVideo, NoVideoStream) as error:
        raise BadInput(
            f"{path} is not a mask: {error.message}", ACCEPTED, "mask.unreadable", name=path.name
        ) from error
    except DamagedVideo as error:
        raise DamagedVideo(
            error.message,
            "Make the mask again: --salvage applies to videos only.",
            "mask.damaged",
            name=path.name,
        ) from error
