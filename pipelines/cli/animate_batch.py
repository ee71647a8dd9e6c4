"""A portrait with a folder of driving videos: one row for each."""

from dataclasses import dataclass

from pipelines.cli.batch import Row


@dataclass(frozen=True)
class AnimateRow(Row):
    """One driving's row: frames, those on which nobody was followed, and how much motion was asked for at most."""

    frames_at_rest: int = 0
    most_shift_eye_distances: float | None = None
    most_turn_degrees: float | None = None
