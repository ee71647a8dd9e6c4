"""A mask for each frame of a video, from any frame on, one at a time, whatever they came as.

One picture for all frames; a folder or a zip of pictures, one a frame in natural order; a mask video or a GIF.
Masks of another size are resized to the video's as it is shown, to the nearest pixel, so that they stay masks.
"""

from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from PIL import Image

from pipelines.errors import BadInput, DamagedVideo, NotAVideo, NoVideoStream
from pipelines.masks.bundle import ACCEPTED, Bundle, max_pixels, open_bundle
from pipelines.masks.decode import Mask, Rule, apply_rule, find_rule, open_image
from pipelines.masks.resize import large_mask
from pipelines.spans import Span
from pipelines.video.info import VideoInfo
from pipelines.video.probe import probe
from pipelines.video.reader import read_frames

__all__ = ["Mask", "Masks", "dilate", "open_masks", "reject_unusable"]

MOST_SHARE = 0.95
HALF_WHITE = 127
"""Encoded masks ring around edges and grounds: above one half they are exact, above 0 they grow by a seventh."""
_ASPECT_TOLERANCE = 0.05
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class _Source(Protocol):
    """Masks as they are stored, `frames` of them."""

    frames: int

    def read(self, start: int, stop: int) -> Generator[Mask]: ...


class Masks:
    """The masks of a video: `open_masks` makes one. Holds no open file; iterators hold one mask and its decoder."""

    def __init__(
        self, source: _Source, path: Path, video: VideoInfo, *, first: int = 0, invert: bool
    ) -> None:
        self.path = path
        self._source = source
        self._video = video
        self._first = first
        self._invert = invert

    @property
    def still(self) -> bool:
        """Whether one mask is for all frames."""
        return self._source.frames == 1

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Masks `(H, W)` bool, True to be removed, of the video's frames `[start, stop)`, the same whatever `start` is.

        Close it when you leave early. The arrays are not to be written to: a still mask is one array for all.
        Raises DamagedVideo where a mask cannot be read, BadInput where it has another shape than the video,
        OverLimit where it is far too large.
        """
        members = (0, 1) if self.still else (start - self._first, stop - self._first)
        with closing(self._source.read(*members)) as stored:
            for mask in stored:
                fitted = self._fit(mask)
                yield from [fitted] * (stop - start if self.still else 1)

    def _fit(self, mask: Mask) -> Mask:
        """`mask` at the video's size, inverted if asked."""
        video, (height, width) = self._video, mask.shape
        if (width, height) != (video.width, video.height):
            self._check_shape(width, height)
            mask = large_mask(mask, (video.width, video.height))
        return ~mask if self._invert else mask

    def _check_shape(self, width: int, height: int) -> None:
        """Raise BadInput for a mask whose shape is neither that of the stored pixels nor of the shown picture."""
        video, shape = self._video, width / height
        stored = video.width / video.height
        if all(abs(shape / s - 1) > _ASPECT_TOLERANCE for s in (stored, stored * video.sample_aspect_ratio)):
            raise BadInput(
                f"The mask {self.path} is {width}x{height}, the video {video.width}x{video.height} as it is shown.",
                "Draw it on a frame of this video, turned as the video is shown.",
            )


def open_masks(path: Path, video: VideoInfo, *, frames: Span | None = None, invert: bool = False) -> Masks:
    """The masks at `path` for `video`; looks at as many of them as are empty before the first that is not.

    Where only `frames` of the video are used, there may be one mask for each of these.

    Raises:
        BadInput: nothing that holds masks; or as many as neither one for all frames nor one a frame; a zip that is
            not plain.
        DamagedVideo, UnsupportedVideo: a mask, or the mask video, cannot be read.
        OverLimit: pictures or zip members far larger than the video, or far too many.
    """
    source = _open(path.expanduser(), video)
    part = frames if frames and source.frames == len(frames) < video.frames else None
    if source.frames not in (1, video.frames) and part is None:
        raise BadInput(
            f"There are {source.frames} masks in {path} for {video.frames} frames of {video.path.name}.",
            "Give one mask for all frames, or one for each.",
        )
    return Masks(source, path, video, first=part.start if part else 0, invert=invert)


