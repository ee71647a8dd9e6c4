"""Land of the example's scenes, a sheet for each distance, and what stands and falls on it."""

import numpy as np
from numpy.typing import NDArray

from pipelines.example.cutouts import SNOW, Rng, bush, conifer, darken, house, vary
from pipelines.example.faults import HEIGHT, WIDTH
from pipelines.example.paper import Colour, PaperLayer, PaperSheet, grain, ridge

PAN_RANGE_PX, TURN_RANGE_PX = 270, 130
"""How far the camera pans along a scene at most, and how far it turns to the right."""
MARGIN_PX = 24
"""Margin of a scene above, below and on the left, for shake and jerk."""

_SNOW_FRAMES = 90
"""Longest time that snow falls."""


def clouds(rng: Rng) -> PaperLayer:
    """Draw flat-bottomed clouds that drift."""
    sheet = PaperSheet(_width(0.25) + 200, 120, (250, 244, 230))
    for x in range(60, sheet.width - 60, 190):
        left, base = x + int(rng.integers(-50, 50)), int(rng.integers(45, 100))
        for step in range(5):
            radius = float(rng.uniform(9, 15)) * (1.3 - 0.28 * abs(step - 2))
            sheet.disc(left + step * 15, base - radius * 0.55, radius, (252, 246, 234))
        sheet.box(left - 14, base - 5, 88, 6, (240, 230, 214))
    return sheet.layer(grain(rng, sheet.width, sheet.height, 4), -100, 6, 0.2, (0.25, 0))


def mountains(rng: Rng, top: int, colours: tuple[Colour, Colour, Colour]) -> PaperLayer:
    """Draw peaks with a lit side, a shaded side and snow: `colours` in that order."""
    lit, shaded, snow = colours
    sheet = _land(0.25, top, lit)
    x, base_y = -70.0, 128
    sheet.box(0, base_y - 1, sheet.width, sheet.height - base_y + 1, lit)
    while x < sheet.width + 60:
        peak, half = (x, float(rng.uniform(10, 66))), float(rng.uniform(62, 96))
        sheet.polygon([peak, (x + half, base_y), (x - half, base_y)], lit)
        sheet.polygon([peak, (x + half, base_y), (x + half * 0.12, base_y)], shaded)
        snow_height = 0.3 * (base_y - peak[1])
        zigzag = [
            (x + 0.1 * half * k, peak[1] + snow_height * (1 if k % 2 else 0.7)) for k in range(3, -4, -1)
        ]
        sheet.polygon([peak, *zigzag], snow)
        for _ in range(16):  # gullies
            y = float(rng.uniform(peak[1] + snow_height + 4, base_y))
            along = float(rng.uniform(-0.8, 0.8)) * half * (y - peak[1]) / (base_y - peak[1])
            sheet.line([(x + along, y), (x + along * 1.14, y + 11)], shaded if along < 0 else lit)
        x += float(rng.uniform(48, 92))
    return _layer(sheet, rng, top, 0.25, 5)


