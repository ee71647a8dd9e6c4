"""The tables behind the presets: `tiers.toml`, read and checked. Knows no task by name."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

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
Value = int | str

V = TypeVar("V")


class TiersError(ValueError):
    """A table lacks something, or holds something unknown; the message says which."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def values(self) -> dict[str, Value]:
        """The values that are set, by name."""
        return self.model_dump(exclude_none=True)


class QualityRow(_Row):
    """What a quality decides, and with it the result."""

    analysis_width: PositiveInt | None = None
    """Width in pixels at which frames are analysed."""
    max_side_px: PositiveInt | None = None
    """The longer side in pixels up to which frames are computed."""
    crf: Annotated[int, Field(ge=0, le=51)] | None = None
    """The encoder's constant rate factor: lower is better and larger."""


class SpanLength(_Row):
    """Frames in a span."""

    span_frames: Annotated[int, Field(ge=2)]


class ReadAhead(_Row):
    """Decoded frames that wait, for frames of 1920 x 1080."""

    read_ahead_frames: PositiveInt


class DeviceRow(_Row):
    """What a GPU's memory decides for a network: the planner starts from it."""

    most_pixels: PositiveInt | None = None
    """Up to how many pixels a network computes at; the rest is solved for each video."""
    window_frames: PositiveInt | None = None
    batch_frames: PositiveInt | None = None
    precision: Literal["float32", "float16"] | None = None


def _complete(rows: dict[str, V], tiers: tuple[str, ...]) -> dict[str, V]:
    missing = [tier for tier in tiers if tier not in rows]
    unknown = [tier for tier in rows if tier not in tiers]
    faults = [
        f"{word} {', '.join(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names
    ]
    if faults:
        raise ValueError("; ".join(faults))
    named = {tier: set(row.values()) for tier, row in rows.items() if isinstance(row, _Row)}
    for tier, names in named.items():
        if lacking := set().union(*named.values()) - names:
            raise ValueError(f"{tier} lacks {', '.join(sorted(lacking))}, which others have")
    return rows


def _all_of(kind: object) -> AfterValidator:
    return AfterValidator(lambda rows: _complete(rows, get_args(kind)))


class TaskPresets(BaseModel):
    """The presets of one task: values by quality, by the video's length, by the host's memory and by the GPU's.

    What changes a result depends on the quality alone, never on the machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: Annotated[dict[str, QualityRow], _all_of(Quality)]
    length: Annotated[dict[str, SpanLength], _all_of(Length)]
    host: Annotated[dict[str, ReadAhead], _all_of(HostTier)]
    vram: Annotated[dict[str, DeviceRow], _all_of(VramTier)] | None = None
    """None where nothing depends on a GPU."""


class Tiers(BaseModel):
    """All tables: `vram` and `host` give the GiB from which on a machine belongs to a tier, every other is a task's."""

    model_config = ConfigDict(frozen=True)

    vram: Annotated[dict[str, float], _all_of(VramTier)]
    host: Annotated[dict[str, float], _all_of(HostTier)]
    tasks: dict[str, TaskPresets]

    @model_validator(mode="before")
    @classmethod
    def _other_tables_are_tasks(cls, tables: Any) -> Any:
        if not isinstance(tables, Mapping) or "tasks" in tables:
            return tables
        own = {name: tables[name] for name in ("vram", "host") if name in tables}
        return {**own, "tasks": {name: table for name, table in tables.items() if name not in own}}

    @model_validator(mode="after")
    def _boundaries_rise(self) -> Self:
        for name, rows, kind in (("vram", self.vram, VramTier), ("host", self.host, HostTier)):
            bounds = [rows[tier] for tier in get_args(kind)]
            if bounds[0] != 0 or bounds != sorted(set(bounds)):
                raise ValueError(f"the boundaries of {name} must begin at 0 and rise, not {bounds}")
        return self

    def task(self, name: str) -> TaskPresets:
        """The presets of the task called `name`. Raises TiersError where the table has none."""
        if name not in self.tasks:
            raise TiersError(f"there are presets for {', '.join(self.tasks)}, not for {name!r}")
        return self.tasks[name]


def load_tiers(path: Path) -> Tiers:
    """Read the tables in a TOML file. Raises TiersError with place and fault; OSError where it cannot be read."""
    try:
        return Tiers.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise TiersError(f"{path.name} is no TOML: {error}") from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])).removeprefix('tasks.')}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise TiersError(f"{path.name}: {'; '.join(faults)}") from error


@functools.cache
def own_tiers() -> Tiers:
    """The tables that come with the program, read once."""
    return load_tiers(Path(__file__).with_name("tiers.toml"))
