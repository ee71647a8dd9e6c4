"""The samples of one frame as decoded, upright and otherwise untouched."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipelines.video.samples.layout import SampleLayout, Subsampling, is_planar, layout_of
from pipelines.video.samples.tag_names import MATRICES, RANGES

Plane = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Planes:
    """Code values of a frame, one array per component, uint8 or (above 8 bits) uint16, values in the low bits.

    `colours` are `(y,)`, `(y, u, v)` or `(r, g, b)`, as `subsampling` says; chroma has its own, smaller shape (odd
    sizes are rounded up). `alpha` is there where it is stored. Range and matrix are those of the video's colour tags.
    """

    colours: tuple[Plane, ...]
    bits: int
    subsampling: Subsampling
    alpha: Plane | None = None

    def __post_init__(self) -> None:
        wanted = {"gray": 1}.get(self.subsampling, 3)
        dtype = np.uint8 if self.bits == 8 else np.uint16
        if len(self.colours) != wanted or any(plane.dtype != dtype for plane in self.stored):
            kinds = ", ".join(f"{plane.shape} {plane.dtype}" for plane in self.stored)
            raise ValueError(f"{self.subsampling} at {self.bits} bits cannot be {kinds}")

    @property
    def layout(self) -> SampleLayout:
        """Depth, subsampling and transparency."""
        return SampleLayout(self.bits, self.subsampling, self.alpha is not None)

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return int(self.colours[0].shape[0])

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return int(self.colours[0].shape[1])

    @property
    def y(self) -> Plane:
        """Luma; of RGB, red."""
        return self.colours[0]

    @property
    def u(self) -> Plane:
        """First chroma plane."""
        return self.colours[1]

    @property
    def v(self) -> Plane:
        """Second chroma plane."""
        return self.colours[2]

    @property
    def r(self) -> Plane:
        """Red."""
        return self.colours[0]

    @property
    def g(self) -> Plane:
        """Green."""
        return self.colours[1]

    @property
    def b(self) -> Plane:
        """Blue."""
        return self.colours[2]

    @property
    def stored(self) -> tuple[Plane, ...]:
        """All planes in ffmpeg's order: RGB begins with green, alpha comes last."""
        planes = self.colours
        if self.subsampling == "rgb":
            planes = (planes[1], planes[2], planes[0])
        return planes if self.alpha is None else (*planes, self.alpha)

    @classmethod
    def of_stored(cls, planes: tuple[Plane, ...], layout: SampleLayout) -> "Planes":
        """Take planes in ffmpeg's order."""
        colours, alpha = (planes[:-1], planes[-1]) if layout.alpha else (planes, None)
        if layout.subsampling == "rgb":
            colours = (colours[2], colours[0], colours[1])
        return cls(colours, layout.bits, layout.subsampling, alpha)


def trimmed(planes: Planes, width: int, height: int) -> Planes:
    """Return the samples of the upper left part of a picture."""
    if (planes.width, planes.height) == (width, height):
        return planes
    layout = planes.layout
    chroma, whole = layout.chroma_size(width, height), planes.y.shape
    sizes = [(width, height) if plane.shape == whole else chroma for plane in planes.stored]
    parts = tuple(plane[:down, :across] for plane, (across, down) in zip(planes.stored, sizes, strict=True))
    return Planes.of_stored(parts, layout)


def planes_in(frame: VideoFrame) -> Planes:
    """View the samples of a decoded frame, as it lies; a copy of formats that are not planar."""
    layout = layout_of(frame.format.name)
    if not is_planar(frame.format.name):
        frame = frame.reformat(format=layout.pixel_format, threads=1)
    return Planes.of_stored(
        tuple(_plane(frame, number, layout) for number in range(len(frame.planes))), layout
    )


def planes_of(frame: VideoFrame, turns: int = 0) -> Planes:
    """Copy the samples of a decoded frame, turned counterclockwise by so many quarters. Holds one more copy."""
    viewed = planes_in(frame)
    planes, layout = viewed.stored, viewed.layout
    if turns % 2 and layout.subsampling == "422":
        width = frame.width
        planes = tuple(
            cast(Plane, np.repeat(plane, 2, axis=1)[:, :width]) if plane.shape[1] < width else plane
            for plane in planes
        )
        layout = layout.turned()
    return Planes.of_stored(tuple(np.rot90(plane, turns).copy() for plane in planes), layout)


def frame_of(planes: Planes, matrix: str | None = None, range: str | None = None) -> VideoFrame:
    """Copy `planes` into a frame of PyAV, tagged with a matrix and a range by ffmpeg's names. Holds one more copy."""
    frame = VideoFrame(planes.width, planes.height, planes.layout.pixel_format)
    frame.colorspace = next((number for number, name in MATRICES.items() if name == matrix), frame.colorspace)
    frame.color_range = next((number for number, name in RANGES.items() if name == range), frame.color_range)
    for target, source in zip(frame.planes, planes.stored, strict=True):
        rows = np.zeros((target.buffer_size // target.line_size, target.line_size), np.uint8)
        data = np.ascontiguousarray(source).view(np.uint8)
        rows[: data.shape[0], : data.shape[1]] = data
        target.update(rows.tobytes())
    return frame


def _plane(frame: VideoFrame, number: int, layout: SampleLayout) -> Plane:
    """View a plane of a planar frame without the padding of its rows."""
    plane = frame.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8 if layout.bits == 8 else np.uint16)
    rows = rows.reshape(-1, plane.line_size // rows.itemsize)
    chroma = number in (1, 2) and layout.subsampling in ("420", "422")
    width, height = layout.chroma_size(frame.width, frame.height) if chroma else (frame.width, frame.height)
    return cast(Plane, rows[:height, :width])
