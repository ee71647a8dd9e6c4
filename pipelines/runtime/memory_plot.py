"""Plot of a run's memory over time, with the prediction and the limit."""

import csv
from pathlib import Path

from matplotlib.figure import Figure

from memory.units import GIB


def draw_memory(
    table: Path, picture: Path, *, predicted_bytes: int, limit_bytes: int | None, title: str
) -> None:
    """Plot `table` (columns seconds, host_bytes, device_bytes; at most 1,000 rows) into the PNG `picture`."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    seconds = [float(row["seconds"]) for row in rows]
    figure = Figure(figsize=(9, 3), dpi=110)
    # Fixed margins: a tight layout would draw everything two more times.
    axes = figure.add_axes((0.08, 0.17, 0.9, 0.71))
    for column, label, colour in (("host_bytes", "host", "#2f6f8f"), ("device_bytes", "device", "#b5651d")):
        used = [int(row[column]) / GIB for row in rows]
        if any(used):
            axes.plot(seconds, used, color=colour, label=label)
    axes.axhline(predicted_bytes / GIB, color="#777", linestyle="--", linewidth=1, label="predicted")
    if limit_bytes:
        axes.axhline(limit_bytes / GIB, color="#b00020", linewidth=1, label="limit")
    axes.set(xlabel="seconds", ylabel="GiB", title=title, ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", ncols=4)
    figure.savefig(picture, format="png")
