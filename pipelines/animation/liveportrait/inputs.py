"""Inputs of a job as frames for the engine: the source limited in size, the driving unchanged."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace

from pipelines.animation.faces.crop import limit_size, limit_source
from pipelines.animation.inputs import InputMedia, PortraitInputs, read_picture, read_pixels, settings_of
from pipelines.animation.motion.templates import Template, read_template
from pipelines.settings import SourceCut
from pipelines.stages import RunContext
from pipelines.video.reader import READ_AHEAD_FRAMES
from pipelines.vision.types import Pixels

Read = Callable[[int, int], Generator[Pixels]]
"""Reads frames `[start, stop)`, (H, W, 3) uint8 RGB."""


@dataclass(frozen=True, eq=False)
class InputFrames:
    """Picture or video, ready to be read."""

    picture: Pixels | None
    """None for a video."""
    width: int
    height: int
    scale: float
    """Size of its frames relative to the given file."""
    read: Read
    """Repeats the same frame for a picture."""

    @property
    def moves(self) -> bool:
        """Whether it is a video."""
        return self.picture is None

    @property
    def is_square(self) -> bool:
        """Whether it may serve as a crop without cropping."""
        return self.width == self.height


@dataclass(frozen=True, eq=False)
class LivePortraitInputs:
    """Source and driving; a template in place of the driving, which then has no pixels."""

    source: InputFrames
    driving: InputFrames | None
    template: Template | None


def open_inputs(run: RunContext, media: PortraitInputs) -> LivePortraitInputs:
    """Open the inputs of a job. Holds pictures, and a template. Raises BadInput and the errors of `probe`."""
    settings = settings_of(run)
    read = _reader(run, media.source)
    video = media.source.video
    width, height = source_size(video.width, video.height, settings)
    untrimmed = limit_size(video.height, video.width, settings.source_max_dim)

    def read_limited(start: int, stop: int) -> Generator[Pixels]:
        with closing(read(start, stop)) as frames:
            for frame in frames:
                yield limit_source(frame, settings)

    scale = untrimmed[1] / video.width
    if media.source.kind == "picture":
        decoded = read_picture(media.source, (untrimmed[1], untrimmed[0]))
        picture = limit_source(decoded, settings, (video.width, video.height))
        source = _repeated(picture, scale)
    else:
        source = InputFrames(None, width, height, scale, read_limited)
    if media.driving.kind == "template":
        return LivePortraitInputs(source, None, read_template(media.driving.video.path))
    video = media.driving.video
    if media.driving.kind == "picture":
        driving = _repeated(read_picture(media.driving), 1.0)
    elif media.driving.moves:
        driving = InputFrames(None, video.width, video.height, 1.0, _reader(run, media.driving))
    else:
        with closing(read_pixels(run, media.driving, 0, 1)) as frames:
            driving = _repeated(next(frames), 1.0)
    return LivePortraitInputs(source, driving, None)


def source_size(width: int, height: int, options: SourceCut) -> tuple[int, int]:
    """Return width and height of a source after limiting and trimming."""
    division = options.source_division
    height, width = limit_size(height, width, options.source_max_dim)
    return max(1, width // division) * division, max(1, height // division) * division


def _repeated(picture: Pixels, scale: float) -> InputFrames:
    """Make frames of a picture, which is the same at every index."""

    def repeat(start: int, stop: int) -> Generator[Pixels]:
        for _ in range(start, stop):
            yield picture

    return InputFrames(picture, picture.shape[1], picture.shape[0], scale, repeat)


def _reader(run: RunContext, item: InputMedia) -> Read:
    # The window counts crops, which are small; fewer whole frames are read ahead.
    capped = replace(
        run, plan=replace(run.plan, window_frames=min(READ_AHEAD_FRAMES, run.plan.window_frames))
    )
    return lambda start, stop: read_pixels(capped, item, start, stop)
