"""Settings of the tasks `inpaint` and `track`."""

from typing import Annotated, Any, Literal, Self

from pydantic import model_validator

from pipelines.settings.base import (
    INDEX,
    MOST_PROMPTS,
    MOST_PX,
    NUMBER,
    Settings,
    asked_flag,
    setting,
    written_as,
)
from pipelines.settings.video_output import FilmSettings

Box = Annotated[
    str,
    written_as(
        rf"{NUMBER}(,{NUMBER}){{3}}@{INDEX}", "Write x,y,width,height@frame, for example 120,80,60,140@0"
    ),
]
Point = Annotated[
    str, written_as(rf"!?{NUMBER},{NUMBER}@{INDEX}", "Write x,y@frame or !x,y@frame, for example 120,80@0")
]


class MaskSettings(Settings):
    """What to remove: given masks, or an object that is tracked from prompts."""

    mask_dilation: int = setting(
        "Grow the mask by this many pixels, so that no edge of the object remains.",
        changes_result=True,
        unit="px",
        default=4,
        ge=0,
        le=64,
    )
    invert: bool = setting(
        "Remove the black area of the mask instead of the white one.", changes_result=True, default=False
    )
    scale_mask: bool = setting(
        "Stretch a mask of another shape to the size of the video; otherwise it is refused.",
        changes_result=True,
        default=False,
    )
    track: bool = setting(
        "Track what the mask images mark: each is a prompt for the frame number at the end of its name.",
        changes_result=True,
        default=False,
    )
    box: tuple[Box, ...] = setting(
        "Bounding box of the object to track, as x,y,width,height@frame in pixels; more boxes improve tracking.",
        changes_result=True,
        default=(),
        max_length=MOST_PROMPTS,
    )
    point: tuple[Point, ...] = setting(
        "Point on the object to track, as x,y@frame; start a point that is not on it with an exclamation mark.",
        changes_result=True,
        default=(),
        max_length=MOST_PROMPTS,
    )

    tracker: Literal["builtin", "sam2"] = setting(
        "Tracker: the built-in one, or the network SAM 2, which needs its package and weights.",
        changes_result=True,
        default="builtin",
    )

    @property
    def follows(self) -> bool:
        """Whether the object is tracked from prompts."""
        return self.track or bool(self.box or self.point)


class TrackSettings(MaskSettings):
    """Show what would be removed from a video, and save it as a mask video, one mask per frame."""


def _published_setting(sentence: str, **limits: Any) -> Any:
    """Declare a setting of the published system ProPainter, under its name there."""
    return setting(sentence, changes_result=True, engine="propainter", **limits)


class ProPainterSettings(MaskSettings):
    """Settings of the engine propainter: the published options, names and defaults."""

    mode: Literal["video_inpainting", "video_outpainting"] = _published_setting(
        "Fill what the mask marks, or extend the picture and paint its surroundings.",
        default="video_inpainting",
    )
    scale_h: float = _published_setting(
        "Factor by which outpainting increases the height.", default=1.0, ge=1, le=3
    )
    scale_w: float = _published_setting(
        "Factor by which outpainting increases the width.", default=1.2, ge=1, le=3
    )
    subvideo_length: int = _published_setting(
        "Frames whose flows and known pixels are propagated together.",
        unit="frames",
        default=80,
        ge=2,
        le=400,
    )
    neighbor_length: int = _published_setting(
        "Neighbouring frames that are painted together; windows advance by half of this.",
        unit="frames",
        default=10,
        ge=2,
        le=40,
    )
    ref_stride: int = _published_setting(
        "Stride between distant reference frames.", unit="frames", default=10, ge=1, le=100
    )
    raft_iter: int = _published_setting(
        "Iterations of optical flow refinement; fewer are faster and less exact.", default=20, ge=1, le=64
    )
    fp16: bool = _published_setting(
        "Compute in half precision on a GPU, with half the memory; a CPU always uses full precision.",
        default=False,
    )
    save_fps: float = _published_setting(
        "Frame rate of the result if the video is a folder of images.",
        unit="fps",
        default=24.0,
        ge=1,
        le=240,
    )
    reference_output: bool = _published_setting(
        "Reproduce the published system exactly: everything that is not black is masked, and the whole picture is "
        "resized to its size.",
        default=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _only_one_engine_can(cls, asked: Any) -> Any:
        """Select the engine that an option of its own needs."""
        alone = isinstance(asked, dict) and (
            asked.get("mode") == "video_outpainting" or asked_flag(asked, "reference_output")
        )
        if alone and asked.get("engine", "auto") == "auto":
            return {**asked, "engine": "propainter"}
        return asked

    @property
    def outpaints(self) -> bool:
        """Whether the picture is extended."""
        return self.mode == "video_outpainting"


class InpaintSettings(FilmSettings, ProPainterSettings):
    """Remove an object from a video: the masked area is filled with what other frames show there."""

    resize_ratio: float | None = setting(
        "Compute at this fraction of the width and height; only the filled area loses sharpness.",
        changes_result=True,
        default=None,
        gt=0,
        le=1,
    )
    width: int | None = setting(
        "Compute at this width; the height follows unless it is set too.",
        changes_result=True,
        unit="px",
        default=None,
        ge=64,
        le=MOST_PX,
    )
    height: int | None = setting(
        "Compute at this height; the width follows unless it is set too.",
        changes_result=True,
        unit="px",
        default=None,
        ge=64,
        le=MOST_PX,
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.resize_ratio is not None and (self.width or self.height):
            raise ValueError("set either resize_ratio or width and height, not both")
        return self

    @model_validator(mode="after")
    def _engine_can(self) -> Self:
        if self.engine not in ("auto", "propainter") and (self.outpaints or self.reference_output):
            what = "outpaint" if self.outpaints else "give the published output"
            raise ValueError(f"the engine {self.engine} cannot {what}: leave engine out, or say propainter")
        return self
