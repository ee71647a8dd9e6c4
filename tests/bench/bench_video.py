"""Reader and writer against what they are built on, on the same file in the same run.

    python tests/bench/bench_video.py [--width 1920 --height 1080 --frames 600] [--rounds 3]

Prints medians. `bare` is a plain PyAV loop with the same conversion and nothing around it.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
import psutil

from memory.units import MIB
from pipelines.video.probe import VideoInfo, probe
from pipelines.video.reader import read_frames
from pipelines.video.writer import VideoWriter

FULL_RANGE = np.clip((np.arange(256) - 16) * 255 / 219, 0, 255).astype(np.uint8)


def make_clip(path: Path, width: int, height: int, frames: int) -> None:
    picture = f"testsrc2=s={width}x{height}:r=25,noise=alls=12:allf=t"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    encode = [
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "23",
        "-bf",
        "3",
        "-g",
        "250",
        "-pix_fmt",
        "yuv420p",
    ]
    subprocess.run([*command, "-frames:v", str(frames), *encode, str(path)], check=True)


def bare(path: Path, convert: Callable[[av.VideoFrame], object]) -> int:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for frame in container.decode(video=0) if convert(frame) is not None)


def bare_luma(frame: av.VideoFrame) -> object:
    plane = frame.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return cv2.LUT(luma, FULL_RANGE)


def through_reader(info: VideoInfo, convert: Callable[[object], object], decoder: str) -> int:
    with closing(read_frames(info, decoder=decoder)) as frames:
        return sum(1 for frame in frames if convert(frame) is not None)


def rate(run: Callable[[], int]) -> float:
    begin = time.perf_counter()
    return run() / (time.perf_counter() - begin)


def slow_consumer_growth(path: Path, frames: int) -> float:
    """MiB that the process grows by while a consumer takes a frame every 20 ms."""
    process, marks = psutil.Process(), []
    with closing(read_frames(probe(path), 0, frames, decoder="pyav")) as read:
        for frame in read:
            frame.rgb()
            time.sleep(0.02)
            marks.append(process.memory_info().rss)
    return (max(marks[len(marks) // 2 :]) - max(marks[: len(marks) // 2])) / MIB


def write(path: Path, width: int, height: int, frames: int) -> int:
    picture = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    with VideoWriter(path, width, height, Fraction(25)) as out:
        for index in range(frames):
            out.write(np.roll(picture, index, axis=1))
    return frames


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(clip, asked.width, asked.height, asked.frames)
        info = probe(clip)
        runs: dict[str, Callable[[], int]] = {
            "bare rgb": lambda: bare(clip, lambda frame: frame.to_ndarray(format="rgb24", threads=1)),
            "reader rgb": lambda: through_reader(info, lambda frame: frame.rgb(), "pyav"),
            "bare luma": lambda: bare(clip, bare_luma),
            "reader luma": lambda: through_reader(info, lambda frame: frame.luma(), "pyav"),
            "reader luma 480": lambda: through_reader(info, lambda frame: frame.luma(480), "pyav"),
            "reader rgb ffmpeg": lambda: through_reader(info, lambda frame: frame.rgb(), "ffmpeg"),
            "writer": lambda: write(Path(folder) / "out.mp4", asked.width, asked.height, asked.frames // 3),
        }
        # One round in turn, so that a busy minute hits all alike.
        rounds = [{name: rate(run) for name, run in runs.items()} for _ in range(asked.rounds)]
        medians = {name: statistics.median(r[name] for r in rounds) for name in runs}
        print(
            f"{info.width}x{info.height}, {info.frames} frames, {asked.rounds} rounds, {psutil.cpu_count()} cores"
        )
        for name, figure in medians.items():
            print(f"{name:20} {figure:8.0f} frames/s")
        for kind in ("rgb", "luma"):
            ratio = statistics.median(r[f"reader {kind}"] / r[f"bare {kind}"] for r in rounds)
            print(f"reader / bare, {kind:5} {ratio:8.2f}")
        print(f"slow consumer grows  {slow_consumer_growth(clip, min(200, asked.frames)):8.1f} MiB")


if __name__ == "__main__":
    main()
