"""Paper cut-outs: trees, houses, a train, a balloon. All sizes are pixels of the shown frame."""

import numpy as np

from pipelines.example.paper import Colour, PaperLayer, PaperSheet, Point, grain

Rng = np.random.Generator

SNOW: Colour = (236, 242, 252)
_CREAM: Colour = (250, 226, 178)


def conifer(
    sheet: PaperSheet, x: float, base_y: float, height: float, colour: Colour, snow: Colour | None = None
) -> None:
    """Draw a fir that stands at `(x, base_y)`, with snow on one side if a colour for it is given."""
    sheet.box(x - height * 0.04, base_y - height * 0.14, height * 0.08, height * 0.16, (84, 64, 58))
    for tier in range(3):
        base = base_y - height * (0.1 + 0.26 * tier)
        half, tier_height = height * (0.27 - 0.06 * tier), height * 0.42
        sheet.polygon([(x - half, base), (x + half, base), (x, base - tier_height)], colour)
        dark = darken(colour, 0.82)
        sheet.polygon([(x, base), (x + half, base), (x, base - tier_height)], dark)
        if snow:
            sheet.polygon(
                [
                    (x, base - tier_height),
                    (x - half * 0.6, base - tier_height * 0.35),
                    (x, base - tier_height * 0.5),
                ],
                snow,
            )


def bush(rng: Rng, sheet: PaperSheet, x: float, base_y: float) -> None:
    """Draw a round tree that stands at `(x, base_y)`."""
    green = vary(rng, (96, 132, 78))
    sheet.box(x - 1, base_y - 4, 2, 5, (110, 80, 60))
    for dx, dy, radius in ((-5, -6, 4.5), (4, -6, 5), (0, -11, 5.5)):
        sheet.disc(x + dx, base_y + dy, radius, green)


def house(rng: Rng, sheet: PaperSheet, position: Point, width: float, *, lit: bool) -> None:
    """Draw a house whose lower left corner is at `position`; lit ones have snow on the roof."""
    walls: list[Colour] = [(246, 232, 206), (226, 196, 164), (214, 160, 132)]
    roofs: list[Colour] = [(176, 74, 58), (150, 70, 66), (108, 82, 92)]
    x, base_y = position
    height = float(rng.uniform(15, 22))
    wall = (128, 104, 128) if lit else walls[int(rng.integers(3))]
    roof = SNOW if lit else roofs[int(rng.integers(3))]
    pane = (255, 206, 104) if lit else (92, 104, 120)
    sheet.box(x + width * 0.7, base_y - height - 14, 5, 12, (150, 96, 84))
    sheet.box(x, base_y - height, width, height, wall)
    sheet.polygon(
        [
            (x - 3, base_y - height + 1),
            (x + width + 3, base_y - height + 1),
            (x + width / 2, base_y - height - 13),
        ],
        roof,
    )
    for k in range(int(width // 9)):
        sheet.box(x + 4 + 9 * k, base_y - height + 4, 4, 5, pane)
    sheet.box(x + width * 0.42, base_y - 9, 5, 9, pane if lit else (120, 78, 62))


def balloon(rng: Rng, position: Point, speed: tuple[float, float]) -> PaperLayer:
    """Draw a striped balloon on a sheet of its own, far away."""
    red, rope = (226, 84, 66), (70, 60, 60)
    sheet = PaperSheet(92, 122, red)
    angles = np.linspace(0, np.pi, 24)
    for k in range(7):  # stripes, the widest first
        half = 30 * np.cos(np.pi * k / 14)
        rim = np.column_stack((46 + half * np.cos(angles), 46 - 30 * np.sin(angles)))
        sheet.polygon([*rim, (46 - half * 0.22, 84), (46 + half * 0.22, 84)], _CREAM if k % 2 else red)
    for side in (-1, 1):
        sheet.line([(46 + 6 * side, 84), (46 + 4 * side, 95)], rope, 0.5)
    sheet.box(41, 94, 10, 8, (128, 84, 58))
    return sheet.layer(grain(rng, sheet.width, sheet.height), *position, 0.2, speed)


def train(
    rng: Rng, position: Point, speed: tuple[float, float], colours: tuple[Colour, Colour, Colour]
) -> PaperLayer:
    """Draw an engine with smoke and three wagons on a sheet of its own; `colours` are body, windows and iron."""
    body, window, iron = colours
    direction = 1 if speed[0] > 0 else -1
    sheet = PaperSheet(214, 62, body)

    def x(along: float, width: float = 0.0) -> float:
        """Return x along the train from its tail, whichever way it goes."""
        return along if direction > 0 else sheet.width - along - width

    for wagon in range(3):
        left = 10 + wagon * 48
        sheet.box(x(left, 45), 26, 45, 22, body)
        sheet.box(x(left - 1, 47), 23, 47, 4, iron)
        for k in range(5):
            sheet.box(x(left + 3.5 + k * 8, 6), 30, 6, 7, window)
        sheet.box(x(left, 45), 41, 45, 2, window)
        for wheel in (9, 36):
            sheet.disc(x(left + wheel), 49, 4, iron)
    sheet.box(x(154, 16), 20, 16, 28, body)
    sheet.box(x(157, 9), 24, 9, 8, window)
    sheet.box(x(152, 20), 17, 20, 4, iron)
    sheet.box(x(170, 30), 30, 30, 17, iron)
    sheet.box(x(188, 7), 19, 7, 12, iron)
    sheet.box(x(178, 5), 26, 5, 5, window)
    sheet.polygon([(x(200), 40), (x(208), 49), (x(200), 49)], iron)
    for wheel in (160, 174, 186, 196):
        sheet.disc(x(wheel), 49, 5, iron)
    for k, radius in enumerate((4.5, 5.5, 7, 8)):
        sheet.disc(x(186 - 15 * k), 12 - 1.2 * k, radius, (246, 240, 230))
    return sheet.layer(grain(rng, sheet.width, sheet.height), *position, 1.0, speed)


def vary(rng: Rng, colour: Colour) -> Colour:
    """Return the colour a little lighter or darker."""
    shift = int(rng.integers(-12, 13))
    return (colour[0] + shift, colour[1] + shift, colour[2] + shift)


def darken(colour: Colour, share: float) -> Colour:
    """Return the colour at a share of its brightness."""
    return (int(colour[0] * share), int(colour[1] * share), int(colour[2] * share))
