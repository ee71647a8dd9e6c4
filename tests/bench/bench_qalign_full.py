"""Q-Align at its published size, through the command line, under a limit that is smaller than its weights.

    python tests/bench/bench_qalign_full.py --folder /somewhere/with/17GB [--frames 6] [--ram-limit-gb 8]

The weights are random: what they say of a video means nothing, what they take is what the published ones take. They are
written once into the folder, in shards of bfloat16 as published, and stay there. Each row is one run of `score --engine
qalign` over a drawn clip, from the plan to the last file; memory is that of the whole process tree, by the job's
own account. The CPU time of a window contains that of its newest frame.
Results are printed as a table and kept in tests/bench/results/.
"""

import argparse
import csv
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from memory.units import GIB  # noqa: E402  after the path is set
from pipelines.nets.qalign.config import read_config  # noqa: E402
from pipelines.nets.qalign.model import expected_shapes  # noqa: E402  after the path is set

RESULTS = Path(__file__).parent / "results" / "qalign_full.md"
SHARD_BYTES = 2**31


def write_weights(folder: Path) -> None:
    """Random weights under the published names; one row of noise serves all, so that it takes minutes, not hours."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    config.write_text(json.dumps({"model_type": "mplug_owl2", "torch_dtype": "bfloat16"}))
    noise = torch.randn(1 << 24, generator=torch.Generator().manual_seed(0))
    shard: dict[str, torch.Tensor] = {}
    names: dict[str, str] = {}
    held, number = 0, 0

    def flush() -> None:
        nonlocal shard, held, number
        number += 1
        name = f"model-{number:05d}.safetensors"
        save_file(shard, folder / name)
        names.update(dict.fromkeys(shard, name))
        shard, held = {}, 0

    for name, shape in expected_shapes(read_config({"config.json": config})).items():
        count = torch.Size(shape).numel()
        fan_in = torch.Size(shape[1:]).numel()
        numbers = noise.repeat(-(-count // len(noise)))[:count].view(shape)
        scaled = 0.1 * numbers + float(name.endswith("weight")) if len(shape) == 1 else numbers / fan_in**0.5
        shard[name] = scaled.bfloat16().contiguous()
        held += 2 * count
        if held > SHARD_BYTES:
            flush()
    flush()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


def draw(path: Path, frames: int) -> None:
    source = ["-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=10:duration={frames / 10}"]
    encode = ["-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, *encode], check=True)


def run(clip: Path, weights: Path, jobs: Path, limit_gb: float, *more: str) -> dict[str, float]:
    """CPU seconds and the most that was held in one run; raises where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = [
        "--engine",
        "qalign",
        "--weights",
        str(weights),
        "--device",
        "cpu",
        "--ram-limit-gb",
        str(limit_gb),
    ]
    command = [
        sys.executable,
        "-m",
        "pipelines",
        "score",
        str(clip),
        *asked,
        *more,
        "--jobs-dir",
        str(jobs),
        "--json",
    ]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    done: Any = [json.loads(line) for line in told.splitlines() if '"done"' in line][-1]
    with Path(done["outputs"]["memory"]).open() as table:
        rows = list(csv.DictReader(table))
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak": max(float(row["host_bytes"]) for row in rows) / GIB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--frames", type=int, nargs=2, default=[2, 6], help="of a short run and a longer one")
    parser.add_argument("--ram-limit-gb", type=float, default=8.0)
    parser.add_argument("--bits", nargs="+", default=["16", "4"])
    options = parser.parse_args()
    weights = options.folder / "qalign-random"
    if not (weights / "model.safetensors.index.json").exists():
        write_weights(weights)
    size = sum(path.stat().st_size for path in weights.glob("*.safetensors")) / GIB
    lines = [
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}; random weights of the "
        f"published size ({size:.1f} GiB in files), windows of 3, --ram-limit-gb {options.ram_limit_gb:g}.",
        "",
        "| bits | most held, GiB | CPU s a window, with its frame | CPU s of the rest: start, weights, files |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for bits in options.bits:
            found = []
            for frames in options.frames:
                clip = folder / f"{frames}.mp4"
                draw(clip, frames)
                jobs = folder / f"jobs-{bits}-{frames}"
                found.append(run(clip, weights, jobs, options.ram_limit_gb, "--weight-bits", bits))
            short, long = found
            few, many = options.frames
            each = (long["cpu"] - short["cpu"]) / (many - few)
            rest = short["cpu"] - few * each
            lines.append(f"| {bits} | {max(f['peak'] for f in found):.2f} | {each:.0f} | {rest:.0f} |")
            print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
