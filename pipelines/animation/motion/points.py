"""Which of LivePortrait's 21 keypoints are what: integers only. After its published description, section 4."""

POINTS = 21

WHOLE = (1, 2, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
"""Points that follow an expression in all coordinates."""
PART = ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2))
"""Further (point, coordinate) pairs that do."""
LIPS = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)


def movable(point: int) -> tuple[int, ...]:
    """The coordinates (0 to 2: x, y, z) in which a point follows an expression."""
    if point in WHOLE:
        return (0, 1, 2)
    return tuple(coordinate for each, coordinate in PART if each == point)
