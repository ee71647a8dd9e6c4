"""Try everything: `python -m tests.faults --out DIR` runs all campaigns, as many at a time as there are processors.

Each prints its last line as it ends, and keeps all of them in `DIR/NAME.txt`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.harness import ROOT

TASKS = ("crew", "inpaint", "track", "animate", "folder", "score")
"""The longest first, so that none is left to run alone."""
HISTORIES, FILES = 200, 3000


def campaigns(most: int | None, seed: int) -> dict[str, list[str]]:
    """Return the arguments of each campaign by its name; `most`: how many of each task's calls or moments are tried."""
    few = ["--most", str(most)] if most else []
    found = {
        f"{kind}-{task}": ["-m", "tests.faults.campaign", task, "--only", kind, *few]
        for kind in ("fail", "kill")
        for task in TASKS
    }
    for task in TASKS:
        found[f"power-{task}"] = ["-m", "tests.faults.power", task, "--seed", str(seed), *few]
    pytest = ["-m", "pytest", "-n0", "-q", "tests/faults/test_histories.py", f"--hypothesis-seed={seed}"]
    found["histories"] = pytest
    found["fuzz"] = ["-m", "tests.faults.fuzz", "--count", str(FILES), "--seed", str(seed)]
    return found


def main() -> int:
    """Run them all; return 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--most", type=int, help="calls or moments of each task; all by default")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    out = (given.out or Path(tempfile.mkdtemp(prefix="faults-"))).absolute()
    out.mkdir(parents=True, exist_ok=True)

    def run(named: tuple[str, list[str]]) -> int:
        name, arguments = named
        began = time.monotonic()
        environment = {"LONGTAKE_HISTORIES": str(HISTORIES), **os.environ}
        with (out / f"{name}.txt").open("w") as log:
            status = subprocess.run(
                [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log, check=False
            ).returncode
        said = (out / f"{name}.txt").read_text().strip().splitlines() or ["(nothing)"]
        print(f"{name} ({(time.monotonic() - began) / 60:.0f} min, status {status}): {said[-1]}", flush=True)
        return status

    with ThreadPoolExecutor(given.processes) as pool:
        return int(any(list(pool.map(run, campaigns(given.most, given.seed).items()))))


if __name__ == "__main__":
    sys.exit(main())
