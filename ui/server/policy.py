"""The policy of a server: whose jobs a visitor sees, limits on files and jobs, and how much is kept."""

import ipaddress
import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import BadInput
from pipelines.storage.names import quoted


class Policy(BaseModel):
    """The rules of one server. None is no limit. Sizes are GiB (files, disk, memory) and megapixels (a frame)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    local: bool = Field(default=True, description="One person at this machine: sees every job.")
    behind_proxy: bool = Field(
        default=False, description="A proxy stands before the page and tells where a visitor comes from."
    )
    on_disconnect: Literal["continue", "pause"] = Field(
        default="continue", description="What becomes of a visitor's jobs when their last tab has closed."
    )
    ram_limit_gb: float | None = Field(default=None, gt=0, description="No job may hold more host memory.")
    jobs_max_gb: float | None = Field(
        default=None, gt=0, description="Disk for jobs and uploads; the oldest finished ones make room."
    )
    allowed_hosts: tuple[str, ...] = Field(default=(), description="Names that the server answers to, too.")
    allowed_origins: tuple[str, ...] = Field(default=(), description="Other sites whose pages may ask.")
    visitor_max_gb: float | None = Field(
        default=None, gt=0, description="Disk for one visitor's uploads and pictures that belong to no job."
    )
    max_file_gb: float = Field(default=64, gt=0, description="Largest accepted file.")
    max_megapixels: float | None = Field(
        default=None, gt=0, description="Largest accepted frame, portrait or mask."
    )
    max_minutes: float | None = Field(default=None, gt=0, description="Longest accepted video.")
    max_waiting: int = Field(default=200, ge=1, description="Jobs that may wait, of all visitors together.")
    max_jobs_per_visitor: int | None = Field(
        default=None, ge=1, description="Jobs of one visitor that may wait or run at a time."
    )
    inspect_at_once: int = Field(
        default=4,
        ge=1,
        description="Files that are inspected at a time, at most half of them of one visitor.",
    )
    inspect_max_gb: float = Field(default=8, gt=0, description="No inspection may hold more host memory.")

    @classmethod
    def public(cls) -> Self:
        """The rules for a page that others can reach, by address or by a shared link."""
        return cls(
            local=False,
            jobs_max_gb=50,
            visitor_max_gb=10,
            max_file_gb=4,
            max_megapixels=9,
            max_minutes=180,
            max_waiting=24,
            max_jobs_per_visitor=3,
            inspect_max_gb=2,
        )

    @classmethod
    def space(cls) -> Self:
        """The rules for a Hugging Face Space on free hardware: 2 cores, 16 GB of memory, 50 GB of disk."""
        return cls(
            local=False,
            behind_proxy=True,
            on_disconnect="pause",
            ram_limit_gb=12,
            jobs_max_gb=20,
            visitor_max_gb=4,
            max_file_gb=1,
            max_megapixels=2.1,
            max_minutes=20,
            max_waiting=12,
            max_jobs_per_visitor=2,
            inspect_max_gb=2,
        )

    @property
    def most_pixels(self) -> int | None:
        """Pixels of the largest accepted frame or picture."""
        return None if self.max_megapixels is None else int(self.max_megapixels * 1e6)

    @property
    def inspect_at_once_of_one(self) -> int:
        """Inspections of one visitor at a time."""
        return (self.inspect_at_once + 1) // 2

    def changed(self, **overrides: object) -> Self:
        """These rules with the `overrides` that are not None. Raises BadInput where a value cannot be used."""
        changes = {name: value for name, value in overrides.items() if value is not None}
        if (
            self.visitor_max_gb
            and "visitor_max_gb" not in changes
            and isinstance(disk := changes.get("jobs_max_gb"), float)
        ):
            # Of little disk, one visitor gets half at most.
            changes["visitor_max_gb"] = min(self.visitor_max_gb, disk / 2)
        try:
            return self.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            first = error.errors()[0]
            flag = _flag(str(first["loc"][0]))
            raise BadInput(
                f"{flag}: {first['msg']}, not {quoted(first['input'])}.", "See `--help`."
            ) from error


def is_loopback(server_name: str) -> bool:
    """Whether only programs of this machine reach what listens on `server_name`."""
    try:
        return ipaddress.ip_address(server_name.strip("[]")).is_loopback
    except ValueError:
        return server_name == "localhost"


def gib(size: str) -> float:
    """Parse a size such as `500mb` or `4gb` into GiB; a gb is 1024 mb. Raises BadInput."""
    found = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([kmgt])b\s*", size, re.IGNORECASE)
    if not found:
        raise BadInput(f"{quoted(size)} is no size.", "Write it as 500mb or 4gb.")
    return float(found[1]) * 1024.0 ** ("kmgt".index(found[2].lower()) - 2)


def sentence(name: str) -> str:
    """The help text of a rule's flag: its description and its default on each kind of server."""
    kinds = (Policy(), "for this machine"), (Policy.public(), "for others"), (Policy.space(), "on a Space")
    values = ", ".join(f"{_shown(name, getattr(policy, name))} {where}" for policy, where in kinds)
    return f"{Policy.model_fields[name].description} Default: {values}."


_UNITS = {
    "ram_limit_gb": " GiB",
    "jobs_max_gb": " GiB",
    "visitor_max_gb": " GiB",
    "inspect_max_gb": " GiB",
    "max_file_gb": "gb",
    "max_megapixels": " megapixels",
    "max_minutes": " minutes",
}


def _shown(name: str, value: object) -> str:
    return (
        "none"
        if value is None
        else f"{value:g}{_UNITS[name]}"
        if isinstance(value, (int, float)) and name in _UNITS
        else str(value)
    )


def _flag(name: str) -> str:
    return "--max-file-size" if name == "max_file_gb" else f"--{name.replace('_', '-')}"
