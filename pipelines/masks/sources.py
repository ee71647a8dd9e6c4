"""Where masks are stored: images one by one, the frames of an animation, or a video."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import IO

import numpy as np

from pipelines.masks.bundle import Bundle, max_pixels, stamp_of
from pipelines.masks.decode import evidence, open_image, read_mask, too_large
from pipelines.masks.rules import BRIGHTNESS, Evidence, Rule, by_values, decide
from pipelines.masks.target_size import TargetSize
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.images import iter_animation
from pipelines.video.reader import Frame, read_frames
from pipelines.vision.types import Mask

LOSSLESS = frozenset({"ffv1", "gif", "apng", "png", "qtrle", "huffyuv", "ffvhuff", "utvideo", "rawvideo"})
"""Codecs that keep label maps, whose values lie close together; none of them refers to frames before the last."""


class MaskSource:
    """Stored masks, `frames` of them, all read by one rule.

    The rule is decided once in a process as long as the files stay the same.
    """

    frames: int

    def __init__(self, target: TargetSize) -> None:
        self._target = target
        self._rule: Rule | None = None

    @property
    def rule(self) -> Rule:
        """The rule by which they are read. May read all of them. Raises as `read` does."""
        if self._rule is None:
            key = self._target.path, self._stamp()
            if key not in _DECIDED:
                while len(_DECIDED) >= _MOST_DECIDED:
                    del _DECIDED[next(iter(_DECIDED))]
                _DECIDED[key] = self._decide()
            self._rule = _DECIDED[key]
        return self._rule

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `[start, stop)` at the size of the video. Raises BadInput for another aspect ratio."""
        raise NotImplementedError

    def _stamp(self) -> int:
        return stamp_of(self._target.path)

    def _decide(self) -> Rule:
        raise NotImplementedError


_DECIDED: dict[tuple[Path, int], Rule] = {}
_MOST_DECIDED = 16
"""Rules that are kept: a job opens its masks anew for each span, and deciding may read all of them."""


class ImageSequence(MaskSource):
    """A sequence of images."""

    def __init__(self, bundle: Bundle, target: TargetSize) -> None:
        super().__init__(target)
        self.frames = len(bundle.names)
        self._bundle = bundle
        self._max_pixels = max_pixels(target.video)

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `[start, stop)`. Holds one, and an image while it is read. Raises the errors of `open_image`."""
        rule = self.rule
        with closing(self._bundle.files(range(start, stop))) as files:
            for name, file in files:
                mask = self._mask(file, name, rule)
                del file  # A member of a zip is held as a whole.
                yield mask

    def _mask(self, file: Path | IO[bytes], name: str, rule: Rule) -> Mask:
        with open_image(file, name, self._max_pixels) as image:
            return read_mask(image, rule, self._target)

    def _stamp(self) -> int:
        return self._bundle.stamp

    def _decide(self) -> Rule:
        with closing(self._evidence()) as found:
            return decide(found)

    def _evidence(self) -> Generator[Evidence]:
        with closing(self._bundle.files(range(self.frames))) as files:
            for name, file in files:
                with open_image(file, name, self._max_pixels) as image:
                    yield evidence(image)


class AnimatedImages(MaskSource):
    """The frames of an animation that Pillow reads, as images."""

    def __init__(self, info: VideoInfo, target: TargetSize) -> None:
        super().__init__(target)
        self._info = info
        self.frames = info.frames
        most = max_pixels(target.video)
        if info.width * info.height > most:
            raise too_large(str(info.path), f"{info.width}x{info.height} pixels", most)

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `[start, stop)`. Holds one image and its decoder. Raises DamagedVideo."""
        rule = self.rule
        for image in iter_animation(self._info, start, stop):
            yield read_mask(image, rule, self._target)

    def _decide(self) -> Rule:
        return decide(evidence(image) for image in iter_animation(self._info, 0, self.frames))


class MaskVideo(MaskSource):
    """A mask video, or an animated GIF or PNG."""

    def __init__(self, info: VideoInfo, target: TargetSize) -> None:
        super().__init__(target)
        self._info = info
        self.frames = info.frames

    def read(self, start: int, stop: int) -> Generator[Mask]:
        """Yield masks `[start, stop)`. Holds what the decoder holds."""
        rule = self.rule
        by_alpha = rule.kind == "transparency"
        with closing(read_frames(self._info, start, stop, luma_only=True, alpha=by_alpha)) as frames:
            for frame in frames:
                values = frame.alpha() if by_alpha else frame.luma()
                yield self._target.resized(np.asarray(values) > rule.threshold)

    def _decide(self) -> Rule:
        with closing(read_frames(self._info, luma_only=True, alpha=True)) as frames:
            return decide(self._evidence(frame) for frame in frames)

    def _evidence(self, frame: Frame) -> Evidence:
        alpha = frame.alpha()
        opacity = None if alpha is None else (float(alpha.min()), float(alpha.max()))
        if opacity and opacity[1] == 0:
            return Evidence(opacity, None)
        exact = self._info.rgb or self._info.pixel_format.startswith("gray")
        if not exact or self._info.codec not in LOSSLESS:
            return Evidence(opacity, BRIGHTNESS)
        luma = frame.luma()
        rule = by_values(lambda: (luma,), lossy=False)
        # Dark frames of a copy of a lossy video have noise that looks like labels until white is seen.
        return Evidence(opacity, rule, certain=rule is None or rule.kind == "brightness")
