"""A report in plain words: the summary of `report.json` as HTML."""

import json
from pathlib import Path


def read_report(path: Path) -> str:
    return f"<pre>{json.dumps(json.loads(path.read_text()))[:2000]}</pre>"
