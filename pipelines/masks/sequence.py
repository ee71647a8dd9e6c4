"""One mask per frame of a video, read one at a time from any frame on, whatever the source.

The source is one image for all frames; a folder or zip of images, one per frame in natural order; a mask video or an
animated GIF, PNG, WebP or AVIF. `pipelines.masks.rules` says which values mean "masked". Masks of another size are
resized by nearest neighbour to the video as it is displayed.
"""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from PIL import Image

from pipelines.errors import BadInput, DamagedVideo, NotAVideo, NoVideoStream
from pipelines.masks.bundle import ACCEPTED, Bundle, max_pixels, open_bundle, stamp_of
from pipelines.masks.decode import apply_rule, evidence, open_image, too_large
from pipelines.masks.resize import large_mask
from pipelines.masks.rules import BRIGHTNESS, Evidence, Rule, by_values, decide
from pipelines.spans import Span
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.images import is_animation, iter_animation
from pipelines.video.probe import probe
from pipelines.video.reader import Frame, read_frames
from pipelines.vision.types import Mask

__all__ = ["Mask", "Masks", "dilate", "open_masks", "reject_unusable"]

MOST_SHARE = 0.95
"""Masks that mark more of the frame are refused: they are inverted, or a layer painted over as a whole."""
HALF_WHITE = 127
"""Encoded masks ring around edges: thresholded at one half they are exact, at 0 they grow by a seventh."""
_ASPECT_TOLERANCE = 0.05
"""Relative difference of aspect ratios up to which a mask is resized: rounding, not another orientation."""
_LOSSLESS = frozenset({"ffv1", "gif", "apng", "png", "qtrle", "huffyuv", "ffvhuff", "utvideo", "rawvideo"})
"""Codecs that keep label maps, whose values lie close together."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class _Source(Protocol):
    """Stored masks, `frames` of them, at their own size."""

    frames: int

    @property
    def rule(self) -> Rule: ...

    def read(self, start: int, stop: int) -> Generator[Mask]: ...


class Masks:
    """The masks of a video, opened by `open_masks`. Holds no open file; iterators hold one mask and its decoder."""

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
                resized = self._fit(mask)
                yield from [resized] * (stop - start if self.still else 1)

    def _fit(self, mask: Mask) -> Mask:
        """Resize `mask` to the video, and invert it if set."""
        video, (height, width) = self._video, mask.shape
        if (width, height) != (video.width, video.height):
            self._check_shape(width, height)
            mask = large_mask(mask, (video.width, video.height))
        return ~mask if self._invert else mask

    def _check_shape(self, width: int, height: int) -> None:
        """Raise BadInput for an aspect ratio that is neither that of the stored pixels nor of the displayed frame."""
        video, shape = self._video, width / height
        stored = video.width / video.height
        if all(abs(shape / s - 1) > _ASPECT_TOLERANCE for s in (stored, stored * video.sample_aspect_ratio)):
            raise BadInput(
                f"The mask {self.path} is {width}x{height}, the video {video.width}x{video.height} as displayed.",
                "Draw it on a frame of this video, in the orientation in which the video is displayed.",
            )


def open_masks(path: Path, video: VideoInfo, *, frames: Span | None = None, invert: bool = False) -> Masks:
    """Open the masks at `path` for `video`.

    If only `frames` of the video are used, one mask for each of these will do.

    Raises:
        BadInput: `path` holds no masks, or neither one for all frames nor one for each; or a zip is not plain.
        DamagedVideo, UnsupportedVideo: a mask, or the mask video, cannot be read.
        OverLimit: images or zip members are far larger than the video, or far too many.
    """
    source = _open(path.expanduser(), video)
    used = frames if frames and source.frames == len(frames) < video.frames else None
    if source.frames not in (1, video.frames) and used is None:
        raise BadInput(
            f"There are {source.frames} masks in {path} for {video.frames} frames of {video.path.name}.",
            "Give one mask for all frames, or one for each frame.",
        )
    return Masks(source, path, video, first=used.start if used else 0, invert=invert)


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
        )
    masks = Masks(_ImageSequence(bundle, path, max_pixels(video)), path, video, invert=False)
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
                )
            return
    raise BadInput(
        f"The mask {masks.path} is empty: it marks no pixel of frames {frames.start} to {frames.stop - 1}.",
        "White is removed, black stays; --invert inverts a mask.",
    )


def dilate(mask: Mask, steps: int) -> Mask:
    """Dilate `mask` by `steps` pixels with a cross, so by a diamond; 0 returns it unchanged."""
    if steps == 0:
        return mask
    return cast(Mask, cv2.dilate(mask.view(np.uint8), _CROSS, iterations=steps).view(np.bool_))


def _open(path: Path, video: VideoInfo) -> _Source:
    most = max_pixels(video)
    bundle = open_bundle(path, video.frames, most)
    if bundle is not None:
        return _ImageSequence(bundle, path, most)
    info = _probe_mask(path)
    return _AnimatedImages(info, most) if is_animation(info) else _MaskVideo(info)


def _probe_mask(path: Path) -> VideoInfo:
    try:
        return probe(path)
    except (NotAVideo, NoVideoStream) as error:
        raise BadInput(f"{path} is not a mask: {error.message}", ACCEPTED) from error
    except DamagedVideo as error:
        raise DamagedVideo(error.message, "Make the mask again: --salvage applies to videos only.") from error


class _Sequence:
    """Masks that are all read by one rule, which is decided once in a process as long as the files stay the same."""

    frames: int

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rule: Rule | None = None

    @property
    def rule(self) -> Rule:
        if self._rule is None:
            key = self._path, self._stamp()
            if key not in _DECIDED:
                while len(_DECIDED) >= _MOST_DECIDED:
                    del _DECIDED[next(iter(_DECIDED))]
                _DECIDED[key] = self._decide()
            self._rule = _DECIDED[key]
        return self._rule

    def _stamp(self) -> int:
        return stamp_of(self._path)

    def _decide(self) -> Rule:
        raise NotImplementedError


_DECIDED: dict[tuple[Path, int], Rule] = {}
_MOST_DECIDED = 16
"""Rules that are kept: a job opens its masks anew for each span, and deciding may read all of them."""


class _ImageSequence(_Sequence):
    """A sequence of images."""

    def __init__(self, bundle: Bundle, path: Path, max_pixels: int) -> None:
        super().__init__(path)
        self.frames = len(bundle.names)
        self._bundle = bundle
        self._max_pixels = max_pixels

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `[start, stop)` at their own size. Holds one image. Raises the errors of `open_image`."""
        rule = self.rule
        with closing(self._images(start, stop)) as images:
            for image in images:
                yield apply_rule(image, rule)

    def _stamp(self) -> int:
        return self._bundle.stamp

    def _decide(self) -> Rule:
        with closing(self._images(0, self.frames)) as images:
            return decide(evidence(image) for image in images)

    def _images(self, start: int, stop: int) -> Generator[Image.Image]:
        with closing(self._bundle.files(range(start, stop))) as files:
            for name, file in files:
                yield open_image(file, name, self._max_pixels)


