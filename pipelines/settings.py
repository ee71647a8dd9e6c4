"""The settings of the tasks: one field = type, range, default, unit and one sentence.

The page's form, the flags of the command line and the parameters of the API are made from these models;
nothing repeats a default. A field says in `json_schema_extra` its `unit` and whether it `changes_result`:
those that do are part of a job's id, the others say only how it is run.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator


def _setting(sentence: str, *, changes_result: bool, unit: str = "", **limits: Any) -> Any:
    extra: dict[str, JsonValue] = {"unit": unit, "changes_result": changes_result}
    return Field(description=sentence, json_schema_extra=extra, **limits)


class Settings(BaseModel):
    """What every task is asked with."""

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
    engine: Literal["auto", "builtin"] = _setting(
        "Which engine computes; auto takes the built-in one where weights are missing.",
        changes_result=True,
        default="auto",
    )
    weights: Path | None = _setting("Folder with published weights.", changes_result=False, default=None)
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
        """The settings that change the result, as plain JSON values: part of a job's id."""
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if _changes_result(type(self), name)
        }


def _changes_result(model: type[BaseModel], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra["changes_result"])


class ScoreSettings(Settings):
    """Sharpness, blur, frozen frames and smoothness of a video, frame by frame."""

    window: int = _setting(
        "Frames that a window score looks at.", changes_result=True, unit="frames", default=3, ge=1, le=99
    )


class CopySettings(Settings):
    """Decode and encode again, sound kept: the machinery without a task, to try it on a file."""


MODELS: dict[str, type[Settings]] = {"score": ScoreSettings, "copy": CopySettings}
"""The settings model of each task, by the task's name."""
