"""Animating with the built-in engine: CPU time, and the most that a run holds, for short and long drivings.

    python tests/bench/bench_animate.py [--frames 300 3000] [--sizes 512] [--minutes 0]

Portrait and driving face are a picture in the public domain that scikit-image ships; the driving is a face that
speaks, with sound, at 30000/1001 frames a second. Memory is that of the whole process tree, as the run itself measures
it. `--minutes 10` also makes one so long, and says how far apart its sound and its pictures end.
Results are printed as a table and kept in tests/bench/results/.
"""

import argparse
import csv
import itertools
import platform
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
from skimage import data

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from memory.units import MIB  # noqa: E402  after the path is set
from pipelines.example.moving_face import MovingFace, astronaut, speaking  # noqa: E402  after the path is set
from pipelines.video.writer import VideoWriter  # noqa: E402

RATE = Fraction(30000, 1001)
LOOP = 120


def driving(path: Path, frames: int) -> None:
    """Someone who says the same again and again, and hums."""
    face = MovingFace(astronaut())
    poses = speaking(LOOP // 2)
    said = [face.frame(pose) for pose in (*poses, *reversed(poses))]
    silent = path.with_name(f"silent-{path.name}")
    with VideoWriter(silent, 256, 256, RATE, preset="ultrafast") as writer:
        for frame in itertools.islice(itertools.cycle(said), frames):
            writer.write(frame)
    hum = f"sine=frequency=220:sample_rate=44100:duration={float(frames / RATE)}"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(silent)]
    command = [*ffmpeg, "-f", "lavfi", "-i", hum, "-c:v", "copy", "-c:a", "aac", str(path)]
    subprocess.run(command, check=True)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def animated(portrait: Path, clip: Path, folder: Path) -> tuple[float, float, Path]:
    """CPU seconds of all its processes, the most bytes held, the film."""
    film, jobs = folder / f"{portrait.stem}-{clip.stem}.mp4", folder / f"jobs-{portrait.stem}-{clip.stem}"
    command = [
        "animate",
        str(portrait),
        str(clip),
        "--engine",
        "flowwarp",
        "-o",
        str(film),
        "--jobs-dir",
        str(jobs),
    ]
    begin = cpu_seconds()
    subprocess.run([sys.executable, "-m", "pipelines", *command], check=True, cwd=ROOT, capture_output=True)
    seconds = cpu_seconds() - begin
    with next(jobs.glob("*/memory.csv")).open() as file:
        rows = list(csv.reader(file))[1:]
    return seconds, max(float(row[1]) for row in rows), film


def apart(film: Path) -> float:
    """Seconds from the end of the pictures to that of the sound."""
    ends = {}
    with av.open(str(film)) as container:
        for packet in container.demux():
            if packet.pts is not None:
                end = float((packet.pts + packet.duration) * packet.time_base)
                ends[packet.stream.type] = max(ends.get(packet.stream.type, 0.0), end)
    return ends["audio"] - ends["video"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512])
    parser.add_argument("--minutes", type=float, default=0)
    arguments = parser.parse_args()
    lines = [
        f"{platform.machine()}, Python {platform.python_version()}. CPU seconds of the whole command, encoder and all; "
        "the driving is 256 x 256.",
        "",
        "| portrait | frames | frames for each CPU second | most held, MiB | sound ends after the pictures, s |",
        "|---|---|---|---|---|",
    ]
    lengths = [*arguments.frames, *([round(arguments.minutes * 60 * RATE)] if arguments.minutes else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in arguments.sizes:
            portrait = folder / f"{size}.png"
            picture = cv2.resize(data.astronaut(), (size, size), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(portrait), picture[..., ::-1])
            for frames in lengths:
                clip = folder / f"{frames}.mp4"
                if not clip.exists():
                    driving(clip, frames)
                seconds, most, film = animated(portrait, clip, folder)
                row = f"{size} x {size} | {frames} | {frames / seconds:.1f} | {most / MIB:.0f} | {apart(film):+.3f}"
                lines.append(f"| {row} |")
                print(lines[-1], flush=True)
    out = ROOT / "tests/bench/results/animate.md"
    out.write_text("\n".join(["# bench_animate", "", *lines, ""]), encoding="utf-8")
    print(out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
