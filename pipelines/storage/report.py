"""Write `report.json`."""

import json
from pathlib import Path
from typing import Any

from pipelines.storage.atomic import atomic_write
from pipelines.storage.names import encodable


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write `report` as JSON. Raises ValueError where a number is not finite."""
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        json.dump(encodable(report), file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")
