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
    return _encode(path, frames, "rgb24" if frames[0].ndim == 3 else "gray", *arguments, rate=rate)


def encode_rgba(path: Path, frames: list[NDArray[np.uint8]], *arguments: object) -> Path:
    """Frames (H, W, 4) as a video with transparency, where its codec has it."""
    return _encode(path, frames, "rgba", *arguments, rate="25")


def _encode(path: Path, frames: list[NDArray[np.uint8]], kind: str, *arguments: object, rate: str) -> Path:
    height, width = frames[0].shape[:2]
    source = ("-f", "rawvideo", "-pix_fmt", kind, "-s", f"{width}x{height}", "-r", rate, "-i", "-")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, *map(str, arguments), str(path)]
    data = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    subprocess.run(command, input=data, check=True, timeout=300)
    return path