def woods(rng: Rng, top: int, depth: float, colours: list[Colour], tree: Colour) -> PaperLayer:
    """Draw a hill with firs."""
    sheet = _land(depth, top - 40, colours[0])
    edge = 44 + ridge(rng, sheet.width, [(170, 16), (60, 5)])
    _bands(sheet, edge, colours, 26)
    for x in np.sort(rng.integers(4, sheet.width - 4, sheet.width // 9)):
        base_y = float(edge[x] + rng.uniform(2, 62))
        conifer(sheet, float(x), base_y, float(rng.uniform(13, 24)), vary(rng, tree))
    return _layer(sheet, rng, top - 40, depth)


def viaduct(rng: Rng, top: int) -> PaperLayer:
    """Draw a brick viaduct along the whole pan; `top` is its parapet."""
    stone, joint = (206, 140, 100), (168, 106, 78)
    sheet = _land(1.0, top, stone)
    deep = sheet.height
    for pier in range(-10, sheet.width, 84):
        arch = [(pier + 58 + 30 * np.cos(a), 52 - 32 * np.sin(a)) for a in np.linspace(0, np.pi, 20)]
        left, right = pier, pier + 28
        sheet.polygon([(left, 14), (right, 14), (right, deep), (left, deep)], stone)
        outline = [(right, 14), (right + 60, 14), (right + 60, 52), *arch[1:], (right, 52)]
        sheet.polygon(outline, stone)
        for row in range(20, deep, 8):
            sheet.line([(left, row), (right, row)], joint, 0.5)
            for brick in range(left + 4 + row % 16 // 2, right, 9):
                sheet.line([(brick, row), (brick, row + 8)], joint, 0.5)
        sheet.line(arch, joint, 1.5)
    sheet.box(0, 6, sheet.width, 9, (188, 120, 86))
    for x in range(2, sheet.width, 9):
        sheet.box(x, 0, 4, 7, joint)
    sheet.box(0, 0, sheet.width, 2, (226, 166, 124))
    return _layer(sheet, rng, top, 1.0)


def village(rng: Rng, top: int, depth: float, colours: list[Colour], *, lit: bool) -> PaperLayer:
    """Draw a hill with houses and trees: in the sun, or lit from inside and in snow."""
    sheet = _land(depth, top - 44, colours[0])
    edge = 50 + ridge(rng, sheet.width, [(230, 12), (70, 3)])
    x = 16.0
    while x < sheet.width - 60:
        width = float(rng.uniform(24, 36))
        base_y = float(edge[int(x + width / 2)]) + 8
        house(rng, sheet, (x, base_y), width, lit=lit)
        x += width + float(rng.choice([6, 14, 80, 120]))
    _bands(sheet, edge + 4, colours, 22)
    for x in rng.integers(10, sheet.width - 10, sheet.width // 22):
        base_y = float(edge[x] + rng.uniform(8, 60))
        if lit:
            height = float(rng.uniform(20, 34))
            conifer(sheet, float(x), base_y, height, vary(rng, (46, 70, 98)), SNOW)
        else:
            bush(rng, sheet, float(x), base_y)
    return _layer(sheet, rng, top - 44, depth)


def meadow(rng: Rng, top: int, colours: list[Colour], flower: Colour) -> PaperLayer:
    """Draw grass and flowers, close by."""
    sheet = _land(1.75, top - 30, colours[0])
    edge = 42 + ridge(rng, sheet.width, [(260, 9), (90, 4)])
    for x in range(2, sheet.width - 2, 3):  # blades of grass
        height, lean = float(rng.uniform(5, 15)), float(rng.uniform(-4, 4))
        base_y = float(edge[x]) + 4
        sheet.polygon(
            [(x - 1.2, base_y), (x + 1.2, base_y), (x + lean, base_y - height)], vary(rng, colours[0])
        )
    _bands(sheet, edge, colours, 24)
    for x in rng.integers(4, sheet.width - 4, sheet.width // 7):
        y = float(edge[x] + rng.uniform(-6, 50))
        sheet.line([(x, y), (x + 1, y + 9)], (112, 150, 92), 0.5)
        sheet.disc(float(x), y, float(rng.uniform(1.5, 3)), flower if rng.random() < 0.6 else (250, 226, 160))
    return _layer(sheet, rng, top - 30, 1.75)


def drift(rng: Rng, top: int) -> PaperLayer:
    """Draw snow with large firs, close by."""
    sheet = _land(1.75, top - 90, (240, 245, 253))
    edge = 100 + ridge(rng, sheet.width, [(240, 12), (80, 3)])
    x = 30.0
    while x < sheet.width - 30:
        conifer(sheet, x, float(edge[int(x)]) + 8, float(rng.uniform(64, 96)), (40, 62, 92), SNOW)
        x += float(rng.choice([34, 110, 190]))
    _bands(sheet, edge, [(240, 245, 253), (228, 235, 249), (214, 224, 244)], 20)
    return _layer(sheet, rng, top - 90, 1.75)


def flakes(rng: Rng, depth: float, fall: float) -> PaperLayer:
    """Draw snow that falls, `fall` pixels per frame."""
    sheet = PaperSheet(_width(depth), HEIGHT + round(fall * _SNOW_FRAMES) + MARGIN_PX, (250, 252, 255))
    for _ in range(sheet.width // 8):
        x, y = float(rng.uniform(4, sheet.width - 4)), float(rng.uniform(4, sheet.height - 4))
        sheet.disc(x, y, depth * float(rng.uniform(0.5, 1.0)), (250, 252, 255))
    return sheet.layer(0, -MARGIN_PX, HEIGHT + MARGIN_PX - sheet.height, depth, (0.0, fall))


def _bands(sheet: PaperSheet, edge: NDArray[np.float64], colours: list[Colour], apart: float) -> None:
    """Draw a hill in strips that follow its edge, with furrows in each."""
    for number, colour in enumerate(colours):
        sheet.below(edge + number * apart, colour)
        furrow = darken(colour, 0.86)
        for k in range(1, 4):
            line = edge + (number + k / 4) * apart
            sheet.line(np.column_stack((np.arange(len(edge)), line))[::6], furrow, 0.5)


def _land(depth: float, top: int, ground: Colour) -> PaperSheet:
    return PaperSheet(_width(depth), HEIGHT + MARGIN_PX - top, ground)


def _width(depth: float) -> int:
    return round(WIDTH + depth * PAN_RANGE_PX) + TURN_RANGE_PX + MARGIN_PX


def _layer(sheet: PaperSheet, rng: Rng, top: float, depth: float, strength: float = 7.0) -> PaperLayer:
    return sheet.layer(grain(rng, sheet.width, sheet.height, strength), -MARGIN_PX, top, depth)
