"""Marks as a drawing over a picture of the video: boxes, points and strokes, as the pad writes them."""

import re
from collections.abc import Iterable, Sequence

from pipelines.errors import LongtakeError
from pipelines.masks.strokes import read_strokes

_BOX = re.compile(r"(\d+),(\d+),(\d+),(\d+)@(\d+)")
_POINT = re.compile(r"(!?)(\d+),(\d+)@(\d+)")
_MOST = 400
"""The most that is drawn of each kind: the drawing is part of the page's text."""


def drawing(
    size: tuple[int, int], frame: int, boxes: Sequence[str], points: Sequence[str], strokes: str
) -> str:
    """The marks on `frame` of a video of `size` (width, height), as SVG that scales with its picture. Numbers only."""
    shapes = [*_strokes(frame, strokes), *_boxes(frame, boxes), *_points(frame, points, size)]
    if not shapes:
        return ""
    width, height = size
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(shapes[: 3 * _MOST])}</svg>'


def _boxes(frame: int, boxes: Iterable[str]) -> list[str]:
    found = [match.groups() for box in boxes if (match := _BOX.fullmatch(box))]
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}"></rect>'
        for x, y, width, height, at in found[:_MOST]
        if int(at) == frame
    ]


def _points(frame: int, points: Iterable[str], size: tuple[int, int]) -> list[str]:
    found = [match.groups() for point in points if (match := _POINT.fullmatch(point))]
    radius = max(2, max(size) // 80)
    return [
        f'<circle class="{"lt-off" if off else "lt-on"}" cx="{x}" cy="{y}" r="{radius}"></circle>'
        for off, x, y, at in found[:_MOST]
        if int(at) == frame
    ]


def _strokes(frame: int, strokes: str) -> list[str]:
    try:
        found = [stroke for stroke in read_strokes(strokes) if stroke.frame == frame and not stroke.wipes]
    except LongtakeError:
        return []
    return [
        f'<polyline stroke-width="{stroke.width}" points="{" ".join(f"{x},{y}" for x, y in stroke.points)}"></polyline>'
        for stroke in found[:_MOST]
    ]


def counted(boxes: Sequence[str], points: Sequence[str], frames: Sequence[int]) -> list[tuple[str, int]]:
    """How many marks of each kind there are: (key of the kind's live text, number), without those of which are none."""
    counts = [("marks.boxes", len(boxes)), ("marks.points", len(points)), ("marks.frames", len(frames))]
    return [(key, number) for key, number in counts if number]
