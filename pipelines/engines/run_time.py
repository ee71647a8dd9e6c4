"""About how long a run takes: what was measured of each engine, so much a frame and so much a pixel. A table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Seconds a frame, and seconds a pixel of the size at which the engine computes; of Q-Align, a gigaflop.

    `shared`: seconds of one core, and all cores share them.
    """

    frame_seconds: float
    work_seconds: float
    shared: bool = False


_START_SECONDS = 2.0

PACES: dict[tuple[str, str, str], Pace] = {
    # tests/bench/results/liveportrait.md: 7.2 seconds of a core for a frame; then pasting and the encoder.
    ("animate", "liveportrait", "cpu"): Pace(7.3, 4.1e-8, shared=True),
    # tests/bench/results/score.md: 655 frames a second at 854 x 480, 220 at 1920 x 1080, on two cores.
    ("score", "builtin", "cpu"): Pace(0.8e-3, 1.8e-9),
    # tests/bench/results/qalign_full.md: 33 seconds of a core for a frame and its window of three, 3,600 gigaflops.
    ("score", "qalign", "cpu"): Pace(0.0, 9.2e-3, shared=True),
    # tests/bench/results/flowfill.md: about 26 frames a second at 432 x 240, 14 at 854 x 480, of one core.
    ("inpaint", "flow", "cpu"): Pace(27e-3, 1.08e-7),
    # tests/bench/bench_propainter.py: 6.4 seconds of a core for a frame of 432 x 240.
    ("inpaint", "propainter", "cpu"): Pace(0.0, 6.2e-5, shared=True),
    # tests/bench/results/animate.md: 33 frames a second of one core at 512 x 512, the encoder and all included.
    ("animate", "flowwarp", "cpu"): Pace(24e-3, 2.0e-8),
}
"""By task, engine and kind of device (`cpu`, `cuda`, `mps`): on other machines it takes longer, or less."""


def expected_seconds(
    task: str, engine: str, device: str, frames: int, work: int, cores: int = 1
) -> float | None:
    """How long `frames` of so much `work` each take, roughly; None where nobody has measured it."""
    pace = PACES.get((task, engine, device))
    if pace is None:
        return None
    seconds = frames * (pace.frame_seconds + work * pace.work_seconds)
    return round(_START_SECONDS + (seconds / cores if pace.shared else seconds), 1)
