"""What animating a portrait is asked with."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from pipelines.settings.base import (
    MOST_PROMPTS,
    NUMBER,
    Machine,
    asked_flag,
    batch_setting,
    setting,
    written_as,
)
from pipelines.settings.video_output import FilmSettings

Region = Literal["all", "exp", "pose", "lip", "eyes"]
"""What of a portrait moves."""


def _portrait_setting(sentence: str, **limits: Any) -> Any:
    """Declare a setting of the published system LivePortrait, under its name there."""
    return setting(sentence, changes_result=True, engine="liveportrait", **limits)


class SourceCut(BaseModel):
    """How the face is cropped from the source and pasted back, for LivePortrait's networks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    flag_stitching: bool = _portrait_setting("Keep the shoulders in place.", default=True)
    flag_do_crop: bool = _portrait_setting("Detect the face in the source and crop it.", default=True)
    flag_pasteback: bool = _portrait_setting("Paste the result back into the source.", default=True)
    flag_do_rot: bool = _portrait_setting("Rotate the source crop upright.", default=True)
    scale: float = _portrait_setting(
        "Side of the source crop, relative to the face.", default=2.3, ge=0.1, le=10
    )
    vx_ratio: float = _portrait_setting(
        "Shift the source crop to the right, as a fraction of its side.", default=0.0, ge=-1, le=1
    )
    vy_ratio: float = _portrait_setting(
        "Shift the source crop down, as a fraction of its side.", default=-0.125, ge=-1, le=1
    )
    source_max_dim: int = _portrait_setting(
        "Longest side of the source; a larger one is scaled down.",
        unit="px",
        default=1280,
        ge=64,
        le=16384,
    )
    source_division: int = _portrait_setting(
        "The sides of the source are cropped to multiples of this.", unit="px", default=2, ge=1, le=64
    )


_FACE_BOX = written_as(
    rf"{NUMBER}(,{NUMBER}){{3}}", "Write x,y,width,height in pixels, for example 120,80,200,240"
)


_COLOUR = written_as(
    r"white|black|gray|green|blue|#[0-9a-fA-F]{6}",
    "Write white, black, gray, green, blue, or a colour such as #00b140",
)


