"""LivePortrait's networks against the same networks written plainly, in one run: CPU seconds a frame, peak memory.

    python tests/bench/bench_liveportrait.py [--frames 4] [--threads 1]

Both have the same random weights of the published shapes and see the same inputs, frame by frame in turn, so that the
noise of the machine hits both; read the ratios. Times are the processor's, medians over frames after one to warm up.
Peak memory is that of a process of its own for each, which draws two frames: ours by `animate_crops`, the other with
all weights loaded first.
The other side is `liveportrait_plain.py`: a straightforward reading of the published description, not the published
code. Results are printed as a table and kept in tests/bench/results/.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import liveportrait_plain as plain  # noqa: E402  after the path is set

from pipelines.animation.liveportrait.crops import animate_crops  # noqa: E402
from pipelines.nets.liveportrait import loading as nets  # noqa: E402
from pipelines.nets.liveportrait.retargeting import WIDTHS, Perceptron  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "liveportrait.md"
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "appearance_feature_extractor": nets.AppearanceExtractor,
    "motion_extractor": nets.MotionExtractor,
    "warping_module": nets.WarpingModule,
    "spade_generator": nets.SpadeGenerator,
}
SIDES = ("ours", "plain")


def drawn(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Random weights under the published names, of a size that keeps numbers in range."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in make().state_dict().items()}
    weights = {}
    for name, shape in shapes.items():
        fan_in = max(1, int(np.prod(shape[1:])))
        weights[name] = torch.randn(shape) / fan_in**0.5 if len(shape) > 1 else 0.1 * torch.randn(shape)
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            weights[name] = 1 + 0.1 * torch.rand(shape)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.zeros(shape, dtype=torch.int64)
    for name in [name.removesuffix("_orig") for name in shapes if name.endswith("weight_orig")]:
        matrix = weights[f"{name}_orig"].flatten(1)
        left, _, right = torch.svd_lowrank(matrix, q=1)
        weights[f"{name}_u"], weights[f"{name}_v"] = left[:, 0].contiguous(), right[:, 0].contiguous()
    return weights


def write_weights(folder: Path) -> None:
    torch.manual_seed(1)
    for name, make in NETWORKS.items():
        torch.save(drawn(make), folder / f"{name}.pth")
    small = {name: drawn(lambda name=name: Perceptron(name)) for name in WIDTHS}
    torch.save(small, folder / "stitching_retargeting_module.pth")


Step = Callable[[], Any]


def ours(folder: Path, image: Tensor, points: Tensor) -> dict[str, Step]:
    """What is done for each frame, after what is done for each source."""
    files = {path.name: path for path in folder.glob("*.pth")}
    place = nets.NetworkDevice(torch.device("cpu"))
    motion, warping = nets.load_motion(files, place), nets.load_warping(files, place)
    generator = nets.load_generator(files, place)
    source = warping.source(nets.load_appearance(files, place)(image), points[:1])
    given: dict[str, Tensor] = {}

    def warp() -> Tensor:
        given["warped"] = warping(source, points[1:])
        return given["warped"]

    return {"M": lambda: motion(image), "W": warp, "G": lambda: generator(given["warped"])}


def straight(folder: Path, image: Tensor, points: Tensor) -> dict[str, Step]:
    appearance, motion, warping, generator = (torch.load(folder / f"{name}.pth") for name in NETWORKS)
    feature = plain.appearance(appearance, image)
    given: dict[str, Tensor] = {}

    def warp() -> Tensor:
        given["warped"] = plain.warp(warping, feature, points[1:], points[:1])["feature"]
        return given["warped"]

    return {
        "M": lambda: plain.motion(motion, image),
        "W": warp,
        "G": lambda: plain.generate(generator, given["warped"]),
    }


def inputs() -> tuple[Tensor, Tensor]:
    """A picture, and keypoints of a source and of a driving frame."""
    random = torch.Generator().manual_seed(2)
    points = 0.35 * torch.randn(1, 21, 3, generator=random)
    moved = points + 0.08 * torch.randn(1, 21, 3, generator=random)
    return torch.rand(1, 3, 256, 256, generator=random), torch.cat([points, moved])


def seconds(step: Step) -> tuple[float, Any]:
    start = time.process_time()
    result = step()
    return time.process_time() - start, result


def compare(folder: Path, frames: int) -> tuple[dict[str, dict[str, float]], float]:
    """CPU seconds by side and network, and the largest difference of the two pictures."""
    sides = {"ours": ours(folder, *inputs()), "plain": straight(folder, *inputs())}
    times: dict[str, dict[str, list[float]]] = {side: {step: [] for step in "MWG"} for side in SIDES}
    pictures = {}
    for frame in range(frames + 1):
        for side in SIDES:
            for name, step in sides[side].items():
                taken, pictures[side] = seconds(step)
                if frame:
                    times[side][name].append(taken)
    medians = {side: {name: median(taken) for name, taken in times[side].items()} for side in SIDES}
    return medians, float((pictures["ours"] - pictures["plain"]).abs().max())


def peak(folder: Path, side: str, threads: int) -> float:
    """MiB of a process that does nothing else."""
    command = [sys.executable, __file__, "--peak", side, "--weights", str(folder), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout)


def measure_peak(folder: Path, side: str) -> None:
    image, points = inputs()
    if side == "ours":
        crop = (image[0].movedim(0, -1) * 255).byte().numpy()
        for _ in animate_crops(crop, np.stack([crop, crop[::-1]]), folder, {})[2]:
            pass
    else:
        steps = straight(folder, image, points)
        for _ in range(2):
            for step in steps.values():
                step()
    # Not what `getrusage` tells: that counts the process that started this one, too.
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))


def report(
    times: dict[str, dict[str, float]], peaks: dict[str, float], difference: float, threads: int
) -> str:
    lines = [
        f"{platform.machine()}, {threads} thread, Python {platform.python_version()}, torch {torch.__version__}; "
        f"pictures differ by {difference:.1e} at most",
        "",
        "| | ours | plain | ratio |",
        "|---|---|---|---|",
    ]
    mine, other = times["ours"], times["plain"]
    lines += [
        f"| {name}, CPU s a frame | {mine[name]:.2f} | {other[name]:.2f} | {mine[name] / other[name]:.2f} |"
        for name in "MWG"
    ]
    total = sum(mine.values()), sum(other.values())
    lines.append(
        f"| M + W + G, CPU s a frame | {total[0]:.2f} | {total[1]:.2f} | {total[0] / total[1]:.2f} |"
    )
    lines.append(
        f"| peak memory, MiB | {peaks['ours']:.0f} | {peaks['plain']:.0f} | {peaks['ours'] / peaks['plain']:.2f} |"
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    if arguments.peak:
        measure_peak(arguments.weights, arguments.peak)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_weights(folder)
        peaks = {side: peak(folder, side, arguments.threads) for side in SIDES}
        times, difference = compare(folder, arguments.frames)
    text = report(times, peaks, difference, arguments.threads)
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
