"""What removing an object, and showing what would be removed, is asked with."""

from typing import Annotated, Any, Literal, Self

from pydantic import model_validator

from pipelines.settings.base import NUMBER, Settings, setting, written_as
from pipelines.settings.video_output import FilmSettings

Box = Annotated[
    str,
    written_as(rf"{NUMBER}(,{NUMBER}){{3}}@\d+", "Write x,y,width,height@frame, for example 120,80,60,140@0"),
]
Point = Annotated[
    str, written_as(rf"!?{NUMBER},{NUMBER}@\d+", "Write x,y@frame or !x,y@frame, for example 120,80@0")
]


class MaskSettings(Settings):
    """What is to be removed: masks as they are given, or an object that is followed from hints."""

    mask_dilation: int = setting(
        "Grow the mask by so many steps in each direction, so that no edge of the object stays.",
        changes_result=True,
        unit="px",
        default=4,
        ge=0,
        le=64,
    )
    invert: bool = setting(
        "Remove what the mask leaves black instead of what it marks.", changes_result=True, default=False
    )
    track: bool = setting(
        "Follow what the mask's pictures mark: each is a hint, for the frame that its name ends with.",
        changes_result=True,
        default=False,
    )
    box: tuple[Box, ...] = setting(
        "A box around the object to follow, as x,y,width,height@frame in pixels; several help.",
        changes_result=True,
        default=(),
    )
    point: tuple[Point, ...] = setting(
        "A point on the object to follow, as x,y@frame; one that is not on it begins with an exclamation mark.",
        changes_result=True,
        default=(),
    )

    tracker: Literal["builtin", "sam2"] = setting(
        "What follows the object: the built-in tracker, or the network SAM 2, which needs its package and weights.",
        changes_result=True,
        default="builtin",
    )

    @property
    def follows(self) -> bool:
        """Whether the object is followed from hints."""
        return self.track or bool(self.box or self.point)


class TrackSettings(MaskSettings):
    """Show what would be removed from a video, and keep it as a film of masks, one a frame."""


def _published_setting(sentence: str, **limits: Any) -> Any:
    """A setting of the published system ProPainter, by its name there."""
    return setting(sentence, changes_result=True, engine="propainter", **limits)


class ProPainterSettings(MaskSettings):
    """What the engine propainter alone is asked with: the published options, names and defaults."""

    mode: Literal["video_inpainting", "video_outpainting"] = _published_setting(
        "Fill what a mask marks, or make the picture larger and paint what lies around it.",
        default="video_inpainting",
    )
    scale_h: float = _published_setting(
        "How many times as high the picture becomes when it is outpainted.", default=1.0, ge=1, le=3
    )
    scale_w: float = _published_setting(
        "How many times as wide the picture becomes when it is outpainted.", default=1.2, ge=1, le=3
    )
    subvideo_length: int = _published_setting(
        "Frames whose flows and known pixels are propagated together.",
        unit="frames",
        default=80,
        ge=2,
        le=400,
    )
    neighbor_length: int = _published_setting(
        "Neighbouring frames that are painted together; half of it is the step to the next ones.",
        unit="frames",
        default=10,
        ge=2,
        le=40,
    )
    ref_stride: int = _published_setting(
        "Step between the distant frames that are looked at besides.", unit="frames", default=10, ge=1, le=100
    )
    raft_iter: int = _published_setting(
        "Rounds of refinement of the optical flow; fewer are faster and less exact.", default=20, ge=1, le=64
    )
    fp16: bool = _published_setting(
        "Compute with half the digits on a card, in half the memory; a CPU computes with all of them.",
        default=False,
    )
    save_fps: float = _published_setting(
        "Frames per second of the result where the video is a folder of images.",
        unit="fps",
        default=24.0,
        ge=1,
        le=240,
    )
    reference_output: bool = _published_setting(
        "Give exactly what the published system gives: anything that is not black is masked, at its size, with all "
        "pixels resized.",
        default=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _only_one_engine_can(cls, asked: Any) -> Any:
        """What only one engine does asks for that engine."""
        alone = isinstance(asked, dict) and (
            asked.get("mode") == "video_outpainting" or asked.get("reference_output")
        )
        if alone and asked.get("engine", "auto") == "auto":
            return {**asked, "engine": "propainter"}
        return asked

    @property
    def outpaints(self) -> bool:
        """Whether the picture becomes larger."""
        return self.mode == "video_outpainting"


class InpaintSettings(FilmSettings, ProPainterSettings):
    """Remove an object from a video: what a mask marks is filled with what other frames show there."""

    resize_ratio: float | None = setting(
        "Compute at this share of the width and height; only what is filled loses sharpness.",
        changes_result=True,
        default=None,
        gt=0,
        le=1,
    )
    width: int | None = setting(
        "Compute at this width; the height follows unless it is given too.",
        changes_result=True,
        unit="px",
        default=None,
        ge=64,
    )
    height: int | None = setting(
        "Compute at this height; the width follows unless it is given too.",
        changes_result=True,
        unit="px",
        default=None,
        ge=64,
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.resize_ratio is not None and (self.width or self.height):
            raise ValueError("resize_ratio and width or height are two ways to say one thing: give one")
        return self

    @model_validator(mode="after")
    def _engine_can(self) -> Self:
        if self.engine not in ("auto", "propainter") and (self.outpaints or self.reference_output):
            what = "outpaint" if self.outpaints else "give the published output"
            raise ValueError(f"the engine {self.engine} cannot {what}: leave engine out, or say propainter")
        return self
