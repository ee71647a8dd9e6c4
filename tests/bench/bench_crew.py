"""How much faster several workers are, on an engine that only sleeps, so that cores do not decide.

    python tests/bench/bench_crew.py [--seconds 640] [--workers 1 2 4 8] [--halo 0] [--ray] [-o FILE]

A film of 3,200 small frames is "computed" by sleeping for each, in spans of 20 frames; `--halo` sleeps as well for so
many frames on either side of each stretch. Times count from the plan, before any worker is started, to the last span.
Prints a table: seconds, speed-up over one worker, what is possible with that halo, and how long the first worker that
had nothing left to do waited for the last one. With `--ray` the workers are those of a Ray cluster that is started for
this (requirements-ray.txt has to be installed): a machine without a place, and one with as many as are wanted.
"""

import argparse
import contextlib
import json
import os
import platform
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg

ROOT = Path(__file__).resolve().parents[2]
FRAMES, SPAN_FRAMES = 3200, 20

PLUGIN = '''
"""A task whose frames take time and nothing else."""

import time
from dataclasses import replace

import numpy as np

import pipelines.runtime.planning as planning
from pipelines.settings import FilmSettings
from pipelines.settings.base import setting
from pipelines.spec import EngineSpec, InputSpec, TaskSpec, register_engine, register_task
from presets.tiers import own_tiers

SPAN_FRAMES = @SPAN@
_choose = planning.choose


def choose(*given, **more):
    choice = _choose(*given, **more)
    return replace(choice, values={**choice.values, "span_frames": SPAN_FRAMES})


planning.choose = choose


class NapSettings(FilmSettings):
    """Sleep for each frame."""

    nap: float = setting("Sleep of a frame.", changes_result=True, unit="s", default=0.1, ge=0)
    nap_halo: int = setting("Frames on either side.", changes_result=True, default=0, ge=0)


def open_nap(inputs, settings):
    """One film."""
    from pipelines.frame_task import FrameEngine, FramePipeline

    class Nap(FrameEngine):
        name = "plain"

        def halo(self, run):
            return 2 * self.settings.nap_halo

        def frames(self, run, start, stop):
            halo = min(start - run.frames.start, self.settings.nap_halo)
            halo += min(run.frames.stop - stop, self.settings.nap_halo)
            time.sleep(halo * self.settings.nap)
            for index in range(start, stop):
                time.sleep(self.settings.nap)
                yield np.full((self.video.height, self.video.width, 3), index % 251, np.uint8)

    class NapPipeline(FramePipeline):
        task = "nap"

    return NapPipeline.open(Nap, inputs, settings)


register_task(
    TaskSpec(
        name="nap",
        title=("Nap", "Nap"),
        help="Sleep.",
        settings=NapSettings,
        inputs=(InputSpec("file", "The video.", ("Video", "Video")),),
        result_version=1,
        presets=own_tiers().task("copy"),
    )
)
register_engine(EngineSpec(task="nap", name="plain", open=open_nap))
'''


def film(path: Path) -> Path:
    """Draw a film of `FRAMES` frames."""
    source = f"testsrc=size=64x48:rate=25:duration={FRAMES / 25}"
    encode = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", source, *encode, str(path)], check=True)
    return path


def events(folder: Path, clip: Path, workers: int, nap: float, halo: int, *crew: str) -> list[dict[str, Any]]:
    """Run the job with so many workers; its events."""
    flags = ["--nap", nap, "--nap-halo", halo, "--workers", workers, "--json", *crew]
    command = [sys.executable, "-m", "pipelines", "nap", clip, "--jobs-dir", folder / str(workers), *flags]
    done = subprocess.run(
        [str(each) for each in command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def cluster(places: int) -> Iterator[tuple[str, ...]]:
    """A Ray cluster with a token of its own and so many places; the flags by which it is used."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    node = [Path(sys.executable).with_name("ray"), "start", "--block", "--node-ip-address", "127.0.0.1"]
    head = ["--head", "--port", address.rpartition(":")[2], "--num-cpus", "0", "--include-dashboard", "false"]
    with contextlib.ExitStack() as nodes:
        for flags in (head, ["--address", address, "--num-cpus", str(places)]):
            popen = subprocess.Popen([*node, *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            nodes.callback(popen.wait)
            nodes.callback(popen.terminate)
            while "Ray runtime started" not in (popen.stdout.readline() if popen.stdout else ""):
                assert popen.poll() is None, "Ray does not start"
        yield "--crew", "ray", "--ray-address", address


def possible(workers: int, halo: int) -> float:
    """The speed-up of equal stretches that each pay their halo, over one worker."""
    inside, edges = FRAMES / workers, 2 * halo if workers > 2 else halo if workers > 1 else 0
    return FRAMES / (inside + edges)


def tail(heard: list[dict[str, Any]]) -> float:
    """Seconds from the last span of whoever was done first to the last span of all."""
    last: dict[int, float] = {}
    for event in heard:
        if event["type"] == "segment":
            last[event["worker"] or 0] = event["time"]
    return max(last.values()) - min(last.values())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=640.0, help="what one worker takes")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--halo", type=int, default=0)
    parser.add_argument("--ray", action="store_true", help="workers in a Ray cluster")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    rows = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{FRAMES} frames of {asked.seconds / FRAMES:.3f} s, spans of {SPAN_FRAMES}, halo {asked.halo}"
        f"{', workers in a Ray cluster' if asked.ray else ''}.",
        "",
        "| workers | seconds | speed-up | possible | idle tail |",
        "|---|---|---|---|---|",
    ]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "longtake_nap.py").write_text(PLUGIN.replace("@SPAN@", str(SPAN_FRAMES)))
        clip = film(folder / "film.mp4")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
        os.environ["LONGTAKE_PLUGINS"] = "longtake_nap"
        crew = stack.enter_context(cluster(max(asked.workers))) if asked.ray else ()
        alone: float | None = None
        for workers in asked.workers:
            heard = events(folder, clip, workers, asked.seconds / FRAMES, asked.halo, *crew)
            began = next(event["time"] for event in heard if event["type"] == "planned")
            ended = max(event["time"] for event in heard if event["type"] == "segment")
            seconds = ended - began
            alone = alone or seconds * possible(workers, asked.halo)
            rows.append(
                f"| {workers} | {seconds:.1f} | {alone / seconds:.2f} | {possible(workers, asked.halo):.2f} "
                f"| {tail(heard):.1f} s |"
            )
            print(rows[-1], flush=True)
    text = "\n".join(rows) + "\n"
    print(text)
    if asked.output:
        asked.output.write_text(text)


if __name__ == "__main__":
    main()
