"""The networks of ProPainter against the same networks written down plainly: CPU seconds per frame, and their ratio.

    python tests/bench/bench_propainter.py [--size 432x240] [--threads 1] [--weights DIR] [--hole 0.3]

The plain side is `propainter_plain.py`: its schedule is the published one with default settings (a window of 11 local
frames every 5 frames, encoded in the window; both frames of a pair encoded for each direction). Ours encodes each frame
once for RAFT and once for the generator, and paints what the mask asks for; what it would take to paint everywhere is a
row of its own. A frame's share is one pair both ways, one flow completed both ways, one frame encoded, and a fifth of a
window. Without weights (published names, in DIR) they are random, which takes as long. Times are CPU time of this
process, the best of some runs that alternate between the sides; machines are noisy: read the ratios. Both sides must
give the same numbers. The table is printed and kept in tests/bench/results/.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import propainter_plain as plain  # noqa: E402  after the path is set

from pipelines.nets.propainter.flow_completion import FlowCompletion, load_flow_completion  # noqa: E402
from pipelines.nets.propainter.generator import InpaintGenerator, load_generator, quarter_flows, quarter_masks  # noqa: E402
from pipelines.nets.raft.model import Raft, load_raft  # noqa: E402

LOCAL, REFERENCES, STEP = 11, 3, 5
ITERATIONS = 20
FLOWS = 4
RAFT, COMPLETION, GENERATOR = "raft-things.pth", "recurrent_flow_completion.pth", "ProPainter.pth"

Row = tuple[str, float, float, float]


def random_weights(folder: Path) -> None:
    """Weights as the published files name them, but drawn at random."""
    torch.manual_seed(0)
    for name, network in ((RAFT, Raft()), (COMPLETION, FlowCompletion()), (GENERATOR, InpaintGenerator())):
        tensors = network.state_dict()
        for key, tensor in tensors.items():
            if tensor.dim() > 1:
                tensor.normal_(0, tensor[0].numel() ** -0.5)
            elif key.endswith("valid_ind_rolled"):
                tensor.copy_(rolled())
            elif "deform_align" in key:
                tensor.normal_(0, 0.1)
        prefix = "module." if name == RAFT else ""
        torch.save({prefix + key: tensor for key, tensor in tensors.items()}, folder / name)


def rolled() -> Tensor:
    """Of four windows of 5x9, moved by 3 and 5 each way, what the window itself lacks."""
    kept = torch.ones(4, 5, 9, dtype=torch.bool)
    kept[0, :2, :4] = kept[1, :2, 5:] = kept[2, 3:, :4] = kept[3, 3:, 5:] = False
    return kept.flatten().nonzero()[:, 0]


def alternate(sides: list[Callable[[], Tensor]], runs: int) -> tuple[list[float], float]:
    """The least CPU seconds of each side, and the largest difference between the numbers of the first two."""
    best, results = [float("inf")] * len(sides), [torch.zeros(0)] * len(sides)
    for _ in range(runs):
        for number, side in enumerate(sides):
            start = time.process_time()
            results[number] = side()
            best[number] = min(best[number], time.process_time() - start)
    return best, float((results[0] - results[1]).abs().max())


def flows(folder: Path, height: int, width: int, runs: int) -> list[Row]:
    weights = {key.removeprefix("module."): tensor for key, tensor in torch.load(folder / RAFT).items()}
    network = load_raft(folder / RAFT)
    frames = torch.rand(2, 3, height, width) * 2 - 1
    one, other = frames[:1], frames[1:]

    def published() -> Tensor:
        return torch.cat(
            (plain.raft(weights, one, other, ITERATIONS), plain.raft(weights, other, one, ITERATIONS))
        )

    def ours() -> Tensor:
        known = network.features(frames[:1])
        return torch.cat(network.flows(known, before, ITERATIONS))

    before = network.features(other)
    (slow, fast), difference = alternate([published, ours], runs)
    return [("RAFT, a pair both ways", slow, fast, difference)]


def completion(folder: Path, height: int, width: int, runs: int) -> list[Row]:
    weights = torch.load(folder / COMPLETION)
    network = load_flow_completion(folder / COMPLETION)
    forward, backward = torch.randn(2, FLOWS, 2, height, width).unbind()
    masks = holes(FLOWS + 1, height, width, 0.3)

    def published() -> Tensor:
        there = plain.completion(weights, forward * (1 - masks[:-1]), masks[:-1])
        known = (backward * (1 - masks[1:])).flip(0), masks[1:].flip(0)
        back = plain.completion(weights, *known).flip(0)
        pairs = ((there, forward, masks[:-1]), (back, backward, masks[1:]))
        return torch.cat([found * m + given * (1 - m) for found, given, m in pairs])

    def ours() -> Tensor:
        return torch.cat(network.complete(forward, backward, masks))

    (slow, fast), difference = alternate([published, ours], runs)
    return [("flow completion, a flow both ways", slow / FLOWS, fast / FLOWS, difference)]


def windows(folder: Path, height: int, width: int, share: float, runs: int) -> list[Row]:
    weights = torch.load(folder / GENERATOR)
    network = load_generator(folder / GENERATOR)
    total = LOCAL + REFERENCES
    frames, masks = torch.rand(total, 3, height, width) * 2 - 1, holes(total, height, width, share)
    forward, backward = (quarter_flows(torch.randn(LOCAL - 1, 2, height, width)) for _ in range(2))
    local = masks[:LOCAL]

    def published() -> Tensor:
        seen = torch.cat((frames, masks, masks), 1)
        regions = quarter_masks(local).expand(-1, 2, -1, -1)
        return plain.generator(weights, seen, regions, forward, backward, LOCAL) * local

    def painted(everywhere: bool) -> Callable[[], Tensor]:
        return lambda: network.paint(encoded, local, local, forward, backward, everywhere=everywhere) * local

    encoded = network.encode(frames, masks, masks)
    times = [float("inf")]

    def encode() -> Tensor:
        start = time.process_time()
        network.encode(frames[:1], masks[:1], masks[:1])
        times.append(time.process_time() - start)
        return encoded

    (slow, whole, part, _), difference = alternate([published, painted(True), painted(False), encode], runs)
    fast, everywhere = (min(times) + one / STEP for one in (part, whole))
    return [
        ("generator, a frame and a fifth of a window", slow / STEP, fast, difference),
        ("of it, where the picture is painted everywhere", 0.0, everywhere, 0.0),
        ("of it, to encode", 0.0, min(times), 0.0),
    ]


def holes(frames: int, height: int, width: int, share: float) -> Tensor:
    """A rectangle of `share` of each side that moves to the right."""
    masks = torch.zeros(frames, 1, height, width)
    for index in range(frames):
        top, left = height // 3, width // 4 + 2 * index
        masks[index, :, top : top + int(share * height), left : left + int(share * width)] = 1
    return masks


def table(rows: list[Row], arguments: argparse.Namespace) -> str:
    summed = [row for row in rows if not row[0].startswith("of it")]
    total = (
        "all",
        sum(row[1] for row in summed),
        sum(row[2] for row in summed),
        max(row[3] for row in summed),
    )
    lines = [
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}; {arguments.size}, "
        f"{arguments.threads} thread(s), a hole of {arguments.hole:.0%} of each side.",
        "",
        "| CPU seconds a frame | plainly | ours | ratio | apart by at most |",
        "|---|---|---|---|---|",
    ]
    for name, slow, fast, apart in [*rows, total]:
        compared = (
            f"{slow:.2f} | {fast:.2f} | {fast / slow:.2f} | {apart:.0e}" if slow else f"| {fast:.2f} | | "
        )
        lines.append(f"| {name} | {compared} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="432x240")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--hole", type=float, default=0.3)
    parser.add_argument("--runs", type=int, default=2)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        folder = arguments.weights or Path(scratch)
        if not arguments.weights:
            random_weights(folder)
        rows = flows(folder, height, width, arguments.runs)
        rows += completion(folder, height, width, arguments.runs)
        rows += windows(folder, height, width, arguments.hole, arguments.runs)
    text = table(rows, arguments)
    print(text)
    (HERE / "results" / "propainter.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
