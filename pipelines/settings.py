"""The settings of the tasks: one field = type, range, default, unit and one sentence.

The page's form, the flags of the command line and the parameters of the API are made from these models;
nothing repeats a default. A field says in `json_schema_extra` its `unit` and whether it `changes_result`:
those that do are part of a job's id, the others say only how it is run. One that a single engine knows says which
(`engine`): to a job of another engine it means nothing.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

Codec = Literal["h264", "h265", "prores4444", "vp9", "h264_nvenc", "h265_nvenc"]
VIDEO_SUFFIXES: dict[Codec, str] = {
    **{"h264": ".mp4", "h265": ".mp4", "h264_nvenc": ".mp4", "h265_nvenc": ".mp4"},
    **{"prores4444": ".mov", "vp9": ".webm"},
}
"""What a video of each codec is kept in."""
Region = Literal["all", "exp", "pose", "lip", "eyes"]
"""What of a portrait moves."""


Place = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A path that means the same wherever a job is run."""

SettingsT = TypeVar("SettingsT", bound="Settings")


def _setting(sentence: str, *, changes_result: bool, unit: str = "", engine: str = "", **limits: Any) -> Any:
    extra: dict[str, JsonValue] = {"unit": unit, "changes_result": changes_result, "engine": engine}
    return Field(description=sentence, json_schema_extra=extra, **limits)


def _engine_setting() -> Any:
    return _setting(
        "Which engine computes; auto takes the network where its weights, a card that holds it and consent to its "
        "licence are there, and else the built-in one.",
        changes_result=True,
        default="auto",
    )


def _batch_setting(engine: str) -> Any:
    return _setting(
        "Windows or frames that the network computes at once, at most; by default as many as memory allows.",
        changes_result=False,
        engine=engine,
        default=None,
        ge=1,
        le=256,
    )


class Settings(BaseModel):
    """What every task is asked with; each task says which engines it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["auto", "none", "4gb", "6gb", "8gb", "12gb", "16gb", "24gb"] = _setting(
        "Behave as on a card with this much memory; auto looks.", changes_result=False, default="auto"
    )
    quality: Literal["draft", "balanced", "high", "ultimate"] = _setting(
        "Trade speed for detail.", changes_result=True, default="balanced"
    )
    device: str = _setting(
        "Where networks run: auto, cpu, cuda, cuda:1, mps.",
        changes_result=False,
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    ram_limit_gb: float | None = _setting(
        "Never hold more host memory than this, all processes together.",
        changes_result=False,
        unit="GiB",
        default=None,
        gt=0,
    )
    vram_limit_gb: float | None = _setting(
        "Never hold more device memory than this.", changes_result=False, unit="GiB", default=None, gt=0
    )
    start: float | None = _setting(
        "Begin at this time of the video.", changes_result=True, unit="s", default=None, ge=0
    )
    end: float | None = _setting(
        "Stop before this time of the video.", changes_result=True, unit="s", default=None, gt=0
    )
    engine: str = _engine_setting()
    weights: Place | None = _setting(
        "Folder with the engine's published weights; no other place is looked at then.",
        changes_result=False,
        default=None,
    )
    decoder: Literal["auto", "decord", "pyav", "ffmpeg"] = _setting(
        "Which library decodes; auto takes the fastest that is exact for the file.",
        changes_result=True,
        default="auto",
    )
    salvage: bool = _setting(
        "Use what can be read of a damaged file instead of refusing it.", changes_result=True, default=False
    )

    @model_validator(mode="after")
    def _end_after_start(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"end ({self.end:g} s) must come after start ({self.start or 0:g} s)")
        return self

    def identity(self) -> dict[str, Any]:
        """The settings that change the result of this engine, as plain JSON values: part of a job's id."""
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if _told(type(self), name, "changes_result") and engine_of(type(self), name) in ("", self.engine)
        }


def engine_of(model: type[BaseModel], name: str) -> str:
    """The one engine that the setting `name` is for; empty where it is for all."""
    return str(_told(model, name, "engine"))


def _told(model: type[BaseModel], name: str, what: str) -> JsonValue:
    extra = model.model_fields[name].json_schema_extra
    return extra[what] if isinstance(extra, dict) else ""


class ScoreSettings(Settings):
    """Sharpness, blur, frozen frames and smoothness of a video, frame by frame."""

    engine: Literal["auto", "builtin", "qalign"] = _engine_setting()
    window: int = _setting(
        "Frames that a window score looks at.", changes_result=True, unit="frames", default=3, ge=1, le=99
    )
    score_task: Literal["video_quality", "image_quality", "image_aesthetics"] = _setting(
        "What Q-Align rates: windows of the video, or each frame as a picture, for its quality or its looks.",
        changes_result=True,
        engine="qalign",
        default="video_quality",
    )
    batch_size: int | None = _batch_setting("qalign")
    weight_bits: Literal["16", "8", "4"] = _setting(
        "Bits of a weight in Q-Align's layers: fewer hold less and change scores a little; 16 are as published.",
        changes_result=True,
        engine="qalign",
        default="16",
    )
    weights_place: Literal["auto", "device", "host", "disk"] = _setting(
        "Where Q-Align's layers wait for their turn; auto takes the fastest place that holds them.",
        changes_result=False,
        engine="qalign",
        default="auto",
    )


