"""Small videos and masks, drawn for the tests of masks, tracking and inpainting."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 48, 32


def disc(index: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.bool_]:
    """A disc that moves two pixels to the right with each frame."""
    y, x = np.mgrid[:height, :width]
    return (x - 12 - 2 * index) ** 2 + (y - height // 2) ** 2 < 36


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
