"""About how long a run takes, by what was measured of its engine."""

from pipelines.spec import EngineSpec

_START_SECONDS = 2.0
"""A worker's start, with the imports of the lightest engine: measured at 1.5 to 2.5."""


def expected_seconds(engine: EngineSpec, device: str, frames: int, work: int, cores: int = 1) -> float | None:
    """Estimate how long `frames` of so much `work` each take on a kind of `device`; None where nobody has measured it.

    On other machines than those that were measured it takes longer, or less.
    """
    pace = engine.pace.get(device)
    if pace is None:
        return None
    seconds = frames * (pace.frame_seconds + work * pace.work_seconds)
    return round(_START_SECONDS + (seconds / cores if pace.shared else seconds), 1)
