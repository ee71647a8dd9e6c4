"""What the inpainting tests share: small videos, and masks as they come."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.video.info import VideoInfo
from pipelines.video.timeline import constant

WIDTH, HEIGHT = 48, 32


@pytest.fixture
def video() -> Callable[..., VideoInfo]:
    """A video that is known, but not there."""

    def of(frames: int = 5, width: int = WIDTH, height: int = HEIGHT, **more: object) -> VideoInfo:
        return VideoInfo(Path("clip.mp4"), "mp4", "h264", width, height, constant(frames, 25), **more)

    return of


def disc(index: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.bool_]:
    """A disc that moves two pixels to the right with each frame."""
    y, x = np.mgrid[:height, :width]
    return (x - 12 - 2 * index) ** 2 + (y - height // 2) ** 2 < 36


@pytest.fixture
def discs() -> Callable[[int], list[NDArray[np.bool_]]]:
    """The masks of so many frames."""
    return lambda frames: [disc(index) for index in range(frames)]


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """A folder of pictures `1.png`, `2.png`, ... `10.png` in the mode that `draw` gives them."""

    def write(masks: list[NDArray[np.bool_]], draw: Callable[[NDArray[np.bool_]], Image.Image]) -> Path:
        folder = tmp_path / "masks"
        folder.mkdir()
        for number, mask in enumerate(masks, 1):
            draw(mask).save(folder / f"{number}.png")
        return folder

    return write


def white(mask: NDArray[np.bool_]) -> Image.Image:
    """Black and white in 8 bits."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def encode(path: Path, frames: list[NDArray[np.uint8]], *arguments: object, rate: str = "25") -> Path:
    """Frames (H, W) or (H, W, 3) as a video."""
    height, width = frames[0].shape[:2]
    kind = "rgb24" if frames[0].ndim == 3 else "gray"
    source = ("-f", "rawvideo", "-pix_fmt", kind, "-s", f"{width}x{height}", "-r", rate, "-i", "-")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, *map(str, arguments), str(path)]
    data = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    subprocess.run(command, input=data, check=True, timeout=60)
    return path