class _AnimatedImages(_Sequence):
    """The frames of an animation that Pillow reads, as images."""

    def __init__(self, info: VideoInfo, max_pixels: int) -> None:
        super().__init__(info.path)
        self._info = info
        self.frames = info.frames
        if info.width * info.height > max_pixels:
            raise too_large(str(info.path), f"{info.width}x{info.height} pixels", max_pixels)

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `[start, stop)` at their own size. Holds one image. Raises DamagedVideo."""
        rule = self.rule
        for image in iter_animation(self._info, start, stop):
            yield apply_rule(image, rule)

    def _decide(self) -> Rule:
        return decide(evidence(image) for image in iter_animation(self._info, 0, self.frames))


class _MaskVideo(_Sequence):
    """A mask video, or an animated GIF or PNG."""

    def __init__(self, info: VideoInfo) -> None:
        super().__init__(info.path)
        self._info = info
        self.frames = info.frames

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `[start, stop)` at their own size. Holds what the decoder holds."""
        rule = self.rule
        by_alpha = rule.kind == "transparency"
        with closing(read_frames(self._info, start, stop, luma_only=True, alpha=by_alpha)) as frames:
            for frame in frames:
                values = frame.alpha() if by_alpha else frame.luma()
                yield np.asarray(values) > rule.threshold

    def _decide(self) -> Rule:
        with closing(read_frames(self._info, luma_only=True, alpha=True)) as frames:
            return decide(self._evidence(frame) for frame in frames)

    def _evidence(self, frame: Frame) -> Evidence:
        alpha = frame.alpha()
        opacity = None if alpha is None else (float(alpha.min()), float(alpha.max()))
        if opacity and opacity[1] == 0:
            return Evidence(opacity, None)
        exact = self._info.rgb or self._info.pixel_format.startswith("gray")
        if not exact or self._info.codec not in _LOSSLESS:
            return Evidence(opacity, BRIGHTNESS)
        rule = by_values(frame.luma(), lossy=False)
        # Dark frames of a copy of a lossy video have noise that looks like labels until white is seen.
        return Evidence(opacity, rule, certain=rule is None or rule.kind == "brightness")
