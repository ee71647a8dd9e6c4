"""Plot of a run's memory over time, with the prediction and the limit."""

import csv
from pathlib import Path

from memory.units import GIB
from pipelines.drawing.chart import Box, Chart
from pipelines.drawing.panel import INK, TITLE_PX, Key, Panel, ticks_of

_WIDTH, _HEIGHT = 990, 330
_PLACE = Box(79, 74, 972, 274)
_HOST, _DEVICE, _PREDICTED, _LIMIT = "#2f6f8f", "#b5651d", "#777777", "#b00020"


def draw_memory(
    table: Path, picture: Path, *, predicted_bytes: int, limit_bytes: int | None, title: str
) -> None:
    """Plot `table` (columns seconds, host_bytes, device_bytes; at most 1,000 rows) into the PNG `picture`."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    seconds = [float(row["seconds"]) for row in rows]
    host, device = ([int(row[name]) / GIB for row in rows] for name in ("host_bytes", "device_bytes"))
    predicted, limit = predicted_bytes / GIB, (limit_bytes or 0) / GIB
    top = 1.05 * max(*host, *device, predicted, limit, 0.01)

    chart = Chart(_WIDTH, _HEIGHT)
    panel = Panel(chart, _PLACE, seconds[0], seconds[-1], top)
    panel.scales(ticks_of(panel.start, panel.stop), "seconds")
    chart.text("GiB", 14, (_PLACE.top + _PLACE.bottom) / 2, INK, anchor="lm", turned=True)
    chart.text(title, _PLACE.left, 16, INK, size_px=TITLE_PX, anchor="la")
    panel.level(predicted, _PREDICTED)
    keys = [Key("predicted", _PREDICTED, "dash")]
    if limit:
        panel.level(limit, _LIMIT, dash=None)
        keys.append(Key("limit", _LIMIT))
    for used, words, colour in ((device, "device", _DEVICE), (host, "host", _HOST)):
        if any(used):
            panel.curve(seconds, used, colour)
            keys.insert(0, Key(words, colour))
    panel.legend(keys)
    chart.save(picture)
