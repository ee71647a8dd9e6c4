"""The table behind the presets: `tiers.toml`, read and checked."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

VramTier = Literal["none", "4gb", "6gb", "8gb", "12gb", "16gb", "24gb"]
HostTier = Literal["8gb", "16gb", "32gb", "64gb"]
Quality = Literal["draft", "balanced", "high", "ultimate"]
Length = Literal["short", "medium", "long"]
Precision = Literal["float32", "float16"]

V = TypeVar("V")


class TiersError(ValueError):
    """The table is missing something, or holds something that is not known: which, in a sentence."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AnalysisWidth(_Row):
    """Width in pixels at which frames are analysed."""

    analysis_width: PositiveInt


class MaxSide(_Row):
    """The longer side in pixels up to which frames are computed."""

    max_side_px: PositiveInt


class EncodingQuality(_Row):
    """The encoder's constant rate factor: lower is better and larger."""

    crf: Annotated[int, Field(ge=0, le=51)]


class FilmQuality(EncodingQuality, MaxSide):
    """The size at which frames are computed, and how the result is encoded."""


class SpanLength(_Row):
    """Frames in a span."""

    span_frames: Annotated[int, Field(ge=2)]


class ReadAhead(_Row):
    """Decoded frames that wait, for frames of 1920 x 1080."""

    read_ahead_frames: PositiveInt


class Shape(_Row):
    """Window and batch in frames, and the numbers that a network computes with."""

    window_frames: PositiveInt
    batch_frames: PositiveInt
    precision: Precision


def _complete(rows: dict[str, V], tiers: tuple[str, ...]) -> dict[str, V]:
    missing = [tier for tier in tiers if tier not in rows]
    unknown = [tier for tier in rows if tier not in tiers]
    faults = [
        f"{word} {', '.join(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names
    ]
    if faults:
        raise ValueError("; ".join(faults))
    return rows


def _all_of(kind: object) -> AfterValidator:
    return AfterValidator(lambda rows: _complete(rows, get_args(kind)))


class Task(_Row):
    """What all tasks have: settings by length and by host."""

    length: Annotated[dict[str, SpanLength], _all_of(Length)]
    host: Annotated[dict[str, ReadAhead], _all_of(HostTier)]


class ScoreTask(Task):
    """Scoring computes on the CPU; nothing depends on a card."""

    quality: Annotated[dict[str, AnalysisWidth], _all_of(Quality)]


class CopyTask(Task):
    """Copying encodes on the CPU."""

    quality: Annotated[dict[str, EncodingQuality], _all_of(Quality)]


class TrackTask(Task):
    """Following computes on the CPU, and what it found is encoded to be looked at."""

    quality: Annotated[dict[str, EncodingQuality], _all_of(Quality)]


class NetworkTask(Task):
    """A task whose window and batch depend on the card."""

    vram: Annotated[dict[str, Shape], _all_of(VramTier)]


class MostPixels(_Row):
    """Up to how many pixels a network computes at; the rest is solved for each video."""

    most_pixels: PositiveInt


class InpaintTask(Task):
    """Inpainting says how its result is encoded, and, where a network fills, at which size that computes."""

    vram: Annotated[dict[str, MostPixels], _all_of(VramTier)]
    quality: Annotated[dict[str, FilmQuality], _all_of(Quality)]


class AnimateTask(NetworkTask):
    """Animation says how large a portrait may be, and how its result is encoded."""

    quality: Annotated[dict[str, FilmQuality], _all_of(Quality)]


AnyTask = ScoreTask | CopyTask | TrackTask | InpaintTask | AnimateTask


class Tiers(_Row):
    """The whole table. `vram` and `host` give the GiB from which on a machine belongs to a tier."""

    vram: Annotated[dict[str, float], _all_of(VramTier)]
    host: Annotated[dict[str, float], _all_of(HostTier)]
    score: ScoreTask
    copy_: Annotated[CopyTask, Field(alias="copy")]
    inpaint: InpaintTask
    track: TrackTask
    animate: AnimateTask

    @model_validator(mode="after")
    def _boundaries_rise(self) -> Self:
        for name, rows, kind in (("vram", self.vram, VramTier), ("host", self.host, HostTier)):
            bounds = [rows[tier] for tier in get_args(kind)]
            if bounds[0] != 0 or bounds != sorted(set(bounds)):
                raise ValueError(f"the boundaries of {name} must begin at 0 and rise, not {bounds}")
        return self

    def task(self, name: str) -> AnyTask:
        """The settings of one task. Raises ValueError for a name that is none."""
        tasks: Mapping[str, AnyTask] = {
            "score": self.score,
            "copy": self.copy_,
            "inpaint": self.inpaint,
            "track": self.track,
            "animate": self.animate,
        }
        if name not in tasks:
            raise ValueError(f"there are presets for {', '.join(tasks)}, not for {name!r}")
        return tasks[name]


def load_tiers(path: Path) -> Tiers:
    """Read a table. Raises TiersError with the place and the fault; OSError where the file cannot be read."""
    try:
        return Tiers.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise TiersError(f"{path.name} is no TOML: {error}") from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise TiersError(f"{path.name}: {'; '.join(faults)}") from error


@functools.cache
def own_tiers() -> Tiers:
    """The table that comes with the program, read once."""
    return load_tiers(Path(__file__).with_name("tiers.toml"))
