"""What it costs to know a film by all its bytes: a large file, read once and then looked up.

    python tests/bench/bench_hash.py FOLDER [--gb 10]

Writes a file of random bytes and a sparse one of the same size into FOLDER, hashes each after the page cache has
forgotten it and again from the page cache, by SHA-256 and for comparison by BLAKE2b, and asks for it once more. Prints
seconds, GB/s, CPU seconds and the growth of the process. The files are removed.
"""

import argparse
import hashlib
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from memory.units import KIB, MIB
from pipelines.storage.contents import read_contents


def forget(path: Path) -> None:
    """Have the page cache drop the file."""
    os.sync()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write(path: Path, size: int, *, sparse: bool) -> Path:
    block = os.urandom(64 * MIB)
    with path.open("wb") as file:
        if sparse:
            file.truncate(size)
        else:
            for start in range(0, size, len(block)):
                file.write(block[: size - start])
    return path


def by_blake2b(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        hashlib.file_digest(file, "blake2b")


def row(name: str, size: int, call: Callable[[], object]) -> None:
    before, cpu = time.monotonic(), time.process_time()
    call()
    seconds, used = time.monotonic() - before, time.process_time() - cpu
    print(f"| {name} | {seconds:.3f} s | {size / seconds / 1e9:.2f} | {used:.3f} s |", flush=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gb", type=float, default=10.0)
    asked = parser.parse_args()
    size = int(asked.gb * 1e9)
    os.environ["LONGTAKE_CACHE"] = str(asked.folder / "bench-hash-cache")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{asked.gb:g} GB; load {os.getloadavg()[0]:.1f}\n\n| | time | GB/s | CPU |\n|---|---|---|---|"
    )
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind in ("random", "sparse"):
        path = write(asked.folder / f"bench-hash-{kind}", size, sparse=kind == "sparse")
        try:
            forget(path)
            row(f"{kind}, from the disk", size, lambda path=path: read_contents(path))
            row(f"{kind}, asked again", size, lambda path=path: read_contents(path))
            row(f"{kind}, BLAKE2b", size, lambda path=path: by_blake2b(path))
        finally:
            path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident) * KIB / MIB
    print(f"\nThe process grew by {grown:.1f} MiB (64 of them to write the file).")


if __name__ == "__main__":
    main()
