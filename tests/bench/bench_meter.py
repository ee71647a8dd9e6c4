"""The memory meter against reading PSS at every sample, on the same process tree in the same run.

    python tests/bench/bench_meter.py [--held-mib 1024] [--threads 64] [--seconds 10] [--rounds 3]

A process that holds memory in small pages and has as many threads as a network's worker, with a child, is measured ten
times a second, alternately by `memory.process_tree` and by psutil's PSS and children. Prints the CPU time of the
measuring thread as a share of one core; medians of the rounds.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import psutil

from memory.process_tree import ProcessTree
from memory.units import MIB

HZ = 10

HOLDER = """
import mmap, subprocess, sys, threading
held = mmap.mmap(-1, int(sys.argv[1]))
if hasattr(mmap, "MADV_NOHUGEPAGE"):
    held.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, len(held), mmap.PAGESIZE):
    held[at] = 1
for _ in range(int(sys.argv[2])):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print("ready", flush=True)
input()
child.communicate()
"""


def by_psutil(pid: int) -> Callable[[], object]:
    def read() -> object:
        root = psutil.Process(pid)
        return [each.memory_full_info() for each in (root, *root.children(recursive=True))]

    return read


def cost(read: Callable[[], object], seconds: float) -> float:
    """CPU time of reading ten times a second, as a share of one core."""
    begin = time.monotonic()
    used = 0.0
    for number in range(round(seconds * HZ)):
        time.sleep(max(0.0, begin + number / HZ - time.monotonic()))
        before = time.thread_time()
        read()
        used += time.thread_time() - before
    return used / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held-mib", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(asked.held_mib * MIB), str(asked.threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout
        holder.stdout.readline()
        ours, plain = [], []
        for _ in range(asked.rounds):
            ours.append(cost(ProcessTree(holder.pid).read, asked.seconds))
            plain.append(cost(by_psutil(holder.pid), asked.seconds))
    finally:
        holder.communicate(b"\n")
    a, b = statistics.median(ours), statistics.median(plain)
    print(f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"{asked.held_mib} MiB in small pages, {asked.threads} threads, one child; {HZ} readings a second\n"
    )
    print("| | ours | PSS at every reading | ratio |\n|---|---|---|---|")
    print(f"| CPU time, % of one core | {a:.2%} | {b:.2%} | {a / b:.3f} |")


if __name__ == "__main__":
    main()
