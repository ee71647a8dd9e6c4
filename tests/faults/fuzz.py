"""Damaged files of every kind that is read: `python -m tests.faults.fuzz --count 3000 --seed 1 --out DIR`.

Drawn files are mutated (bits, bytes, cut off, repeated, swapped and zeroed pieces) and given to the command line. It
ends with 0, or with 2 (input), 3 (limits), 4 (weights) and a sentence: never with 1 or a signal, never with a
traceback, never without an end.
"""

import argparse
import random
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.harness import Outcome, Prepared, cleared
from tests.faults.tasks import encoded

ALLOWED = {0, 2, 3, 4}
_FRAMES = 8


def bases(folder: Path) -> dict[str, Path]:
    """Draw a small file of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    source = f"testsrc2=size=48x32:rate=8:duration={_FRAMES / 8}"
    kinds = {
        "h264.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
        "h264.mkv": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
        "mpeg4.avi": ("-c:v", "mpeg4"),
        "mjpeg.mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
        "vp9.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8"),
        "h264.ts": ("-c:v", "libx264", "-pix_fmt", "yuv420p"),
        "drawn.gif": (),
    }
    found = {name: encoded(folder / name, source, *encode) for name, encode in kinds.items()}
    white = Image.fromarray(np.full((32, 48), 255, np.uint8))
    for name in ("mask.png", "mask.tiff", "mask.bmp", "mask.webp"):
        white.save(folder / name)
        found[name] = folder / name
    with zipfile.ZipFile(folder / "masks.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(_FRAMES):
            file.write(folder / "mask.png", f"{number}.png")
    return {**found, "masks.zip": folder / "masks.zip"}


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Damage `data` in one to four places."""
    for _ in range(draw.randint(1, 4)):
        data = draw.choice(MUTATORS)(data, draw) or data
    return data


def _piece(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(max(1, len(data)))
    return start, min(len(data), start + draw.choice((1, 2, 4, 8, 64, 1024)))


def _flip(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(max(1, len(data)))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _replace(data: bytes, draw: random.Random) -> bytes:
    start, stop = _piece(data, draw)
    return (
        data[:start] + draw.choice((bytes, lambda n: b"\xff" * n, draw.randbytes))(stop - start) + data[stop:]
    )


def _head(data: bytes, draw: random.Random) -> bytes:
    """Damage the beginning, where the structure of most files is told."""
    at = draw.randrange(min(len(data), 256))
    return data[:at] + draw.randbytes(1) + data[at + 1 :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    start, stop = _piece(data, draw)
    return data[:stop] + data[start:stop] * draw.randint(1, 8) + data[stop:]


def _remove(data: bytes, draw: random.Random) -> bytes:
    start, stop = _piece(data, draw)
    return data[:start] + data[stop:]


MUTATORS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _replace,
    _head,
    _cut,
    _repeat,
    _remove,
)


def wrong(outcome: Outcome) -> str | None:
    """What is wrong with how a command ended; None where it is as it should be."""
    if outcome.status not in ALLOWED:
        return f"ended with {outcome.status}: {outcome.stderr[-300:]}"
    if "Traceback" in outcome.stderr or "bug in Longtake" in outcome.stderr:
        return outcome.stderr[-300:]
    return "nothing was said" if outcome.status and not outcome.stderr.strip() else None


def fuzzed(
    prepared: Prepared, folder: Path, count: int, seed: int
) -> Iterator[tuple[str, int | None, str | None]]:
    """Try `count` damaged files; yield the name of each, the exit status, and what is wrong."""
    drawn, draw = bases(folder), random.Random(seed)
    clip = drawn["h264.mp4"]
    for number in range(count):
        name = draw.choice(list(drawn))
        damaged = cleared(prepared.area) / f"{number}-{name}"
        damaged.write_bytes(mutated(drawn[name].read_bytes(), draw))
        jobs = ("--quality", "draft", "--jobs-dir", str(prepared.area / "jobs"))
        is_mask = name.startswith("mask")
        command = (
            ["inpaint", str(clip), "--mask", str(damaged), *jobs]
            if is_mask
            else ["score", str(damaged), *jobs]
        )
        outcome = prepared.run(command)
        found = wrong(outcome)
        if found:
            (folder / damaged.name).write_bytes(damaged.read_bytes())
        yield damaged.name, outcome.status, found


def main() -> int:
    """Try damaged files; print what is wrong, with the file that was kept, and how many were right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = (given.out or Path(tempfile.mkdtemp(prefix="fuzz-"))).absolute()
    statuses: Counter[int | None] = Counter()
    faults = 0
    with Prepared() as prepared:
        for name, status, found in fuzzed(prepared, out / "kept", given.count, given.seed):
            statuses[status] += 1
            if found:
                faults += 1
                print(f"WRONG {out / 'kept' / name}: {found}", flush=True)
    print(
        f"seed {given.seed}: {given.count - faults} of {given.count} right; by exit status: {dict(statuses)}"
    )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
