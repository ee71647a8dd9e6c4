"""The inputs of an animation: source and driving, each a picture, a video or (driving only) a motion template."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import ImageColor

from pipelines.animation.motion.templates import read_template
from pipelines.errors import BadInput, NotAVideo
from pipelines.settings import AnimateSettings
from pipelines.spans import Span
from pipelines.stages import RunContext
from pipelines.storage.special_files import reject_special
from pipelines.video.clock.timeline import constant
from pipelines.video.info import VideoInfo
from pipelines.video.pictures import picture_pixels
from pipelines.video.pictures.images import probe_picture, read_still
from pipelines.video.pictures.picture import SUFFIXES, UNREADABLE, identify
from pipelines.video.pictures.picture_pixels import decoding_bytes
from pipelines.video.probe import probe
from pipelines.video.reader import Frame, bounded_decoder, read_frames
from pipelines.vision.types import Colour, Pixels, Size

Kind = Literal["picture", "video", "template"]

TEMPLATE_SUFFIXES = frozenset({".npz", ".pkl"})


@dataclass(frozen=True)
class InputMedia:
    """One input. A picture has one frame; the frames of a template have times and no pixels."""

    kind: Kind
    video: VideoInfo

    def over(self, background: str) -> "InputMedia":
        """Return the same with this colour, by its name or as #rrggbb, where it is transparent."""
        return replace(self, video=replace(self.video, background=colour_of(background)))

    @property
    def moves(self) -> bool:
        """Whether it is more than one frame."""
        return self.video.frames > 1

    @property
    def sounds(self) -> bool:
        """Whether it has sound."""
        return self.video.audio is not None

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.video.width * self.video.height


@dataclass(frozen=True)
class PortraitInputs:
    """Source and driving. Frames of two videos are matched one to one; a picture stands for all frames."""

    source: InputMedia
    driving: InputMedia

    @property
    def moving(self) -> InputMedia:
        """The input from which the result takes its times: a source video, otherwise the driving."""
        return self.source if self.source.kind == "video" else self.driving

    @property
    def timing_video(self) -> VideoInfo:
        """The video that sets the times, for the planner; a template gets the size of the picture it drives."""
        video, picture = self.moving.video, self.source.video
        if self.moving.kind == "template":
            return replace(video, width=picture.width, height=picture.height)
        return video

    @property
    def makes_a_picture(self) -> bool:
        """Whether the result is one picture: a picture driven by a picture or a template of one frame."""
        return self.source.kind == "picture" and self.driving.kind != "video" and not self.driving.moves

    def frames(self, asked: Span) -> Span:
        """Return the requested frames that both have. Raises BadInput if that is none."""
        if self.source.kind != "video" or not self.driving.moves:
            return asked
        stop = min(asked.stop, self.driving.video.frames)
        if stop <= asked.start:
            raise BadInput(
                f"The driving video has {self.driving.video.frames} frames, but the selected part of the source starts "
                f"at frame {asked.start}.",
                "Choose an earlier --start, or a longer driving video.",
                "part.driving_short",
                frames=self.driving.video.frames,
                start=asked.start,
            )
        return Span(asked.start, stop)


def probe_portrait_inputs(
    inputs: tuple[Path, ...], *, salvage: bool, background: str = "white"
) -> PortraitInputs:
    """Probe source and driving, whose transparent parts are to show `background`.

    Raises the errors of `probe`, `probe_picture` and `read_template`; BadInput if one is missing or the source has no
    pixels to animate.
    """
    if len(inputs) < 2:
        raise BadInput(
            "There is no driving video.", "Give a driving video after the portrait.", "input.no_driving"
        )
    source = probe_source(inputs[0], salvage=salvage, background=background)
    return PortraitInputs(source, probe_media(inputs[1], salvage=salvage).over(background))


def probe_source(path: Path, *, salvage: bool, background: str = "white") -> InputMedia:
    """Probe a source, whose transparent parts are to show `background`.

    Raises the errors of `probe_media`, and BadInput if it has no pixels to animate.
    """
    source = probe_media(path, salvage=salvage)
    if source.kind == "template":
        raise BadInput(
            f"{source.video.path.name} is a motion template, not a portrait.",
            "Give the portrait first, then the template that drives it.",
            "input.template_as_portrait",
            name=source.video.path.name,
        )
    return source.over(background)


