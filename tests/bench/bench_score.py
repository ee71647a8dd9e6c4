"""Throughput and memory of `score` against a bare decode of the same file, in the same run.

    python tests/bench/bench_score.py [--frames 600] [--long 18000] [--sizes 854x480 1920x1080]

Machines are noisy: read the ratios. Peak memory is the summed PSS of the whole process tree, sampled every 50 ms.
Results are printed as a table and kept in tests/bench/results/.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import imageio_ffmpeg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from memory.meter import Meter  # noqa: E402  after the path is set
from memory.units import MIB  # noqa: E402  after the path is set


def make_clip(path: Path, size: str, frames: int) -> None:
    """A moving test picture with noise, so that decoding costs what a real clip costs; 600 frames, repeated."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    source = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30", "-vf", "noise=alls=6:allf=t")
    coding = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-bf", "0", "-pix_fmt", "yuv420p")
    once = path.with_name(f"once-{path.name}")
    subprocess.run([*ffmpeg, *source, "-frames:v", "600", *coding, str(once)], check=True)
    repeats = ("-stream_loop", str(frames // 600), "-i", str(once), "-frames:v", str(frames), "-c", "copy")
    subprocess.run([*ffmpeg, *repeats, str(path)], check=True)
    once.unlink()


def bare_decode_fps(path: Path) -> float:
    """Frames per second of PyAV alone, each frame converted to RGB."""
    begin, count = time.perf_counter(), 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            frame.to_ndarray(format="rgb24", threads=1)
            count += 1
    return count / (time.perf_counter() - begin)


def score(path: Path, folder: Path) -> tuple[float, float, float, int]:
    """Frames per second from plan to result, seconds to the first segment and in all, peak bytes of the tree."""
    begin = time.time()
    command = [
        sys.executable,
        "-m",
        "pipelines",
        "score",
        str(path),
        "--jobs-dir",
        str(folder),
        "--force",
        "--json",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with Meter(process.pid, interval_seconds=0.05) as meter:
        events = [json.loads(line) for line in process.stdout or ()]
        process.wait()
    times = {
        kind: next(e["time"] for e in events if e["type"] == kind) for kind in ("planned", "segment", "done")
    }
    frames = next(e["frames"] for e in events if e["type"] == "planned")
    fps = frames / (times["done"] - times["planned"])
    return fps, times["segment"] - begin, times["done"] - begin, meter.peak.host_bytes if meter.peak else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--long", type=int, default=6000)
    parser.add_argument("--sizes", nargs="+", default=["854x480", "1920x1080"])
    chosen = parser.parse_args()
    lines = [
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, PyAV {av.__version__}"
    ]
    lines.append(
        "| size | frames | bare decode fps | score fps | ratio | first span s | whole s | peak MiB |"
    )
    lines.append("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in chosen.sizes:
            for frames in (chosen.frames, chosen.long):
                clip = folder / f"{size}-{frames}.mp4"
                make_clip(clip, size, frames)
                bare = bare_decode_fps(clip)
                fps, first, whole, peak = score(clip, folder / "jobs")
                lines.append(
                    f"| {size} | {frames} | {bare:.0f} | {fps:.0f} | {fps / bare:.2f} "
                    f"| {first:.1f} | {whole:.1f} | {peak / MIB:.0f} |"
                )
                print(lines[-1], flush=True)
                clip.unlink()
    print("\n".join(lines))
    (ROOT / "tests/bench/results/score.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
