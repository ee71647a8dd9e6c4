"""Draw the README's first picture again: `python docs/pictures.py` writes `docs/removed.jpg`.

A kite hovers before a landscape of cut paper while the camera turns. The kite and its mask are drawn; what the picture
shows without the kite is what `python -m pipelines inpaint` makes of the two.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipelines.example.paper import Camera, Colour, PaperLayer, PaperSheet, grain  # noqa: E402
from pipelines.example.scenery import Scenery, day  # noqa: E402
from pipelines.video.info import ColourTags  # noqa: E402
from pipelines.video.writer import VideoWriter  # noqa: E402
from pipelines.vision.types import Pixels  # noqa: E402

FRAMES, FRAME_RATE = 96, Fraction(25)
SHOWN = 12, 84
"""Frames in the picture: one early, one late."""

_TURN, _WAY = (-24.0, 130.0), 30.0
"""Pixels that the camera turns (the most that the scenery allows: the kite uncovers all that it hides) and travels."""
_CLOUDS, _BALLOON = 0, 3
"""Layers of `day()`: the clouds stand still here, and the balloon is left out."""
_TRAIN_DELAY = 20
"""Frames by which the train comes later than in the example, so that it stays clear of the kite."""
_RED, _CREAM, _BLUE, _STICK = (214, 62, 58), (250, 230, 184), (52, 96, 140), (60, 50, 60)
_GAP = 4
_JPEG_QUALITY = 88


class Shot(NamedTuple):
    """A frame with the kite and without it, both `(360, 640, 3)` uint8 RGB, and the kite's mask, `(360, 640)` bool."""

    frame: Pixels
    clean: Pixels
    mask: NDArray[np.bool_]
    camera: Camera


def shots() -> Iterator[Shot]:
    """Draw the clip, frame by frame."""
    scene, kite = _landscape(), _kite()
    black = replace(kite, colour=np.zeros_like(kite.colour))
    for number in range(FRAMES):
        share = number / (FRAMES - 1)
        camera = Camera(_WAY * share, _TURN[0] + (_TURN[1] - _TURN[0]) * share)
        clean = scene.render(camera, number - _TRAIN_DELAY)
        x, y = 250 + 24 * np.sin(2.2 * np.pi * share), 60 + 16 * np.sin(3.4 * np.pi * share)
        frame, light = clean.copy(), np.full_like(clean, 255)
        kite.lay(frame, Camera(0, -x, -y), 0)
        black.lay(light, Camera(0, -x, -y), 0)
        yield Shot(frame, clean, light.min(axis=2) < 255, camera)


def draw(path: Path) -> None:
    """Draw the clip, remove the kite from it, and write before and after as a JPEG to `path`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, masks, filled = folder / "kite.mp4", folder / "masks", folder / "filled"
        masks.mkdir()
        colour = ColourTags(matrix="bt709", range="tv", primaries="bt709", transfer="bt709")
        before = {}
        with VideoWriter(clip, 640, 360, FRAME_RATE, colour=colour, crf=14, preset="medium") as writer:
            for number, shot in enumerate(shots()):
                writer.write(shot.frame)
                cv2.imwrite(str(masks / f"{number:05}.png"), shot.mask * np.uint8(255))
                if number in SHOWN:
                    before[number] = shot.frame
        command = [sys.executable, "-m", "pipelines", "inpaint", str(clip), "--mask", str(masks)]
        command += ["--frames-out", str(filled), "--jobs-dir", str(folder / "jobs")]
        subprocess.run(command, cwd=ROOT, check=True)
        after = [cast(Pixels, cv2.imread(str(filled / f"{number:05}.png"))) for number in SHOWN]
    rows = [_joined([picture[..., ::-1] for picture in before.values()], 1), _joined(after, 1)]
    cv2.imwrite(str(path), _joined(rows, 0), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _landscape() -> Scenery:
    scene = day()
    layers = [layer for number, layer in enumerate(scene.layers) if number != _BALLOON]
    layers[_CLOUDS] = replace(layers[_CLOUDS], speed=(0.0, 0.0))
    return replace(scene, layers=tuple(layers))


def _kite() -> PaperLayer:
    """A kite of four colours with three bows on its tail."""
    sheet = PaperSheet(150, 230, _RED)
    top, left, right, foot, middle = (75, 14), (29, 62), (121, 62), (75, 142), (75, 62)
    quarters = (top, left, _RED), (top, right, _CREAM), (foot, left, _CREAM), (foot, right, _BLUE)
    for tip, side, colour in quarters:
        sheet.polygon([tip, side, middle], colour)
    sheet.line([top, foot], _STICK, 1.5)
    sheet.line([left, right], _STICK, 1.5)
    along = np.arange(0, 66)
    sheet.line(np.column_stack((75 + 7 * np.sin(along / 11), 142 + along)), _STICK, 2)
    for y, colour in zip((16, 36, 56), (_RED, _CREAM, _BLUE), strict=True):
        _bow(sheet, 75 + 7 * np.sin(y / 11), 142.0 + y, colour)
    return sheet.layer(grain(np.random.default_rng(5), sheet.width, sheet.height), 0, 0, 0)


def _bow(sheet: PaperSheet, x: float, y: float, colour: Colour) -> None:
    for side in (-10, 10):
        sheet.polygon([(x + side, y - 6), (x, y), (x + side, y + 6)], colour)


def _joined(pictures: list[Pixels], axis: int) -> Pixels:
    """Join pictures along `axis`, with a white gap between them."""
    shape = list(pictures[0].shape)
    shape[axis] = _GAP
    parts = [part for picture in pictures for part in (picture, np.full(shape, 255, np.uint8))]
    return cast(Pixels, np.concatenate(parts[:-1], axis=axis))


if __name__ == "__main__":
    draw(ROOT / "docs" / "removed.jpg")