def settings_of(run: RunContext) -> AnimateSettings:
    """Return the job's settings as those of `animate`."""
    if not isinstance(run.settings, AnimateSettings):
        raise TypeError(f"animate needs AnimateSettings, not {type(run.settings).__name__}")
    return run.settings


def read_frames_of(
    run: RunContext, media: InputMedia, start: int, stop: int, *, planes: bool = False
) -> Generator[Frame]:
    """Read frames `[start, stop)` of a video or picture, `planes` as in the reader. Holds the decoder's frames."""
    settings, video = run.settings, media.video
    decoder = bounded_decoder(video, settings.decoder)
    return read_frames(
        video,
        start,
        stop,
        decoder=decoder,
        salvage=settings.salvage,
        planes=planes,
        ahead=run.plan.window_frames,
    )


def read_pixels(run: RunContext, media: InputMedia, start: int, stop: int) -> Generator[Pixels]:
    """Read the same frames as `(H, W, 3)` uint8 RGB."""
    with closing(read_frames_of(run, media, start, stop)) as frames:
        for frame in frames:
            yield frame.rgb()


def read_picture(media: InputMedia, at_least: Size | None = None) -> Pixels:
    """Read a picture `(H, W, 3)` uint8 RGB, upright, reduced but not below `at_least`. Holds `picture_bytes`.

    Raises DamagedVideo.
    """
    return read_still(media.video, at_least)


def picture_bytes(media: InputMedia, at_least: Size | None = None) -> int:
    """Estimate what `read_picture` holds at its peak; 0 for a video or template."""
    if media.kind != "picture":
        return 0
    try:
        return decoding_bytes(media.video.path, (media.video.width, media.video.height), at_least)
    except UNREADABLE:
        return 0  # Reading it says what is wrong.


def read_opacity(media: InputMedia, at_least: Size | None = None) -> Pixels | None:
    """Read the opacity of a picture `(H, W)` uint8 as `read_picture` does; None for a video and where all is opaque."""
    return picture_pixels.read_opacity(media.video.path, at_least) if media.kind == "picture" else None


def is_transparent(media: InputMedia) -> bool:
    """Whether any pixel of a picture is transparent; False for a video. Holds the decoder's picture and one strip."""
    return media.kind == "picture" and picture_pixels.is_transparent(media.video.path)


def colour_of(text: str) -> Colour:
    """Return a colour by its name or as #rrggbb."""
    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue


def picture_at(path: Path) -> InputMedia:
    """Probe a source that must be a picture. Raises BadInput for anything else, and the errors of `probe_picture`."""
    if path.is_file() and not _is_still(path):
        raise BadInput(
            f"{path.name} is not a picture.",
            "Give a portrait as JPEG, PNG, WebP, AVIF, HEIC or TIFF.",
            "input.not_a_picture",
            name=path.name,
        )
    return InputMedia("picture", probe_picture(path))


def probe_media(path: Path, *, salvage: bool) -> InputMedia:
    """Probe one input by its kind: a template by its suffix, a picture or a video by its content.

    Raises the errors of `probe`, `probe_picture` and `read_template`; NotAVideo for a pipe or device.
    """
    reject_special(path)
    suffix = path.suffix.lower()
    if path.is_dir():
        return InputMedia("video", probe(path, salvage=salvage))
    if suffix in TEMPLATE_SUFFIXES:
        template = read_template(path)
        timeline = constant(len(template.motions), template.rate)
        return InputMedia("template", VideoInfo(path, "template", suffix[1:], 1, 1, timeline))
    if path.is_file() and _is_still(path):
        return InputMedia("picture", probe_picture(path))
    try:
        return InputMedia("video", probe(path, salvage=salvage))
    except NotAVideo:
        if suffix in SUFFIXES:
            return InputMedia("picture", probe_picture(path))  # It cannot be read, and this error says so.
        raise


def _is_still(path: Path) -> bool:
    found = identify(path)
    return found is not None and found.still
