"""What animating a portrait is asked with."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from pipelines.settings.base import (
    NUMBER,
    Machine,
    batch_setting,
    setting,
    written_as,
)
from pipelines.settings.video_output import FilmSettings

Region = Literal["all", "exp", "pose", "lip", "eyes"]
"""What of a portrait moves."""


def _portrait_setting(sentence: str, **limits: Any) -> Any:
    """A setting of the published system LivePortrait, by its name there."""
    return setting(sentence, changes_result=True, engine="liveportrait", **limits)


class SourceCut(BaseModel):
    """How a portrait is cut out of its source and put back, for LivePortrait's networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flag_stitching: bool = _portrait_setting("Keep the shoulders where they are.", default=True)
    flag_do_crop: bool = _portrait_setting("Find the face of the source and cut it out.", default=True)
    flag_pasteback: bool = _portrait_setting("Put the result back into the source.", default=True)
    flag_do_rot: bool = _portrait_setting("Turn the source's cut-out upright.", default=True)
    scale: float = _portrait_setting(
        "The side of the source's cut-out, in faces.", default=2.3, ge=0.1, le=10
    )
    vx_ratio: float = _portrait_setting(
        "Shift it to the right, by a share of its side.", default=0.0, ge=-1, le=1
    )
    vy_ratio: float = _portrait_setting("Shift it down, by a share of its side.", default=-0.125, ge=-1, le=1)
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


_FACE_BOX = written_as(
    rf"{NUMBER}(,{NUMBER}){{3}}", "Write x,y,width,height in pixels, for example 120,80,200,240"
)


class SourceFace(SourceCut, Machine):
    """Whose face in a source is meant, and what finds it."""

    face: str = setting(
        "Which of several faces of the source: largest, all, or its number from the left.",
        changes_result=True,
        default="largest",
        pattern=r"^(largest|all|[1-9]\d?)$",
    )
    source_box: Annotated[str, _FACE_BOX] | None = setting(
        "Where the source's face is, as x,y,width,height in pixels: from hairline to chin, from ear to ear.",
        changes_result=True,
        default=None,
    )
    source_crop: Literal["auto", "none"] = setting(
        "Whether the source's face is looked for; none takes the whole picture for one.",
        changes_result=True,
        default="auto",
    )
    faces: Literal["auto", "builtin", "insightface"] = setting(
        "What finds faces: the built-in face box, or the published models with landmarks; auto takes them where "
        "they are there.",
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
        return {**asked, "source_crop": "none"} if asked.get("flag_do_crop") is False else asked


class PortraitOptions(SourceCut):
    """How a portrait follows: the options of LivePortrait under the names that they have in the field.

    The defaults are those of the published command line.
    """

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
    flag_crop_driving_video: bool = _portrait_setting(
        "Cut the face out of the driving video, too; one that is not square is cut in any case.",
        default=False,
    )
    scale_crop_driving_video: float = _portrait_setting(
        "The side of the driving's cut-out, in faces.", default=2.2, ge=0.1, le=10
    )
    vx_ratio_crop_driving_video: float = _portrait_setting(
        "Shift the driving's cut-out to the right, by a share of its side.", default=0.0, ge=-1, le=1
    )
    vy_ratio_crop_driving_video: float = _portrait_setting(
        "Shift the driving's cut-out down, by a share of its side.", default=-0.1, ge=-1, le=1
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
        "Whose sound the result has.", changes_result=True, default="driving"
    )
    side_by_side: bool = setting(
        "Show source, driving and result beside each other.", changes_result=True, default=False
    )
    driving_face: str = setting(
        "Which of several faces of the driving: largest, or its number from the left.",
        changes_result=True,
        default="largest",
        pattern=r"^(largest|[1-9]\d?)$",
    )
    driving_box: Annotated[str, _FACE_BOX] | None = setting(
        "Where the driving's face is on its first frame, as x,y,width,height in pixels.",
        changes_result=True,
        default=None,
    )
    batch_size: int | None = batch_setting("liveportrait")


_KEY = rf"(1?\d|20):-?{NUMBER}(,-?{NUMBER}){{2}}"
Key = Annotated[str, written_as(_KEY, "Write point:x,y,z with a point of 0 to 20, for example 14:0,0.02,0")]


def _turn_setting(sentence: str) -> Any:
    return setting(sentence, changes_result=True, unit="degrees", default=0.0, ge=-45, le=45)


class PoseSettings(SourceFace):
    """Pose a portrait by hand: turn its head, open its eyes and lips, move single points of its expression."""

    pitch: float = _turn_setting("Nod: degrees by which the head is pitched.")
    yaw: float = _turn_setting("Turn: degrees by which the head is turned to the side.")
    roll: float = _turn_setting("Lean: degrees by which the head is tilted.")
    eyes: float = setting(
        "How much farther the eyes open, in widths of an eye; less than 0 shuts them.",
        changes_result=True,
        default=0.0,
        ge=-0.8,
        le=0.8,
    )
    lips: float = setting(
        "How much farther the lips open, in widths of the mouth; less than 0 shuts them.",
        changes_result=True,
        default=0.0,
        ge=-0.8,
        le=0.8,
    )
    key: tuple[Key, ...] = setting(
        "A point of the expression to move, as point:x,y,z; several are moved together.",
        changes_result=True,
        default=(),
    )
