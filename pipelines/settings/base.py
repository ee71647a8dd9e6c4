"""The settings that all tasks share, and how a setting is declared."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pipelines.storage.names import StoredPath


def _absolute(path: Path) -> Path:
    try:
        there = path.expanduser().absolute()
        is_name = b"\0" not in os.fsencode(there)
    except (RuntimeError, UnicodeError):  # a home of nobody; characters that no file name has
        is_name = False
    if not is_name:
        raise ValueError("this is no path")
    return there


Place = Annotated[StoredPath, AfterValidator(_absolute)]
"""An absolute path: a job may run in another working directory."""

MOST_GB = 1e6
"""The highest limit of memory and disk, in GiB: more than any machine has, and its bytes are an exact integer."""
MOST_SECONDS = 1e9
"""The latest time in a video: 31 years, more than any has."""
MOST_PX = 65_536
"""The longest side of a picture, in pixels: more than the encoders take."""
MOST_PROMPTS = 1_000
"""The most boxes or points of a request; a hundred are many for an object that is corrected by hand."""

SettingsT = TypeVar("SettingsT", bound="Settings")


def setting(sentence: str, *, changes_result: bool, unit: str = "", engine: str = "", **limits: Any) -> Any:
    """Declare a field: its sentence, its unit, whether it is part of a job's id, and the one engine that has it."""
    extra: dict[str, JsonValue] = {"unit": unit, "changes_result": changes_result, "engine": engine}
    return Field(description=sentence, json_schema_extra=extra, **limits)


def engine_setting() -> Any:
    """Declare the choice of an engine; the registry (`pipelines.spec`) knows which a task has."""
    return setting(
        "The engine that computes; auto uses the network if its weights, a suitable GPU and licence consent are "
        "available, otherwise the built-in engine.",
        changes_result=True,
        default="auto",
        max_length=64,
        pattern="^[!-~]+$",
    )


def batch_setting(engine: str) -> Any:
    """Declare the largest batch of a network."""
    return setting(
        "Largest number of windows or frames that the network computes at once; by default as many as memory allows.",
        changes_result=False,
        engine=engine,
        default=None,
        ge=1,
        le=256,
    )


NUMBER = r"[0-9]{1,9}(\.[0-9]{1,20})?"
"""A number inside a setting that is text. `\\d` would take the digits of every script, without end."""
INDEX = "[0-9]{1,9}"
"""The number of a frame inside a setting that is text."""


def written_as(pattern: str, sentence: str) -> AfterValidator:
    """Validate text against `pattern`; `sentence` is the error that says how to write it."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check)


class Machine(BaseModel):
    """Where to compute, and within which limits; none of this changes a result."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: Literal["auto", "none", "4gb", "6gb", "8gb", "12gb", "16gb", "24gb"] = setting(
        "Behave as on a GPU with this much memory; auto detects it.", changes_result=False, default="auto"
    )
    device: str = setting(
        "Where networks run: auto, cpu, cuda, cuda:1, mps.",
        changes_result=False,
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$",
    )
    ram_limit_gb: float | None = setting(
        "Limit on host memory, all processes together.",
        changes_result=False,
        unit="GiB",
        default=None,
        gt=0,
        le=MOST_GB,
    )
    vram_limit_gb: float | None = setting(
        "Limit on GPU memory.", changes_result=False, unit="GiB", default=None, gt=0, le=MOST_GB
    )
    weights: Place | None = setting(
        "Folder with the published weights; no other place is searched then.",
        changes_result=False,
        default=None,
    )


class Settings(Machine):
    """The settings that all tasks share."""

    quality: Literal["draft", "balanced", "high", "ultimate"] = setting(
        "Higher quality takes longer.", changes_result=True, default="balanced"
    )
    start: float | None = setting(
        "Start time in the video.", changes_result=True, unit="s", default=None, ge=0, le=MOST_SECONDS
    )
    end: float | None = setting(
        "End time in the video.", changes_result=True, unit="s", default=None, gt=0, le=MOST_SECONDS
    )
    engine: str = engine_setting()
    decoder: Literal["auto", "decord", "pyav", "ffmpeg"] = setting(
        "The decoding library; auto uses the fastest one that is exact for the file.",
        changes_result=True,
        default="auto",
    )
    salvage: bool = setting(
        "Use the readable part of a damaged file instead of refusing it.", changes_result=True, default=False
    )

    @model_validator(mode="after")
    def _end_after_start(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"end ({self.end:g} s) must come after start ({self.start or 0:g} s)")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the settings that change this engine's result, as plain JSON values: part of a job's id."""
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if _told(type(self), name, "changes_result") and engine_of(type(self), name) in ("", self.engine)
        }


_FLAG = TypeAdapter(bool)


def asked_flag(asked: dict[str, Any], name: str) -> bool | None:
    """Return the flag `name` as its field will read it (0, "off" and False are one); None where it is no flag."""
    try:
        return _FLAG.validate_python(asked.get(name))
    except ValidationError:
        return None


def engine_of(model: type[BaseModel], name: str) -> str:
    """Return the one engine that has the setting `name`; empty where all engines do."""
    return str(_told(model, name, "engine"))


def _told(model: type[BaseModel], name: str, what: str) -> JsonValue:
    extra = model.model_fields[name].json_schema_extra
    return extra[what] if isinstance(extra, dict) else ""


TRIAL_SECONDS = 2.0


def trial(settings: SettingsT) -> SettingsT:
    """Return `settings` limited to the first two seconds of the requested range."""
    end = (settings.start or 0.0) + TRIAL_SECONDS
    return settings.model_copy(update={"end": end if settings.end is None else min(end, settings.end)})
