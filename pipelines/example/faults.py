"""Faults of the example clip, and where they are. Plain data: the page shows it without drawing anything."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

FRAMES = 300
"""Length in frames: 12 s."""
FRAME_RATE = Fraction(25)
WIDTH, HEIGHT = 640, 360

Kind = Literal["defocus", "motion_blur", "frozen", "dark", "cut", "shake", "soft"]


@dataclass(frozen=True)
class Fault:
    """One fault on frames `[start, stop)`; a cut is the first frame of the new shot.

    `blurs` tells whether these frames are less sharp than their neighbours.
    """

    kind: Kind
    start: int
    stop: int
    english: str
    chinese: str
    blurs: bool = False

    def __contains__(self, frame: float) -> bool:
        return self.start <= frame < self.stop

    @property
    def seconds(self) -> tuple[float, float]:
        """Start and end in seconds."""
        return float(self.start / FRAME_RATE), float(self.stop / FRAME_RATE)


FAULTS = (
    Fault("defocus", 44, 66, "The lens loses focus and finds it again.", "镜头失焦，然后重新对焦。", True),
    Fault("motion_blur", 92, 104, "The camera is jerked aside.", "镜头猛地甩动，画面拖影。", True),
    Fault("frozen", 130, 146, "The picture stands still; the sound goes on.", "画面卡住不动，声音继续。"),
    Fault("dark", 170, 194, "The picture is far too dark.", "画面过暗。"),
    Fault(
        "cut",
        214,
        215,
        "A cut to another scene: no fault, but marked.",
        "切换到另一个场景：不是问题，但会标出。",
    ),
    Fault("shake", 232, 248, "The camera shakes, and stays sharp.", "镜头抖动，但画面清晰。"),
    Fault("soft", 264, 276, "The picture is a little soft.", "画面略微发虚。", True),
)
"""In order, without overlaps. Every other frame is sharp and differs from the one before."""


def fault_at(frame: int, *kinds: Kind) -> Fault | None:
    """Return the fault of one of these kinds (of any kind, if none is given) on frame `frame`."""
    return next((f for f in FAULTS if frame in f and (not kinds or f.kind in kinds)), None)