TRIAL_SECONDS = 2.0


def trial(settings: SettingsT) -> SettingsT:
    """`settings` for the first two seconds of what they ask for."""
    end = (settings.start or 0.0) + TRIAL_SECONDS
    return settings.model_copy(update={"end": end if settings.end is None else min(end, settings.end)})


class CopySettings(Settings):
    """Decode and encode again, sound kept: the machinery without a task, to try it on a file."""

    engine: Literal["auto", "builtin"] = _engine_setting()


_NUMBER = r"\d+(\.\d+)?"


def _written_as(pattern: str, sentence: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check)


Box = Annotated[
    str,
    _written_as(
        rf"{_NUMBER}(,{_NUMBER}){{3}}@\d+", "Write x,y,width,height@frame, for example 120,80,60,140@0"
    ),
]
Point = Annotated[
    str, _written_as(rf"!?{_NUMBER},{_NUMBER}@\d+", "Write x,y@frame or !x,y@frame, for example 120,80@0")
]


class MaskSettings(Settings):
    """What is to be removed: masks as they are given, or an object that is followed from hints."""

    mask_dilation: int = _setting(
        "Grow the mask by so many steps in each direction, so that no edge of the object stays.",
        changes_result=True,
        unit="px",
        default=4,
        ge=0,
        le=64,
    )
    invert: bool = _setting(
        "Remove what the mask leaves black instead of what it marks.", changes_result=True, default=False
    )
    track: bool = _setting(
        "Follow what the mask's pictures mark: each is a hint, for the frame that its name ends with.",
        changes_result=True,
        default=False,
    )
    box: tuple[Box, ...] = _setting(
        "A box around the object to follow, as x,y,width,height@frame in pixels; several help.",
        changes_result=True,
        default=(),
    )
    point: tuple[Point, ...] = _setting(
        "A point on the object to follow, as x,y@frame; one that is not on it begins with an exclamation mark.",
        changes_result=True,
        default=(),
    )

    tracker: Literal["builtin", "sam2"] = _setting(
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

    engine: Literal["auto", "builtin"] = _engine_setting()


def _published_setting(sentence: str, **limits: Any) -> Any:
    """A setting of the published system ProPainter, by its name there."""
    return _setting(sentence, changes_result=True, engine="propainter", **limits)


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


class FilmSettings(Settings):
    """What every task that makes a video is asked with."""

    codec: Codec = _setting(
        "How the result is encoded; where only a part is made, prores4444 and vp9 are transparent around it.",
        changes_result=True,
        default="h264",
    )
    crf: int | None = _setting(
        "The encoder's rate factor: lower is better and larger; by default it follows the quality.",
        changes_result=True,
        default=None,
        ge=0,
        le=51,
    )
    frames_out: Place | None = _setting(
        "Also write each frame of the result into this folder, as 00000.png and so on.",
        changes_result=False,
        default=None,
    )


class InpaintSettings(FilmSettings, ProPainterSettings):
    """Remove an object from a video: what a mask marks is filled with what other frames show there."""

    engine: Literal["auto", "flow", "propainter"] = _engine_setting()
    resize_ratio: float | None = _setting(
        "Compute at this share of the width and height; only what is filled loses sharpness.",
        changes_result=True,
        default=None,
        gt=0,
        le=1,
    )
    width: int | None = _setting(
        "Compute at this width; the height follows unless it is given too.",
        changes_result=True,
        unit="px",
        default=None,
        ge=64,
    )
    height: int | None = _setting(
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
        if self.engine == "flow" and (self.outpaints or self.reference_output):
            what = "outpaint" if self.outpaints else "give the published output"
            raise ValueError(f"the engine flow cannot {what}: leave engine out, or say propainter")
        return self


def _portrait_setting(sentence: str, **limits: Any) -> Any:
    """A setting of the published system LivePortrait, by its name there."""
    return _setting(sentence, changes_result=True, engine="liveportrait", **limits)


class PortraitOptions(BaseModel):
    """How a portrait follows: the options of LivePortrait under the names that they have in the field.

    The defaults are those of the published command line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flag_relative_motion: bool = _portrait_setting(
        "Add the change since the driving's first frame; otherwise take its motion as it is.", default=True
    )
    driving_option: Literal["expression-friendly", "pose-friendly"] = _portrait_setting(
        "Fit the driving motion to the size of the source face, or leave it.", default="expression-friendly"
    )
    driving_multiplier: float = _portrait_setting(
        "How much of the motion is taken.", default=1.0, ge=0, le=10
    )
    animation_region: Region = _portrait_setting(
        "What moves: all, the expression, the pose of the head, lips or eyes.", default="all"
    )
    flag_stitching: bool = _portrait_setting("Keep the shoulders where they are.", default=True)
    flag_normalize_lip: bool = _portrait_setting("Close the source's lips first.", default=False)
    flag_eye_retargeting: bool = _portrait_setting(
        "Open the eyes as far as the driving ones, instead of relative motion.", default=False
    )
    flag_lip_retargeting: bool = _portrait_setting(
        "Open the lips as far as the driving ones, instead of relative motion.", default=False
    )
    flag_source_video_eye_retargeting: bool = _portrait_setting(
        "Open the eyes of a source video as far as in its first frame.", default=False
    )
    driving_smooth_observation_variance: float = _portrait_setting(
        "How smooth the motion of a source video becomes: more is smoother.", default=3e-7, gt=0, le=1
    )
    flag_do_crop: bool = _portrait_setting("Find the face of the source and cut it out.", default=True)
    flag_pasteback: bool = _portrait_setting("Put the result back into the source.", default=True)
    flag_do_rot: bool = _portrait_setting("Turn the source's cut-out upright.", default=True)
    flag_crop_driving_video: bool = _portrait_setting(
        "Cut the face out of the driving video, too; one that is not square is cut in any case.",
        default=False,
    )
    scale: float = _portrait_setting(
        "The side of the source's cut-out, in faces.", default=2.3, ge=0.1, le=10
    )
    vx_ratio: float = _portrait_setting(
        "Shift it to the right, by a share of its side.", default=0.0, ge=-1, le=1
    )
    vy_ratio: float = _portrait_setting("Shift it down, by a share of its side.", default=-0.125, ge=-1, le=1)
    scale_crop_driving_video: float = _portrait_setting(
        "The side of the driving's cut-out, in faces.", default=2.2, ge=0.1, le=10
    )
    vx_ratio_crop_driving_video: float = _portrait_setting(
        "Shift the driving's cut-out to the right, by a share of its side.", default=0.0, ge=-1, le=1
    )
    vy_ratio_crop_driving_video: float = _portrait_setting(
        "Shift the driving's cut-out down, by a share of its side.", default=-0.1, ge=-1, le=1
    )
    source_max_dim: int = _portrait_setting(
        "The longer side of a source; a larger one is made smaller.",
        unit="px",
        default=1280,
        ge=64,
        le=16384,
    )
    source_division: int = _portrait_setting(
        "A source's sides are cut to multiples of this.", unit="px", default=2, ge=1, le=64
    )

    @property
    def retargets(self) -> bool:
        """Whether eyes or lips are asked for in place of the driving motion."""
        return self.flag_eye_retargeting or self.flag_lip_retargeting

    @property
    def moves_all(self) -> bool:
        """Whether the head moves, and not only what is in the face."""
        return self.animation_region in ("all", "pose")


_FACE_BOX = _written_as(
    rf"{_NUMBER}(,{_NUMBER}){{3}}", "Write x,y,width,height in pixels, for example 120,80,200,240"
)


class AnimateSettings(PortraitOptions, FilmSettings):
    """Make a portrait follow a driving video."""

    engine: Literal["auto", "flowwarp", "liveportrait"] = _engine_setting()
    audio: Literal["driving", "source", "none"] = _setting(
        "Whose sound the result has.", changes_result=True, default="driving"
    )
    side_by_side: bool = _setting(
        "Show source, driving and result beside each other.", changes_result=True, default=False
    )
    face: str = _setting(
        "Which of several faces of the source: largest, all, or its number from the left.",
        changes_result=True,
        default="largest",
        pattern=r"^(largest|all|[1-9]\d?)$",
    )
    driving_face: str = _setting(
        "Which of several faces of the driving: largest, or its number from the left.",
        changes_result=True,
        default="largest",
        pattern=r"^(largest|[1-9]\d?)$",
    )
    source_box: Annotated[str, _FACE_BOX] | None = _setting(
        "Where the source's face is, as x,y,width,height in pixels: from hairline to chin, from ear to ear.",
        changes_result=True,
        default=None,
    )
    driving_box: Annotated[str, _FACE_BOX] | None = _setting(
        "Where the driving's face is on its first frame, as x,y,width,height in pixels.",
        changes_result=True,
        default=None,
    )
    source_crop: Literal["auto", "none"] = _setting(
        "Whether the source's face is looked for; none takes the whole picture for one.",
        changes_result=True,
        default="auto",
    )
    faces: Literal["auto", "builtin", "insightface"] = _setting(
        "What finds faces: the built-in face box, or the published models with landmarks; auto takes them where "
        "they are there.",
        changes_result=True,
        engine="liveportrait",
        default="auto",
    )
    batch_size: int | None = _batch_setting("liveportrait")

    @model_validator(mode="before")
    @classmethod
    def _one_word_for_both(cls, asked: Any) -> Any:
        """`source_crop` none is the published `flag_do_crop` off, for all engines."""
        if not isinstance(asked, dict):
            return asked
        if asked.get("source_crop") == "none":
            return {**asked, "flag_do_crop": False}
        return {**asked, "source_crop": "none"} if asked.get("flag_do_crop") is False else asked


MODELS: dict[str, type[Settings]] = {
    "score": ScoreSettings,
    "copy": CopySettings,
    "inpaint": InpaintSettings,
    "track": TrackSettings,
    "animate": AnimateSettings,
}
"""The settings model of each task, by the task's name."""
