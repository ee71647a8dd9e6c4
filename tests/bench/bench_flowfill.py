"""The flow engine against `cv2.inpaint` on the same frames, in one run: quality within the hole, flicker, speed.

    python tests/bench/bench_flowfill.py [CLIP ...] [--frames 48] [--sizes 432x240 854x480] [--quality balanced]

A hole of a sixteenth of the frame, moving or fixed, is cut out of frames whose truth is known; without a CLIP, of
pictures that scikit-image ships, panned. Speed is CPU time of one worker, decoding left out; machines are noisy: read
the ratios. The warp error is the squared change along the flow of the truth, within the hole.
Results are printed as a table and kept in tests/bench/results/.
"""

import argparse
import itertools
import platform
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from skimage import data

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.inpainting.flow.engine import FlowFill  # noqa: E402  after the path is set
from pipelines.spans import Span  # noqa: E402

PANNED = ("coffee", "chelsea", "astronaut")


def clip_frames(path: Path, size: tuple[int, int], frames: int) -> list[Any]:
    with av.open(str(path)) as container:
        decoded = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [
            cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            for _, frame in zip(range(frames), decoded, strict=False)
        ]


def panned(name: str, size: tuple[int, int], frames: int) -> list[Any]:
    """A camera that moves over the picture, shakes and comes nearer."""
    picture, (width, height) = getattr(data, name)(), size
    scale = 1.7 * max(width / picture.shape[1], height / picture.shape[0])
    shake = np.random.default_rng(0).normal(0, 0.4, (frames, 2)).cumsum(axis=0)
    shots = []
    for i, (dx, dy) in enumerate(shake):
        near = scale * (1 + 0.003 * i)
        motion = np.array([[near, 0, -0.1 * width - 0.006 * width * i + dx], [0, near, -0.2 * height + dy]])
        shots.append(
            cv2.warpAffine(picture, motion, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
        )
    return shots


def moving_hole(index: int, frames: int, size: tuple[int, int]) -> Any:
    (width, height), turn = size, 2 * np.pi * index / frames
    radius = np.sqrt(width * height / 16 / np.pi)
    centre = int(width * (0.5 + 0.28 * np.sin(turn + 3))), int(height * (0.5 + 0.2 * np.cos(1.5 * turn + 3)))
    hole = np.zeros((height, width), np.uint8)
    cv2.ellipse(hole, centre, (int(radius * 1.25), int(radius / 1.25)), 0, 0, 360, 1, -1)
    return hole > 0


def fixed_hole(index: int, frames: int, size: tuple[int, int]) -> Any:
    width, height = size
    hole = np.zeros((height, width), np.bool_)
    hole[int(height * 0.55) : int(height * 0.8), int(width * 0.08) : int(width * 0.33)] = True
    return hole


def psnr(found: list[Any], truth: list[Any], holes: list[Any]) -> float:
    off = np.concatenate([(f.astype(float) - t)[h] for f, t, h in zip(found, truth, holes, strict=True)])
    return float(10 * np.log10(255**2 / (off**2).mean()))


def warp_error(found: list[Any], truth: list[Any], holes: list[Any]) -> float:
    total, count = 0.0, 0
    for i in range(len(truth) - 1):
        grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in truth[i : i + 2]]
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grays, None)
        rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
        moved = cv2.remap(found[i + 1], columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)
        change = (moved.astype(float) - found[i])[holes[i]]
        total, count = total + float((change**2).sum()), count + change.size
    return total / count


def measure(truth: list[Any], holes: list[Any], quality: str) -> dict[str, float]:
    seen = [np.where(h[..., None], np.uint8((0, 255, 0)), t) for t, h in zip(truth, holes, strict=True)]

    def read(start: int, stop: int) -> Generator[tuple[Any, Any]]:
        yield from zip(seen[start:stop], holes[start:stop], strict=True)

    begin = time.process_time()
    plain = [
        cv2.inpaint(s, h.astype(np.uint8), 5, cv2.INPAINT_TELEA) for s, h in zip(seen, holes, strict=True)
    ]
    middle = time.process_time()
    fills = list(FlowFill(quality, 1).fill(read, Span(0, len(seen)), 0, len(seen)))
    end = time.process_time()
    found = [fill.pixels for fill in fills]
    return {
        "psnr": psnr(found, truth, holes),
        "gain": psnr(found, truth, holes) - psnr(plain, truth, holes),
        "warp_ratio": warp_error(found, truth, holes) / warp_error(plain, truth, holes),
        "invented": sum(int(fill.invented.sum()) for fill in fills) / sum(int(hole.sum()) for hole in holes),
        "fps": len(seen) / (end - middle),
        "inpaint_fps": len(seen) / (middle - begin),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--sizes", nargs="+", default=["432x240", "854x480"])
    parser.add_argument("--quality", default="balanced")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    lines = [
        f"{platform.machine()}, Python {platform.python_version()}, OpenCV {cv2.__version__}, {options.quality}",
        "",
        "| clip | size | hole | PSNR | gain | warp error / inpaint's | invented | fps | cv2.inpaint fps |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for text in options.sizes:
        size = tuple(int(side) for side in text.split("x"))
        clips = {p.stem: clip_frames(p, size, options.frames) for p in options.clips}
        clips = clips or {name: panned(name, size, options.frames) for name in PANNED}
        for (name, truth), shape in itertools.product(clips.items(), (moving_hole, fixed_hole)):
            found = measure(truth, [shape(i, len(truth), size) for i in range(len(truth))], options.quality)
            lines.append(
                f"| {name} | {text} | {shape.__name__} | {found['psnr']:.1f} dB | {found['gain']:+.1f} dB "
                f"| {found['warp_ratio']:.2f} | {found['invented']:.1%} "
                f"| {found['fps']:.1f} | {found['inpaint_fps']:.0f} |"
            )
            print(lines[-1], flush=True)
    (ROOT / "tests/bench/results/flowfill.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
