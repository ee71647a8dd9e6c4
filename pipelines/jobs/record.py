"""What is stored of a job in `job.json`: the request, and what its first start decided."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import BadInput
from pipelines.jobs.inputs import InputFile
from pipelines.settings import Settings
from pipelines.spec import read_settings


class Decision(BaseModel):
    """The preset and plan of the first start. A resume uses them again: equal plans give equal bytes."""

    model_config = ConfigDict(frozen=True)
    preset: dict[str, int | str]
    plan: dict[str, Any]
    threads: int = 0
    """Threads of networks on the CPU; 0: those of the machine, as with jobs of earlier versions."""


class JobRecord(BaseModel):
    """`job.json`: the request, and the decision that its first start made and every resume keeps."""

    model_config = ConfigDict(frozen=True)
    id: str
    task: str
    result_version: int
    created: float
    inputs: tuple[InputFile, ...] = Field(min_length=1)
    weights: tuple[InputFile, ...] = ()
    asked: dict[str, Any]
    decision: Decision | None = None

    @property
    def settings(self) -> Settings:
        """The settings asked for, as their model. Raises BadInput where they are those of another version."""
        try:
            return read_settings(self.task, self.asked)
        except ValidationError as error:
            first = error.errors()[0]
            what = ": ".join([*map(str, first["loc"]), first["msg"]])
            raise BadInput(
                f"The job {self.id} has settings that this version does not know ({what}).",
                "Delete it, or start it again with today's settings.",
                "job.unknown_settings",
            ) from error

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The hashes of the inputs' whole contents; empty where an earlier version looked at their ends only."""
        is_whole = all(known.fingerprint_kind == "sha256" for known in self.inputs)
        return tuple(known.fingerprint for known in self.inputs) if is_whole else ()
