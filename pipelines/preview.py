"""The latest picture of a run, small, for whoever watches."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH_PX = 640


def save_preview(frame: NDArray[np.uint8], path: Path) -> Path:
    """Write `frame` `(H, W, 3)` uint8 RGB as a JPEG at most 640 pixels wide; complete or absent. Returns `path`."""
    height, width = frame.shape[:2]
    if width > _WIDTH_PX:
        size = (_WIDTH_PX, max(1, round(height * _WIDTH_PX / width)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(encoded.tobytes())
    part.replace(path)
    return path
