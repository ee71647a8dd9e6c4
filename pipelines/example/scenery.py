"""Two landscapes of cut paper: a summer day with a train and a balloon, and a winter night."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.example.cutouts import Rng, balloon, train
from pipelines.example.faults import HEIGHT, WIDTH
from pipelines.example.land import (
    MARGIN_PX,
    TURN_RANGE_PX,
    clouds,
    drift,
    flakes,
    meadow,
    mountains,
    viaduct,
    village,
    woods,
)
from pipelines.example.paper import Camera, Colour, PaperLayer, gradient
from pipelines.vision.types import Pixels


@dataclass(frozen=True)
class Scenery:
    """Sky, and sheets from the farthest to the nearest."""

    sky: Pixels
    layers: tuple[PaperLayer, ...]

    def render(self, camera: Camera, time: float) -> Pixels:
        """Render the scene `(H, W, 3)` uint8 for a camera at a frame number, which may lie between two."""
        right, down = MARGIN_PX + round(camera.right), MARGIN_PX + round(camera.down)
        shown = self.sky[down : down + HEIGHT, right : right + WIDTH].copy()
        for layer in self.layers:
            layer.lay(shown, camera, time)
        return shown


def day() -> Scenery:
    """Draw hills in the sun: clouds, mountains, a balloon, woods, a train on its viaduct, a village, a meadow."""
    rng = np.random.default_rng(20)
    sky = gradient(
        WIDTH + MARGIN_PX + TURN_RANGE_PX,
        HEIGHT + 2 * MARGIN_PX,
        [(0, (88, 158, 178)), (0.35, (160, 200, 192)), (0.7, (250, 226, 178))],
    )
    _sun(sky, (500, 128), 34, (255, 246, 214), (250, 214, 140))
    _speckle(sky, rng)
    return Scenery(
        sky,
        (
            clouds(rng),
            mountains(rng, 92, ((112, 150, 168), (88, 126, 150), (226, 232, 226))),
            woods(rng, 176, 0.5, [(120, 160, 140), (104, 146, 126), (90, 131, 112)], (52, 94, 88)),
            balloon(rng, (200, 54), (0.55, -0.07)),
            train(rng, (-150, 163), (4.4, 0), ((186, 62, 52), (242, 214, 160), (60, 56, 66))),
            viaduct(rng, 209),
            village(
                rng, 258, 1.25, [(232, 186, 96), (214, 164, 78), (190, 144, 70), (164, 124, 64)], lit=False
            ),
            meadow(rng, 300, [(70, 112, 84), (48, 88, 74)], (236, 106, 84)),
        ),
    )


def night() -> Scenery:
    """Draw snow under the moon: mountains, woods, lit houses, and falling flakes."""
    rng = np.random.default_rng(7)
    sky = gradient(
        WIDTH + MARGIN_PX + TURN_RANGE_PX,
        HEIGHT + 2 * MARGIN_PX,
        [(0, (36, 42, 88)), (0.4, (70, 72, 136)), (0.75, (150, 120, 170))],
    )
    _stars(sky, rng)
    _sun(sky, (174, 102), 26, (250, 244, 220), (120, 118, 176))
    return Scenery(
        sky,
        (
            mountains(rng, 98, ((150, 164, 204), (112, 124, 174), (232, 238, 250))),
            woods(rng, 190, 0.5, [(186, 200, 228), (206, 217, 240)], (44, 66, 96)),
            train(rng, (600, 178), (-3.0, 0), ((58, 84, 124), (255, 214, 120), (40, 46, 70))),
            village(rng, 232, 1.0, [(214, 224, 244), (226, 234, 249), (236, 242, 252)], lit=True),
            drift(rng, 296),
            flakes(rng, 1.4, 1.5),
            flakes(rng, 2.0, 2.5),
        ),
    )


def _sun(sky: Pixels, centre: tuple[int, int], radius: int, colour: Colour, halo: Colour) -> None:
    for ring in (4.6, 3.3, 2.2, 1.45):
        over = sky.copy()
        cv2.circle(over, centre, round(radius * ring), halo, -1, cv2.LINE_AA)
        cv2.addWeighted(over, 0.26, sky, 0.74, 0, dst=sky)
    cv2.circle(sky, centre, radius, colour, -1, cv2.LINE_AA)


def _speckle(sky: Pixels, rng: Rng) -> None:
    noise = (rng.standard_normal(sky.shape[:2]) * 1.5).astype(np.int16)
    sky[:] = np.clip(sky + noise[..., None], 0, 255)


def _stars(sky: Pixels, rng: Rng) -> None:
    _speckle(sky, rng)
    for x, y, size in rng.uniform((0, 0, 0), (sky.shape[1], 230, 1), (200, 3)):
        level = int(150 + 100 * size)
        cv2.circle(sky, (int(x), int(y)), 1 if size > 0.85 else 0, (level, level, 235), -1, cv2.LINE_AA)
