"""What a served page allows: whose jobs a visitor sees, how much one may ask for, what is kept and how long."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field


class Policy(BaseModel):
    """The rules of one server. None is no limit. Sizes are GiB (files, disk, memory) and megapixels (a frame)."""

    model_config = ConfigDict(frozen=True)

    local: bool = Field(default=True, description="One person at this machine: sees every job.")
    on_disconnect: Literal["continue", "pause"] = Field(
        default="continue", description="What becomes of a visitor's jobs when their last tab has closed."
    )
    ram_limit_gb: float | None = Field(default=None, gt=0, description="No job may hold more host memory.")
    jobs_max_gb: float | None = Field(
        default=None, gt=0, description="Disk for jobs and uploads; the oldest finished ones make room."
    )
    max_file_gb: float = Field(default=64, gt=0, description="Largest file that is taken.")
    max_megapixels: float | None = Field(default=None, gt=0, description="Largest frame that is taken.")
    max_minutes: float | None = Field(default=None, gt=0, description="Longest video that is taken.")
    max_waiting: int = Field(default=200, ge=1, description="Jobs that may wait, of all visitors together.")
    max_jobs_per_visitor: int | None = Field(
        default=None, ge=1, description="Jobs of one visitor that may wait or run at a time."
    )

    @classmethod
    def public(cls) -> Self:
        """For a page that others can reach: by address, by a shared link."""
        return cls(
            local=False,
            jobs_max_gb=50,
            max_file_gb=4,
            max_megapixels=9,
            max_minutes=180,
            max_waiting=24,
            max_jobs_per_visitor=3,
        )

    @classmethod
    def space(cls) -> Self:
        """For a Hugging Face Space on free hardware: 2 cores, 16 GB of memory, 50 GB of disk."""
        return cls(
            local=False,
            on_disconnect="pause",
            ram_limit_gb=12,
            jobs_max_gb=20,
            max_file_gb=1,
            max_megapixels=2.1,
            max_minutes=20,
            max_waiting=12,
            max_jobs_per_visitor=2,
        )
