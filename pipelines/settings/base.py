"""What every task is asked with, and how a setting is told: type, range, default, unit and one sentence."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

Place = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A path that means the same wherever a job is run."""

SettingsT = TypeVar("SettingsT", bound="Settings")


def setting(sentence: str, *, changes_result: bool, unit: str = "", engine: str = "", **limits: Any) -> Any:
    """A field that says its sentence, its unit, whether it is part of a job's id, and for which one engine it is."""
    extra: dict[str, JsonValue] = {"unit": unit, "changes_result": changes_result, "engine": engine}
    return Field(description=sentence, json_schema_extra=extra, **limits)


def engine_setting() -> Any:
    """The choice of an engine; the registry (`pipelines.spec`) knows which a task has."""
    return setting(
        "Which engine computes; auto takes the network where its weights, a card that holds it and consent to its "
        "licence are there, and else the built-in one.",
        changes_result=True,
        default="auto",
    )


def batch_setting(engine: str) -> Any:
    """The largest batch of a network."""
    return setting(
        "Windows or frames that the network computes at once, at most; by default as many as memory allows.",
        changes_result=False,
        engine=engine,
        default=None,
        ge=1,
        le=256,
    )


NUMBER = r"\d+(\.\d+)?"
"""A number as it is written in a setting that is text."""


def written_as(pattern: str, sentence: str) -> AfterValidator:
    """For text of a form; `sentence` says which."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check)


class Machine(BaseModel):
    """Where anything computes, and within what; nothing of it changes a result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["auto", "none", "4gb", "6gb", "8gb", "12gb", "16gb", "24gb"] = setting(
        "Behave as on a card with this much memory; auto looks.", changes_result=False, default="auto"
    )
    device: str = setting(
        "Where networks run: auto, cpu, cuda, cuda:1, mps.",
        changes_result=False,
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    ram_limit_gb: float | None = setting(
        "Never hold more host memory than this, all processes together.",
        changes_result=False,
        unit="GiB",
        default=None,
        gt=0,
    )
    vram_limit_gb: float | None = setting(
        "Never hold more device memory than this.", changes_result=False, unit="GiB", default=None, gt=0
    )
    weights: Place | None = setting(
        "Folder with the engine's published weights; no other place is looked at then.",
        changes_result=False,
        default=None,
    )


class Settings(Machine):
    """What every task is asked with; each task says which engines it has."""

    quality: Literal["draft", "balanced", "high", "ultimate"] = setting(
        "Trade speed for detail.", changes_result=True, default="balanced"
    )
    start: float | None = setting(
        "Begin at this time of the video.", changes_result=True, unit="s", default=None, ge=0
    )
    end: float | None = setting(
        "Stop before this time of the video.", changes_result=True, unit="s", default=None, gt=0
    )
    engine: str = engine_setting()
    decoder: Literal["auto", "decord", "pyav", "ffmpeg"] = setting(
        "Which library decodes; auto takes the fastest that is exact for the file.",
        changes_result=True,
        default="auto",
    )
    salvage: bool = setting(
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


TRIAL_SECONDS = 2.0


def trial(settings: SettingsT) -> SettingsT:
    """`settings` for the first two seconds of what they ask for."""
    end = (settings.start or 0.0) + TRIAL_SECONDS
    return settings.model_copy(update={"end": end if settings.end is None else min(end, settings.end)})


class CopySettings(Settings):
    """Decode and encode again, sound kept: the machinery without a task, to try it on a file."""
