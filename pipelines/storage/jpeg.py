"""Save frames as JPEG previews."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.storage.atomic import write_bytes

_QUALITY = 88
"""For previews: a compromise between size and artefacts, not measured."""


def save_picture(frame: NDArray[np.uint8], path: Path, *, most_width_px: int) -> Path:
    """Write `frame` (H, W, 3) uint8 RGB as a JPEG of at most `most_width_px`; complete or absent. Returns `path`."""
    height, width = frame.shape[:2]
    if width > most_width_px:
        size = (most_width_px, max(1, round(height * most_width_px / width)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    write_bytes(path, encoded[1].tobytes())
    return path
