"""What a visitor painted, as the masks that a job reads."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.whole import write_whole

Mark = NDArray[np.bool_]
"""`(H, W)`, true where something was painted, at the size of the picture that was painted on."""

RED = (255, 45, 45)
"""What marks are painted with; only where there is paint counts."""
_ALWAYS = (1980, 1, 1, 0, 0, 0)


def painted(editor: Mapping[str, Any] | None) -> Mark | None:
    """What was painted in an editor: the opaque part of its layers `(H, W, 4)` uint8; None where that is nothing."""
    layers = [layer for layer in (editor or {}).get("layers", []) if layer is not None]
    if not layers:
        return None
    mark: Mark = np.any([layer[..., 3] > 0 for layer in layers], axis=0)
    return mark if mark.any() else None


@dataclass(frozen=True)
class Sheet:
    """What a visitor has painted: `marks` by frame, and the frame `at` that lies on the desk now."""

    at: int = 0
    marks: Mapping[int, Mark] = field(default_factory=dict)

    def with_painted(self, editor: Mapping[str, Any] | None) -> "Sheet":
        """The sheet with what the editor shows now; where everything was wiped off, the frame's mark goes."""
        others = {frame: mark for frame, mark in self.marks.items() if frame != self.at}
        mark = painted(editor)
        return replace(self, marks=others if mark is None else {**others, self.at: mark})

    def with_newest(self, editor: Mapping[str, Any] | None) -> "Sheet":
        """The same, where an editor that shows no paint may only be late: what was kept of its frame stays."""
        return self if painted(editor) is None else self.with_painted(editor)

    def turned_to(self, frame: int, picture: Path) -> tuple["Sheet", dict[str, Any]]:
        """The sheet with another frame on the desk, and what the editor then shows: `picture`, and its mark."""
        mark = self.marks.get(frame)
        layers = [] if mark is None else [_layer(mark)]
        return replace(self, at=frame), {"background": str(picture), "layers": layers, "composite": None}


def _layer(mark: Mark) -> NDArray[np.uint8]:
    layer = np.zeros((*mark.shape, 4), np.uint8)
    layer[mark] = (*RED, 255)
    return layer


def save_marks(marks: Mapping[int, Mark], folder: Path, *, follow: bool) -> Path:
    """Masks as a file below `folder`; the same marks give the same bytes, and so the same job. Returns where.

    `follow`: a zip of pictures, each named by the number of its frame, a hint for that frame. Otherwise one picture of
    all that was painted, for every frame; the marks then have one size.
    """
    if follow:
        pictures = {f"{frame:08d}.png": _png(mark) for frame, mark in sorted(marks.items())}
        data, name = _zip(pictures), "marks.zip"
    else:
        data, name = _png(np.any(list(marks.values()), axis=0)), "mark.png"
    path = folder / hashlib.sha256(data).hexdigest()[:16] / name
    write_whole(path, data)
    return path


def _png(mark: Mark) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mark.view(np.uint8) * np.uint8(255)).save(file, "png")
    return file.getvalue()


def _zip(pictures: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        for name, data in pictures.items():
            bundle.writestr(zipfile.ZipInfo(name, _ALWAYS), data)
    return file.getvalue()