def read_prompt_masks(path: Path, video: VideoInfo) -> Generator[tuple[str, Mask]]:
    """File name and mask of each picture at `path`, at the size of `video`, however many there are. Holds one.

    Raises as `open_masks` does, and BadInput where they are a film.
    """
    path = path.expanduser()
    bundle = open_bundle(path, video.frames, max_pixels(video))
    if bundle is None:
        raise BadInput(
            f"{path} is no picture.", "A hint is a picture, for the frame that its file name ends with."
        )
    masks = Masks(_ImageSequence(bundle, max_pixels(video)), path, video, invert=False)
    with closing(masks.read(0, len(bundle.names))) as marks:
        yield from zip(bundle.names, marks, strict=True)


def reject_unusable(masks: Masks, frames: Span) -> None:
    """Look at the first mask of `frames` that marks anything; an empty one among others is as good as any.

    Raises BadInput where no mask marks a pixel, or where that first one marks more than 95 % of them: such a mask is
    the wrong way round, or a layer that was painted over as a whole.
    """
    stop = frames.start + 1 if masks.still else frames.stop
    with closing(masks.read(frames.start, stop)) as found:
        for index, mask in enumerate(found, frames.start):
            if not mask.any():
                continue
            if (share := float(mask.mean())) > MOST_SHARE:
                raise BadInput(
                    f"The mask of frame {index} marks {share:.0%} of the picture; {MOST_SHARE:.0%} is the most.",
                    "White is what goes; --invert turns a mask round.",
                )
            return
    raise BadInput(
        f"The mask {masks.path} is empty: it marks no pixel of frames {frames.start} to {frames.stop - 1}.",
        "White is what goes, black stays; --invert turns a mask round.",
    )


def dilate(mask: Mask, steps: int) -> Mask:
    """`mask` grown by `steps` pixels up, down, left and right, `steps` times one: a diamond. 0 leaves it as it is."""
    if steps == 0:
        return mask
    return cast(Mask, cv2.dilate(mask.view(np.uint8), _CROSS, iterations=steps).view(np.bool_))


def _open(path: Path, video: VideoInfo) -> _Source:
    bundle = open_bundle(path, video.frames, max_pixels(video))
    return _MaskVideo(path) if bundle is None else _ImageSequence(bundle, max_pixels(video))


class _ImageSequence:
    """Still pictures, all under the rule of the first that marks anything."""

    def __init__(self, bundle: Bundle, max_pixels: int) -> None:
        self.frames = len(bundle.names)
        self._bundle = bundle
        self._max_pixels = max_pixels
        self._rule: Rule | None = None

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Masks `[start, stop)` at their own size. Holds one picture. Raises as `open_image` does."""
        if self._rule is None:
            self._rule = self._decide_rule()
        with closing(self._images(range(start, stop))) as images:
            for image in images:
                yield apply_rule(image, self._rule)

    def _decide_rule(self) -> Rule:
        with closing(self._images(range(self.frames))) as images:
            rules = (find_rule(image) for image in images)
            return next((rule for rule in rules if rule), Rule("brightness", 255))

    def _images(self, members: Iterable[int]) -> Generator[Image.Image]:
        with closing(self._bundle.files(members)) as files:
            for name, file in files:
                yield open_image(file, name, self._max_pixels)


class _MaskVideo:
    """A mask video, or an animated GIF: bright is masked."""

    def __init__(self, path: Path) -> None:
        try:
            self._info = probe(path)
        except (NotAVideo, NoVideoStream) as error:
            raise BadInput(f"{path} is no mask: {error.message}", ACCEPTED) from error
        except DamagedVideo as error:
            raise DamagedVideo(error.message, "Make the mask again: --salvage is for videos.") from error
        self.frames = self._info.frames

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Masks `[start, stop)` at their own size. Holds what the decoder holds. Raises as `read_frames` does."""
        with closing(read_frames(self._info, start, stop, luma_only=True)) as frames:
            for frame in frames:
                yield frame.luma() > HALF_WHITE
