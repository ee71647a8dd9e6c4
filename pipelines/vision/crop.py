"""A part of a picture, in whole pixels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Crop:
    """A part of the picture, `[top, bottom)` by `[left, right)`, whole pixels; empty where there is no overlap."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def area(self) -> int:
        """Pixels."""
        return self.size[0] * self.size[1]

    def slices_in(self, other: "Crop") -> tuple[slice, slice]:
        """The rows and columns of `other` that it covers."""
        rows = slice(max(0, self.top - other.top), max(0, self.bottom - other.top))
        return rows, slice(max(0, self.left - other.left), max(0, self.right - other.left))

    def padded(self, pad: int, shape: tuple[int, ...]) -> "Crop":
        """`pad` pixels larger on each side, as far as a picture of `shape` (rows, columns, ...) goes."""
        return Crop(
            max(0, self.left - pad),
            max(0, self.top - pad),
            min(shape[1], self.right + pad),
            min(shape[0], self.bottom + pad),
        )

    def overlaps(self, other: "Crop") -> bool:
        """Whether they share a pixel."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def union(self, other: "Crop") -> "Crop":
        """The smallest that holds both."""
        return Crop(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def enlarged(self, times: int) -> "Crop":
        """The same part of a picture `times` as large."""
        return Crop(self.left * times, self.top * times, self.right * times, self.bottom * times)
