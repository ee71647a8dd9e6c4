"""Estimated run time, from the measured speed of the engine."""

from pipelines.spec import EngineSpec

_START_SECONDS = 2.0
"""Start of a worker with the imports of the lightest engine: measured at 1.5 to 2.5 s."""
_SLICE_CORES = 150
"""So many cores of the CPU's measured pace a lent GPU is taken for, until its first call has been measured.

An assumption, since none was at hand: with it Q-Align's 3,600 gigaflops a frame take 0.22 s.
"""


def expected_seconds(engine: EngineSpec, device: str, frames: int, work: int, cores: int = 1) -> float | None:
    """Estimate the seconds for `frames` of `work` each on a kind of `device`; None if it has not been measured there.

    `work` is in the unit of the engine's `Pace`. Real times vary with the speed of the machine.
    """
    pace = engine.pace.get(device)
    if pace is None:
        return None
    seconds = frames * (pace.frame_seconds + work * pace.work_seconds)
    return round(_START_SECONDS + (seconds / cores if pace.shared else seconds), 1)


def lent_frame_seconds(engine: EngineSpec, work: int) -> float | None:
    """Estimate the seconds for a frame of `work` on a GPU that is lent call by call; None where nothing is known."""
    if pace := engine.pace.get("cuda"):
        return pace.frame_seconds + work * pace.work_seconds
    if (pace := engine.pace.get("cpu")) and pace.shared:
        return (pace.frame_seconds + work * pace.work_seconds) / _SLICE_CORES
    return None
