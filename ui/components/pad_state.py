"""What the removal tab remembers of its pad: the frame on it, marks that wait for their video, and links to frames."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class PadFrame:
    """The frame on the pad: frame `index` of a video of `frames` frames of `size` (width, height)."""

    size: tuple[int, int]
    frames: int
    index: int = 0


@dataclass(frozen=True)
class KeptMarks:
    """Marks, as the pad writes them, that belong to the upload at `video`."""

    video: str | None = None
    strokes: str = ""
    boxes: str = ""
    points: str = ""
    frame: int | None = None
    """The frame to show first, where it is a certain one."""

    @property
    def first_frame(self) -> int:
        """The frame to show first: a certain one, else the first that is marked, 0 where none is."""
        if self.frame is not None:
            return self.frame
        marks = f"{self.strokes} {self.boxes} {self.points}".split()
        return min(
            (int(frame) for _, _, frame in (mark.rpartition("@") for mark in marks) if frame.isdecimal()),
            default=0,
        )


def linked(link: str) -> tuple[int | None, str]:
    """Frame and name of the video of a link in a report, `frame@name#time`; no frame where it is none."""
    frame, _, name = link.rpartition("#")[0].partition("@")
    return (int(frame) if re.fullmatch("[0-9]{1,9}", frame) else None), name
