"""Readings over time in bounded space: a full timeline is halved, keeping the peaks."""

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """Memory at one moment: used by our processes on host and devices, and available on the host.

    `seconds` counts from the start of the measurement.
    """

    seconds: float
    host_bytes: int
    host_available_bytes: int
    device_bytes: int

    def worst(self, other: "Reading") -> "Reading":
        """Merge two readings: the earlier time, the most used, the least available."""
        return Reading(
            min(self.seconds, other.seconds),
            max(self.host_bytes, other.host_bytes),
            min(self.host_available_bytes, other.host_available_bytes),
            max(self.device_bytes, other.device_bytes),
        )


class PeakTimeline:
    """At most `capacity` points for any number of readings; each is the worst of equally many readings."""

    def __init__(self, capacity: int = 1000) -> None:
        if capacity < 2:
            raise ValueError(f"a timeline needs room for 2 points, not {capacity}")
        self._capacity = capacity
        self._points: list[Reading] = []
        self._readings_per_point = 1
        self._in_last = 0

    def add(self, reading: Reading) -> None:
        """Append a reading, halving the timeline first where it is full."""
        if self._points and self._in_last < self._readings_per_point:
            self._points[-1] = self._points[-1].worst(reading)
            self._in_last += 1
            return
        if len(self._points) == self._capacity:
            self._halve()
        self._points.append(reading)
        self._in_last = 1

    def points(self) -> tuple[Reading, ...]:
        """The points so far, oldest first."""
        return tuple(self._points)

    def write_csv(self, path: Path) -> None:
        """Write one row per point. Raises OSError."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(field.name for field in fields(Reading))
            for seconds, *sizes in map(astuple, self._points):
                writer.writerow([f"{seconds:.3f}", *sizes])

    def _halve(self) -> None:
        pairs = zip(self._points[::2], self._points[1::2], strict=False)
        odd = self._points[-1:] if len(self._points) % 2 else []
        self._points = [a.worst(b) for a, b in pairs] + odd
        self._readings_per_point *= 2