class SourceFace(SourceCut, Machine):
    """Which face of the source to animate, and what detects it."""

    face: str = setting(
        "Which face of the source: largest, all, or its number from the left.",
        changes_result=True,
        default="largest",
        pattern=r"^(largest|all|[1-9][0-9]?)$",
    )
    source_box: Annotated[str, _FACE_BOX] | None = setting(
        "Box of the face in the source, as x,y,width,height in pixels: hairline to chin, ear to ear.",
        changes_result=True,
        default=None,
    )
    background: Annotated[str, _COLOUR] = setting(
        "Colour behind transparent parts of the pictures: white, black, gray, green, blue, or #rrggbb.",
        changes_result=True,
        default="white",
    )
    source_crop: Literal["auto", "none"] = setting(
        "Whether to detect the face in the source; none takes the whole picture as the crop.",
        changes_result=True,
        default="auto",
    )
    faces: Literal["auto", "builtin", "insightface"] = setting(
        "Face detector: the built-in one, or the published models with landmarks; auto uses these if they are "
        "installed.",
        changes_result=True,
        engine="liveportrait",
        default="auto",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_word_for_both(cls, asked: Any) -> Any:
        """`source_crop` none is the published `flag_do_crop` off, for all engines."""
        if not isinstance(asked, dict):
            return asked
        if asked.get("source_crop") == "none":
            return {**asked, "flag_do_crop": False}
        return {**asked, "source_crop": "none"} if asked_flag(asked, "flag_do_crop") is False else asked


class PortraitOptions(SourceCut):
    """How the portrait follows the driving video: LivePortrait's options under their published names.

    The defaults are those of the published command line.
    """

    flag_relative_motion: bool = _portrait_setting(
        "Apply the motion relative to the first driving frame; otherwise apply it as it is.", default=True
    )
    driving_option: Literal["expression-friendly", "pose-friendly"] = _portrait_setting(
        "Scale the driving motion to the source face, or keep the driving head pose.",
        default="expression-friendly",
    )
    driving_multiplier: float = _portrait_setting("Strength of the motion.", default=1.0, ge=0, le=10)
    animation_region: Region = _portrait_setting(
        "What moves: everything, the expression, the head pose, the lips or the eyes.", default="all"
    )
    flag_normalize_lip: bool = _portrait_setting("Start from closed lips.", default=False)
    flag_eye_retargeting: bool = _portrait_setting(
        "Open the eyes as far as in the driving video, instead of relative motion.", default=False
    )
    flag_lip_retargeting: bool = _portrait_setting(
        "Open the lips as far as in the driving video, instead of relative motion.", default=False
    )
    flag_source_video_eye_retargeting: bool = _portrait_setting(
        "Keep the eyes of a source video as open as in its first frame.", default=False
    )
    driving_smooth_observation_variance: float = _portrait_setting(
        "Smoothing of the motion of a source video: higher is smoother.", default=3e-7, gt=0, le=1
    )
    flag_crop_driving_video: bool = _portrait_setting(
        "Crop the face from the driving video, too; one that is not square is always cropped.",
        default=False,
    )
    scale_crop_driving_video: float = _portrait_setting(
        "Side of the driving crop, relative to the face.", default=2.2, ge=0.1, le=10
    )
    vx_ratio_crop_driving_video: float = _portrait_setting(
        "Shift the driving crop to the right, as a fraction of its side.", default=0.0, ge=-1, le=1
    )
    vy_ratio_crop_driving_video: float = _portrait_setting(
        "Shift the driving crop down, as a fraction of its side.", default=-0.1, ge=-1, le=1
    )

    @property
    def retargets(self) -> bool:
        """Whether eyes or lips are asked for in place of the driving motion."""
        return self.flag_eye_retargeting or self.flag_lip_retargeting

    @property
    def moves_all(self) -> bool:
        """Whether the head moves, and not only what is in the face."""
        return self.animation_region in ("all", "pose")


class AnimateSettings(PortraitOptions, SourceFace, FilmSettings):
    """Make a portrait follow a driving video."""

    audio: Literal["driving", "source", "none"] = setting(
        "Audio track of the result.", changes_result=True, default="driving"
    )
    side_by_side: bool = setting(
        "Show source, driving video and result side by side.", changes_result=True, default=False
    )
    driving_face: str = setting(
        "Which face of the driving video: largest, or its number from the left.",
        changes_result=True,
        default="largest",
        pattern=r"^(largest|[1-9][0-9]?)$",
    )
    driving_box: Annotated[str, _FACE_BOX] | None = setting(
        "Box of the face in the first driving frame, as x,y,width,height in pixels.",
        changes_result=True,
        default=None,
    )
    batch_size: int | None = batch_setting("liveportrait")


_KEY = rf"(1?[0-9]|20):-?{NUMBER}(,-?{NUMBER}){{2}}"
Key = Annotated[str, written_as(_KEY, "Write point:x,y,z with a point of 0 to 20, for example 14:0,0.02,0")]


def _turn_setting(sentence: str) -> Any:
    return setting(sentence, changes_result=True, unit="degrees", default=0.0, ge=-45, le=45)


class PoseSettings(SourceFace):
    """Pose a portrait by hand: turn its head, open its eyes and lips, move single points of its expression."""

    pitch: float = _turn_setting("Nod: pitch of the head.")
    yaw: float = _turn_setting("Turn: yaw of the head.")
    roll: float = _turn_setting("Tilt: roll of the head.")
    eyes: float = setting(
        "How much further the eyes open, in eye widths; below 0 closes them.",
        changes_result=True,
        default=0.0,
        ge=-0.8,
        le=0.8,
    )
    lips: float = setting(
        "How much further the lips open, in mouth widths; below 0 closes them.",
        changes_result=True,
        default=0.0,
        ge=-0.8,
        le=0.8,
    )
    key: tuple[Key, ...] = setting(
        "Expression keypoint to move, as point:x,y,z; several are moved together.",
        changes_result=True,
        default=(),
        max_length=MOST_PROMPTS,
    )
