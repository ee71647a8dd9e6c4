"""Local error of an animated face: what of it no part of the portrait explains, moved plainly."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from pipelines.animation.faces.aligned_view import FacePlacement

PER_SIDE, REACH = 96, 1.0
"""Pixels to a box side, and how far the compared views reach from the centre of the face, in box sides."""
PART, STEP, SLACK = 0.14, 0.07, 0.12
"""Side of a part, spacing of the parts, and how far a part may have moved within the head, in box sides."""
HEAD_SLACK = 0.4
"""How far the head may have moved, in box sides."""
FACE, UPPER = (0.0, 0.06, 0.42, 0.54), (slice(-0.3, 0.15), slice(-0.35, 0.35))
"""Ellipse of the compared parts, and what of the face tells where the head is: rows and columns."""
MOUTH, EYE = (0.0, 0.312, 0.2, 0.14), (0.2, -0.12, 0.17, 0.12)
"""Ellipses that a driving changes: the mouth, and what lids cover and uncover."""


def local_errors(result: Any, source: Any, placement: FacePlacement) -> dict[str, float]:
    """Return the largest error of a part of the face, RMS in grey levels, on the mouth, the eyes and the rest.

    The head is found by its upper face; around where that puts a part, the place of the source that explains it best
    is taken.
    """
    moved, still = (_view(picture, placement) for picture in (result, source))
    across, down = _head(moved, still)
    side, slack = round(PART * PER_SIDE), round(SLACK * PER_SIDE)
    errors = {"mouth": 0.0, "eyes": 0.0, "rest": 0.0}
    for x, y in _parts():
        left, top = _px(x) - side // 2, _px(y) - side // 2
        piece = moved[max(0, top + down) : top + down + side, max(0, left + across) : left + across + side]
        if piece.shape[:2] != (side, side):
            continue
        window = still[top - slack : top + side + slack, left - slack : left + side + slack]
        found = max(0.0, float(cv2.matchTemplate(window, piece, cv2.TM_SQDIFF).min()))
        kind = _kind(x, y - placement.lip_offset, y)
        errors[kind] = max(errors[kind], float(np.sqrt(found / piece.size)))
    return errors


def _view(picture: Any, placement: FacePlacement) -> Any:
    view = placement.view(picture, round(2 * REACH * PER_SIDE), REACH)
    return cv2.GaussianBlur(view, (0, 0), 0.8).astype(np.float32)


def _head(moved: Any, still: Any) -> tuple[int, int]:
    """Return how far the head has moved, to the right and down, in pixels."""
    rows, columns = (slice(_px(part.start), _px(part.stop)) for part in UPPER)
    slack = round(HEAD_SLACK * PER_SIDE)
    window = moved[rows.start - slack : rows.stop + slack, columns.start - slack : columns.stop + slack]
    _, _, (x, y), _ = cv2.minMaxLoc(cv2.matchTemplate(window, still[rows, columns], cv2.TM_SQDIFF))
    return x - slack, y - slack


def _parts() -> Iterator[tuple[float, float]]:
    steps = np.arange(-9, 10) * STEP
    for y in steps:
        for x in steps:
            if _inside(x, y, FACE):
                yield float(x), float(y)


def _kind(x: float, below_lips: float, y: float) -> str:
    if _inside(x, below_lips, MOUTH):
        return "mouth"
    return "eyes" if _inside(abs(x), y, EYE) else "rest"


def _inside(x: float, y: float, outline: tuple[float, float, float, float]) -> bool:
    middle, height, across, down = outline
    return bool(np.hypot((x - middle) / across, (y - height) / down) < 1)


def _px(at: float) -> int:
    return round((at + REACH) * PER_SIDE)
