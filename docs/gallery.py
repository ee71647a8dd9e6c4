"""Make the pictures of the page's examples again: `python docs/gallery.py` writes `ui/pictures/*.webp`.

Each shows before and after side by side, from a run of the example with the built-in engine.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipelines.example.clip import write_example  # noqa: E402
from pipelines.example.crossing import write_removal_example  # noqa: E402
from pipelines.example.portrait import write_portrait_example  # noqa: E402

_SIZE, _QUALITY = (159, 180), 72


def run(folder: Path, *arguments: str) -> Path:
    """Run a command of the project; returns the result."""
    result = folder / f"{arguments[0]}.mp4"
    command = [
        sys.executable,
        "-m",
        "pipelines",
        *arguments,
        f"--jobs-dir={folder / 'jobs'}",
        "-o",
        str(result),
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    return result


def frame(path: Path, number: int) -> Image.Image:
    """Read a frame of a video."""
    with av.open(str(path)) as film:
        return next(each for k, each in enumerate(film.decode(video=0)) if k == number).to_image()


def pair(name: str, left: Image.Image, right: Image.Image, corner: tuple[int, int]) -> None:
    """Write the same part of two pictures side by side."""
    both = Image.new("RGB", (2 * _SIZE[0] + 2, _SIZE[1]), "white")
    box = (*corner, corner[0] + 212, corner[1] + 240)
    for place, picture in enumerate((left, right)):
        both.paste(picture.crop(box).resize(_SIZE, Image.Resampling.LANCZOS), (place * (_SIZE[0] + 2), 0))
    both.save(ROOT / "ui" / "pictures" / f"{name}.webp", quality=_QUALITY, method=6)


def main() -> None:
    """Draw the examples, run them, and write the pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crossing = write_removal_example(folder / "balloon.mp4")
        removed = run(folder, "inpaint", str(crossing.path), f"--box={crossing.box}")
        pair("inpaint", frame(crossing.path, 25), frame(removed, 25), (190, 40))
        portrait = write_portrait_example(folder)
        animated = run(folder, "animate", str(portrait.portrait), str(portrait.driving), "--end=2")
        with Image.open(portrait.portrait) as picture:
            pair("animate", picture.convert("RGB"), frame(animated, 30), (100, 0))
        clip = write_example(folder / "clip.mp4").path
        pair("score", frame(clip, 40), frame(clip, 55), (180, 30))


if __name__ == "__main__":
    main()
