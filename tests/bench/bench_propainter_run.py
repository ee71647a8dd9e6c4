"""A whole run of the engine `propainter` without a video around it: CPU seconds per frame, and peak memory.

    python tests/bench/bench_propainter_run.py [--size 432x240] [--frames 40] [--weights DIR] [--threads 1] [--times 10]

Each run is a process of its own, from its start to its last frame: frames that drift and a hole of 30 % of each side
that wanders, published defaults. The memory is the most that the process held (resident, with Python, torch and the
weights). The growth is measured with short chunks (12 flows, 6 neighbours, every 3rd frame) and one round of flow, so
that ten times as many frames take minutes, not hours. Beside the CPU seconds stand those of plain networks, measured
in the same run by `bench_propainter.py`, which leave out image propagation, masks and blending. Read the ratios.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from memory.units import MIB  # noqa: E402  after the path is set

DEFAULTS, SHORT = (80, 10, 10, 20), (12, 6, 3, 1)


def cache(width: int, height: int, start: int, stop: int) -> Iterator[tuple[Any, Any]]:
    import numpy as np

    still = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    for index in range(start, stop):
        mask = np.zeros((height, width), np.bool_)
        top, left = height // 3, width // 4 + index % (width // 4)
        mask[top : top + height * 3 // 10, left : left + width * 3 // 10] = True
        yield np.roll(still, index, axis=1), mask


def one_run(
    width: int, height: int, frames: int, numbers: tuple[int, ...], threads: int, weights: Path
) -> None:
    """CPU seconds per frame and peak bytes of a run, on stdout."""
    import torch

    from memory.ladder import Effort, Ladder
    from pipelines.inpainting.propainter.engine import load_networks
    from pipelines.inpainting.propainter.schedule import Schedule
    from pipelines.inpainting.propainter.streaming import Chain, Recipe
    from pipelines.spans import Span

    torch.set_num_threads(threads)
    networks = load_networks(weights, "cpu")
    schedule = Schedule(frames, *numbers[:3])
    plan = Recipe(schedule, numbers[3], capacity=schedule.most_reused)

    def read(start: int, stop: int) -> Any:
        yield from cache(width, height, start, stop)

    start = time.process_time()
    painted = sum(1 for _ in Chain(read, networks, Ladder(Effort(1), ()), plan, Span(0, frames)).frames())
    spent = time.process_time() - start
    print(spent / painted, most_held())


def most_held() -> int:
    """The most that this process held, bytes. What `getrusage` tells counts the process that started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measured(*given: object) -> tuple[float, int]:
    """The same in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--one", *map(str, given)]
    quiet = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    seconds, peak = subprocess.run(
        command, check=True, capture_output=True, text=True, env=quiet
    ).stdout.split()
    return float(seconds), int(peak)


def plain_seconds(width: int, height: int, weights: Path, threads: int) -> float:
    """CPU seconds per frame of the networks written down plainly."""
    import bench_propainter as networks
    import torch

    torch.set_num_threads(threads)
    with torch.inference_mode():
        rows = networks.flows(weights, height, width, 1) + networks.completion(weights, height, width, 1)
        rows += networks.windows(weights, height, width, 0.3, 1)
    return sum(row[1] for row in rows if not row[0].startswith(" "))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="432x240")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--times", type=int, default=10, help="how many times as many frames show the growth")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--one", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        *sizes, weights = arguments.one
        width, height, frames, threads, *numbers = map(int, sizes)
        one_run(width, height, frames, tuple(numbers), threads, Path(weights))
        return
    width, height = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as scratch:
        weights = arguments.weights or Path(scratch)
        if not arguments.weights:
            import bench_propainter

            bench_propainter.random_weights(weights)
        threads = arguments.threads
        seconds, peak = measured(width, height, arguments.frames, threads, *DEFAULTS, weights)
        slow = plain_seconds(width, height, weights, threads)
        lengths = [60, 60 * arguments.times]
        grown = [measured(128, 128, frames, threads, *SHORT, weights)[1] for frames in lengths]
    lines = [
        f"{arguments.size}, {arguments.frames} frames, {threads} thread(s): {seconds:.2f} CPU seconds per frame, "
        f"{seconds / slow:.2f} of the plain networks' {slow:.2f}; {peak / MIB:.0f} MiB at the most",
        f"128x128, short chunks: {grown[0] / MIB:.0f} MiB at {lengths[0]} frames, {grown[1] / MIB:.0f} MiB at "
        f"{lengths[1]}: {grown[1] / grown[0]:.3f} times as much",
    ]
    print("\n".join(lines))
    (HERE / "results" / f"propainter-run-{arguments.size}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
