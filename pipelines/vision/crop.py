"""A rectangular crop of a frame, in whole pixels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Crop:
    """Rows `[top, bottom)` and columns `[left, right)` of a frame; empty if it lies outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, for indexing an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.size[0] * self.size[1]

    def slices_in(self, other: "Crop") -> tuple[slice, slice]:
        """Return this crop's rows and columns relative to `other`, for indexing an array of the size of `other`."""
        rows = slice(max(0, self.top - other.top), max(0, self.bottom - other.top))
        return rows, slice(max(0, self.left - other.left), max(0, self.right - other.left))

    def padded(self, pad: int, shape: tuple[int, ...]) -> "Crop":
        """Grow by `pad` pixels on each side, clipped to a frame of `shape` (rows, columns, ...)."""
        return Crop(
            max(0, self.left - pad),
            max(0, self.top - pad),
            min(shape[1], self.right + pad),
            min(shape[0], self.bottom + pad),
        )

    def overlaps(self, other: "Crop") -> bool:
        """Whether the two crops share a pixel."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def union(self, other: "Crop") -> "Crop":
        """Return the smallest crop that contains both."""
        return Crop(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def enlarged(self, times: int) -> "Crop":
        """Return the same crop of a frame that is `times` as large."""
        return Crop(self.left * times, self.top * times, self.right * times, self.bottom * times)
