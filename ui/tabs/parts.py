"""What the tabs of tasks tell: their buttons, the contents of their forms, and what is wrong with files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipelines.settings import Settings


def _unchanged(settings: Settings) -> Settings:
    return settings


@dataclass(frozen=True)
class Action:
    """A button that submits a job of `task`; `change` derives its settings from those of the form."""

    name: str
    task: str
    variant: Literal["primary", "secondary"] = "primary"
    change: Callable[[Settings], Settings] = _unchanged


@dataclass(frozen=True)
class FormRequest:
    """The contents of a form: a video, the other files that the task reads, and settings."""

    video: str | None
    others: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True)
class FileProblem:
    """What a tab finds about a form's files beside the plan: a note as HTML, and whether it rules out a run."""

    note: str
    blocks: bool
